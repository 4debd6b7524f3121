"""What a dashboard must fulfil: one layout, tiles that fit, widgets that can show something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from google.cloud import monitoring_dashboard_v1

from emulator.apis.monitoring import filters
from emulator.wire.errors import ApiError, invalid

MOST_COLUMNS: Final = 48
_MOST_WIDGETS: Final = 100
_MOST_LABELS: Final = 64
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}")
_VARIABLE: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def check_dashboard(found: monitoring_dashboard_v1.Dashboard) -> None:
    """Pass a dashboard that Monitoring would keep.

    Raises:
        ApiError: INVALID_ARGUMENT with the field.
    """
    plain: Any = monitoring_dashboard_v1.Dashboard.pb(found)
    if not plain.display_name.strip():
        raise _bad("displayName", "a display name is required.")
    layout = plain.WhichOneof("layout")
    if layout is None:
        raise _bad("layout", "exactly one of gridLayout, mosaicLayout, rowLayout and columnLayout "
                   "must be set.")  # fmt: skip
    if layout == "mosaic_layout":
        _check_mosaic(plain.mosaic_layout)
    if layout == "grid_layout" and not 0 <= plain.grid_layout.columns <= MOST_COLUMNS:
        raise _bad("gridLayout.columns", f"must lie between 0 and {MOST_COLUMNS}.")
    widgets = list(_widgets(plain, layout))
    if len(widgets) > _MOST_WIDGETS:
        raise _bad("layout", f"a dashboard has at most {_MOST_WIDGETS} widgets.")
    for field, widget in widgets:
        _check_widget(field, widget, mosaic=layout == "mosaic_layout")
    _check_filters(plain)
    if len(plain.labels) > _MOST_LABELS or any(
        _LABEL.fullmatch(k) is None or _LABEL_VALUE.fullmatch(v) is None
        for k, v in plain.labels.items()
    ):
        raise _bad("labels", "at most 64 labels of lowercase letters, digits, '_' and '-'.")


def _widgets(plain: Any, layout: str) -> Iterator[tuple[str, Any]]:
    if layout == "grid_layout":
        for number, widget in enumerate(plain.grid_layout.widgets):
            yield f"gridLayout.widgets[{number}]", widget
    elif layout == "mosaic_layout":
        for number, tile in enumerate(plain.mosaic_layout.tiles):
            yield f"mosaicLayout.tiles[{number}].widget", tile.widget
    else:
        rows = plain.row_layout.rows if layout == "row_layout" else plain.column_layout.columns
        name = "rowLayout.rows" if layout == "row_layout" else "columnLayout.columns"
        for number, row in enumerate(rows):
            if row.weight < 0:
                raise _bad(f"{name}[{number}].weight", "must not be negative.")
            for position, widget in enumerate(row.widgets):
                yield f"{name}[{number}].widgets[{position}]", widget


def _check_mosaic(mosaic: Any) -> None:
    if not 1 <= mosaic.columns <= MOST_COLUMNS:
        raise _bad("mosaicLayout.columns", f"must lie between 1 and {MOST_COLUMNS}.")
    taken: list[tuple[int, int, int, int]] = []
    for number, tile in enumerate(mosaic.tiles):
        field = f"mosaicLayout.tiles[{number}]"
        if tile.x_pos < 0 or tile.y_pos < 0:
            raise _bad(f"{field}.xPos", "positions must not be negative.")
        if tile.width < 1 or tile.height < 1:
            raise _bad(f"{field}.width", "tiles are at least 1 wide and 1 high.")
        if tile.x_pos + tile.width > mosaic.columns:
            raise _bad(field, "the tile does not fit into the layout's columns.")
        box = (tile.x_pos, tile.y_pos, tile.x_pos + tile.width, tile.y_pos + tile.height)
        group = tile.widget.WhichOneof("content") in ("collapsible_group", "single_view_group")
        if not group:
            for other in taken:
                if _overlap(box, other):
                    raise _bad(field, "the tile overlaps with another.")
            taken.append(box)


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _check_widget(field: str, widget: Any, *, mosaic: bool) -> None:
    kind = widget.WhichOneof("content")
    if kind is None:
        raise _bad(field, "a widget needs a content.")
    if kind in ("collapsible_group", "single_view_group") and not mosaic:
        raise _bad(f"{field}.{kind}", "groups stand in a mosaic layout alone.")
    body = getattr(widget, kind)
    name = f"{field}.{kind}"
    if kind in ("xy_chart", "time_series_table", "pie_chart"):
        if not body.data_sets:
            raise _bad(f"{name}.dataSets", "at least one data set is required.")
        for number, found in enumerate(body.data_sets):
            _check_query(f"{name}.dataSets[{number}].timeSeriesQuery", found.time_series_query)
    elif kind == "scorecard":
        _check_query(f"{name}.timeSeriesQuery", body.time_series_query)
    elif kind == "alert_chart" and not body.name:
        raise _bad(f"{name}.name", "an alert policy is required.")


def _check_query(field: str, query: Any) -> None:
    source = query.WhichOneof("source")
    if source is None:
        raise _bad(field, "a query needs a source.")
    if source == "time_series_filter":
        _check_filter(f"{field}.timeSeriesFilter.filter", query.time_series_filter.filter)
    elif source == "time_series_filter_ratio":
        ratio = query.time_series_filter_ratio
        for part in ("numerator", "denominator"):
            _check_filter(f"{field}.timeSeriesFilterRatio.{part}.filter",
                          getattr(ratio, part).filter)  # fmt: skip
    elif not getattr(query, source).strip():
        raise _bad(f"{field}.{source}", "a query is required.")


def _check_filter(field: str, text: str) -> None:
    if not text.strip():
        raise _bad(field, "a filter is required.")
    if text.lstrip().startswith("select_slo_"):
        return
    try:
        # A filter may hold the dashboard's own variables, which stand for a whole comparison.
        filters.parse(re.sub(r"\$\{\w+\}", 'metric.type != ""', text))
    except filters.FilterError as error:
        raise _bad(field, f"could not parse filter: {error}") from error


def _check_filters(plain: Any) -> None:
    for number, found in enumerate(plain.dashboard_filters):
        field = f"dashboardFilters[{number}]"
        if not found.label_key and not found.template_variable:
            raise _bad(f"{field}.labelKey", "a label key is required.")
        if found.template_variable and _VARIABLE.fullmatch(found.template_variable) is None:
            raise _bad(f"{field}.templateVariable", "must match [a-zA-Z_][a-zA-Z0-9_]*.")


def _bad(field: str, why: str) -> ApiError:
    return invalid(f"Field {field} had an invalid value: {why}", field=field)
