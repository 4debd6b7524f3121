"""Tables with paging and CSV, all drawn alike; an unknown cell says so and is empty in the file.

What stands in a table is derived in `core/` or the page's own view module.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import pandas as pd
import streamlit as st

from ui import formats

Row = Mapping[str, Any]
ROWS_PER_PAGE: Final = 50
_ROW_HEIGHT: Final = 30


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV with a head; unknown is an empty cell, times are ISO 8601 in UTC.

    A cell that a spreadsheet would run as a formula gets a leading quote (OWASP, CSV injection).
    """
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), extrasaction="ignore")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value


def download(rows: Sequence[Row], name: str, *, key: str) -> None:
    """A small button that saves the rows as NAME.csv."""
    save_button(
        "CSV", lambda: to_csv(rows), f"heartwood-{name}.csv", "text/csv",
        key=key, disabled=not rows, help_text=f"Download all {len(rows):,} rows",
    )  # fmt: skip


def save_button(
    label: str,
    text: Callable[[], str],
    file_name: str,
    mime: str,
    *,
    key: str,
    help_text: str | None = None,
    disabled: bool = False,
) -> None:
    """A small button that saves a text; it is made only when somebody clicks."""
    st.download_button(
        label,
        data=lambda: text().encode(),
        file_name=file_name,
        mime=mime,
        icon=":material/download:",
        type="tertiary",
        key=key,
        on_click="ignore",
        disabled=disabled,
        help=help_text,
    )


def table(
    rows: Sequence[Row],
    *,
    key: str,
    alt: str,
    config: Mapping[str, Any] | None = None,
    empty: str = "Nothing here",
    why: str = "",
    paged: bool = True,
) -> None:
    """A table with a foot: how many rows, paging beyond 50 of them, CSV of all.

    Columns come from the first row; a column whose config is None stays out of sight but is in
    the file.
    """
    if not rows:
        st.markdown(
            f":gray[:material/inbox: **{empty}**]" + (f"  \n:small[:gray[{why}]]" if why else "")
        )
        return
    pages = max(1, -(-len(rows) // ROWS_PER_PAGE)) if paged else 1
    slot = st.container()
    page = 1
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(f":small[:gray[{formats.plural(len(rows), 'row')}]]", width="content")
        if pages > 1:
            page = st.pagination(pages, key=f"{key}_page")
        download(rows, key, key=f"{key}_csv")
    page = min(page, pages)
    shown = rows[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE] if paged else rows
    slot.dataframe(
        pd.DataFrame.from_records([dict(r) for r in shown]).round(_decimals(config or {})),
        hide_index=True,
        row_height=_ROW_HEIGHT,
        height=(min(len(shown), 16) + 1) * _ROW_HEIGHT + 3,
        column_config=with_unknowns(config or {}, rows),
        placeholder=formats.UNKNOWN,
        key=key,
        alt=alt,
    )


def _decimals(config: Mapping[str, Any]) -> dict[Any, int]:
    """Whole per cents on the page, whatever the file holds: a column of them is read as one."""
    kinds = {name: (column or {}).get("type_config") or {} for name, column in config.items()}
    return {name: 2 for name, kind in kinds.items() if kind.get("format") == "percent"}


def with_unknowns(config: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """The columns, with bars as figures where a value is unknown: the grid draws no bar for None,
    nor any word, while a column of figures says "unknown". Where words stand, it is one of words.
    """
    changed = dict(config)
    for name, column in config.items():
        kind = (column or {}).get("type_config") or {}
        if kind.get("type") == "progress" and any(row.get(name) is None for row in rows):
            label, told = column.get("label"), column.get("help")
            changed[name] = st.column_config.NumberColumn(label, format="percent", help=told)
        elif kind.get("type") == "progress" and any(isinstance(row.get(name), str) for row in rows):
            changed[name] = st.column_config.TextColumn(column.get("label"))
    return changed


def fixed(rows: Sequence[Row], shown: Sequence[Mapping[str, str]], *, key: str, alt: str) -> None:
    """A small table that is only read: in the page itself, which draws much faster than a grid.

    Args:
        rows: what the CSV holds.
        shown: the same cells in words; Markdown, so text from outside goes through
            `formats.plain`.
        key: of the download.
        alt: what the table is, for who hears it.
    """
    st.table(pd.DataFrame.from_records([dict(r) for r in shown]), border="horizontal", alt=alt)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(f":small[:gray[{formats.plural(len(rows), 'row')}]]", width="content")
        download(rows, key, key=f"{key}_csv")


def share(label: str, help_text: str | None = None) -> Any:
    """Column of a 0–1 ratio as a bar with per cent."""
    return st.column_config.ProgressColumn(
        label, min_value=0.0, max_value=1.0, format="percent", help=help_text
    )


def figure(label: str) -> Any:
    """Column of figures; give them rounded by `significant`."""
    return st.column_config.NumberColumn(label, format="localized")


def significant(value: float | None) -> float | None:
    """Three significant digits."""
    return None if value is None else float(f"{value:.3g}")


def badges(label: str, colours: Mapping[str, str]) -> Any:
    """Column of one-element lists drawn as coloured badges."""
    return st.column_config.MultiselectColumn(
        label, options=list(colours), color=list(colours.values())
    )


def usd(label: str, *, cents: bool = False) -> Any:
    """Column of US dollars."""
    return st.column_config.NumberColumn(label, format="$%,.2f" if cents else "$%,.0f")


def moment(label: str) -> Any:
    """Column of UTC moments."""
    return st.column_config.DatetimeColumn(label, format="YYYY-MM-DD HH:mm:ss", timezone="UTC")
