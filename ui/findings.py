"""What is wrong, worst first, each with what to do next and a link to the page that shows more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from core.problems import Finding
from ui import formats, view, words

_SHOWN: Final = 5
_MOST: Final = 300  # characters of a sentence; all of it is told to who points at it


def draw_findings(findings: Sequence[Finding], complete: bool, *, alerts: bool = False) -> None:
    """The list; `complete` False: some source was not read yet, so silence proves nothing.

    `alerts`: some are open, which are told elsewhere.
    """
    chosen = [f for f in findings if not f.tier or view.current().shows(f.tier)]
    if not chosen:
        if complete:
            nothing = "Nothing else" if alerts else "Nothing"
            st.markdown(f":green[:material/check_circle: **{nothing} is known to be wrong**]")
        else:
            st.markdown(":gray[:material/hourglass_empty: Not everything has been read yet]")
        return
    with st.container(border=True, gap="xsmall", key="findings"):
        for finding in chosen[:_SHOWN]:
            _draw(finding)
        rest = chosen[_SHOWN:]
        if rest:
            with st.expander(f"{formats.plural(len(rest), 'more finding')}", type="compact"):
                for finding in rest:
                    _draw(finding)


def _draw(finding: Finding) -> None:
    colour, icon = words.SEVERITIES[finding.severity]
    when = ""
    if finding.since is not None:
        when = f" :small[:gray[since {formats.clock(finding.since)} UTC]]"
    target = {**view.shared_parameters()}
    if finding.tier:
        target["tier"] = finding.tier
    sentence = finding.sentence
    shown = formats.plain(formats.shortened(sentence, _MOST))
    told, link = st.columns([7, 1], vertical_alignment="center", gap="small")
    told.markdown(
        f":{colour}[:material/{icon}:] {shown}{when}"
        f"  \n:small[:gray[Next: {formats.plain(finding.next_step)}]]",
        help=formats.plain(sentence) if len(sentence) > _MOST else None,
    )
    with link.container(horizontal=True, horizontal_alignment="right"):
        st.page_link(
            f"pages/{finding.page}.py",
            label=finding.page.capitalize(),
            icon=":material/arrow_forward:",
            icon_position="right",
            query_params=target,
        )
