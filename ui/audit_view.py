"""The Audit page's panels: the list of intents with filters, and one intent in full."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

import streamlit as st

from control.audit import FINAL_STATES
from control.audit_chain import verify
from control.audit_export import to_csv
from core.plans import AuditEntry
from ui import (
    access,
    formats,
    plan_view,
    progress_view,
    states,
    tables,
    take_back_view,
    view,
    words,
)  # fmt: skip

_LIMIT: Final = 500
_STATE_COLOURS: Final = {state: look[0] for state, look in words.INTENTS.items()}
_ANY: Final = "any"
_POLL_S: Final = 1.0
# Streamlit keeps a cell on one line and cuts it at 350 px: an outcome, or a digest, in its middle.
_WHOLE: Final = """<style>
.st-key-audit_facts td, .st-key-audit_facts td * {
  max-width: none !important; white-space: normal !important; overflow-wrap: anywhere;
}
</style>"""


def listing() -> None:
    """Intents in the shared time range, newest first; a row's button opens it."""
    chosen = view.current()
    since = access.now() - timedelta(hours=chosen.hours)
    state = str(st.session_state.get("audit_state") or _ANY)
    actor = str(st.session_state.get("audit_actor") or "").strip()
    entries = access.console().audit.entries(
        tier=chosen.tier,
        state=None if state == _ANY else state,
        actor=actor or None,
        since=since,
        limit=_LIMIT,
    )
    tables.table(
        [_row(e) for e in entries],
        key="audit",
        alt="Intents with their outcome",
        empty="Nothing was done in this time range",
        why="Actions start on Fleet, Traffic and Cost; the range and tier above count here too.",
        config={
            "At (UTC)": tables.moment("At (UTC)"),
            "State": tables.badges("State", _STATE_COLOURS),
            "What": st.column_config.TextColumn("What", width="medium"),
            "Outcome": st.column_config.TextColumn("Outcome", width="medium"),
            "Open": st.column_config.LinkColumn("Open", display_text="details"),
        },
    )
    if len(entries) == _LIMIT:
        st.caption(f"The newest {_LIMIT} are shown: narrow the time range or the filters for more.")
    if entries:
        with st.container(horizontal=True, gap="small"):
            tables.save_button(
                "CSV with all columns", lambda: to_csv(entries), "heartwood-audit.csv", "text/csv",
                key="audit_records_csv", help_text="One row per intent, for spreadsheets",
            )  # fmt: skip
            tables.save_button(
                "JSON lines", lambda: to_json_lines(entries), "heartwood-audit.jsonl",
                "application/x-ndjson", key="audit_jsonl",
                help_text="Every intent with its plan's steps and verdicts, one JSON object a line",
            )  # fmt: skip


def integrity() -> None:
    """Goes through the chain of hashes over the record, when asked."""
    if not st.button(
        "Verify the record", icon=":material/link:", type="tertiary", key="audit_verify",
        help="Whether a record was changed, taken out or slipped in behind Heartwood's back; also"
        " as `python -m control audit verify`",
    ):  # fmt: skip
        return
    found = verify(access.console().audit.engine)
    if found.broken:
        st.error(
            f"After {found.records:,} good records: {formats.plain(found.broken)}",
            icon=":material/link_off:",
        )
        return
    st.success(
        f"{formats.plural(found.records, 'record')} fit. Last hash: {found.head}",
        icon=":material/check:",
    )


def copies() -> None:
    """Where else the record goes, and whether all of it is there."""
    for found in access.console().copies.states():
        name = formats.plain(found.destination)
        if found.problem:
            since = formats.stamp(found.failing_since)
            st.warning(
                f"Copying to {name} has failed since {since} UTC,"
                f" {formats.plural(found.behind, 'record')} to come:"
                f" {formats.plain(found.problem)} It is tried again by itself.",
                icon=":material/sync_problem:",
            )
            continue
        rest = f", {found.behind:,} still to come" if found.behind else ""
        last = f", the last at {formats.clock(found.tried_at)} UTC" if found.tried_at else ""
        st.caption(f"Each new record is copied to {name}{last}{rest}.")


def filters() -> None:
    """By state and by person."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.selectbox(
            "State", [_ANY, *words.INTENTS], key="audit_state", bind="query-params", width=160,
            label_visibility="collapsed",
            format_func=lambda s: "Any state" if s == _ANY else s,
        )  # fmt: skip
        st.text_input(
            "Person", key="audit_actor", bind="query-params", placeholder="Part of a name",
            label_visibility="collapsed", icon=":material/person:", width=200,
        )  # fmt: skip


def _row(entry: AuditEntry) -> tables.Row:
    cost = entry.cost.delta_usd_per_hour if entry.cost else None
    took = None if entry.finished_at is None else (entry.finished_at - entry.at).total_seconds()
    return {
        # First, since a wide table's end is out of sight.
        "Open": "/audit?" + urlencode({**view.shared_parameters(), "intent": entry.intent}),
        "At (UTC)": entry.at,
        "State": [entry.state],
        "What": entry.title,
        "Tier": entry.tier,
        "By": entry.actor,
        "From": entry.origin,
        "Outcome": entry.outcome,
        "Took": formats.duration(took, "not ended"),
        "$/h change": formats.money_change(cost),
        "Reason": entry.reason,
        "Plan": entry.digest[:12],
    }


def to_json_lines(entries: Sequence[AuditEntry]) -> str:
    """One JSON object a line."""
    return "".join(
        json.dumps(asdict(e), default=str, ensure_ascii=False, sort_keys=True) + "\n"
        for e in entries
    )


def detail(intent: str, open_plan: take_back_view.OpenPlan) -> None:
    """One intent: who, why, verdicts, steps, what happened when.

    `open_plan` shows the plan that takes it back, where that is asked for.
    """
    entry = access.console().audit.entry(intent)
    if entry is None:
        states.show_empty(
            "There is no such intent", f"Nothing is recorded as {formats.plain(intent)}."
        )
        return
    look = words.INTENTS.get(entry.state, ("gray", "help"))
    st.markdown(f"### {formats.plain(entry.title)} {words.badge(entry.state, look)}")
    if entry.state not in FINAL_STATES:
        _follow(intent, open_plan)
    else:
        take_back_view.draw_control(intent, open_plan)
    facts = {
        "Who": f"{entry.actor} from {entry.origin}",
        "When": f"{formats.stamp(entry.at)} UTC",
        "Ended": formats.stamp(entry.finished_at, "not yet"),
        "Outcome": entry.outcome,
        "Reason": entry.reason or "none given",
        "Agreed to": ", ".join(entry.consents) or "nothing had to be",
        "Approved by": ", ".join(entry.approvals) or "nobody else",
        "Overridden": "; ".join(f"{g}: {why}" for g, why in entry.overrides.items()) or "nothing",
        "Plan": entry.digest,
        "Intent": entry.intent,
        "Tags": ", ".join(entry.tags),
    }
    st.html(_WHOLE)
    with st.container(key="audit_facts"):
        st.table(
            {name: formats.plain(value) for name, value in facts.items()},
            border="horizontal", width=760, alt="The intent's facts",
        )  # fmt: skip
    if entry.cost is not None:
        st.markdown(plan_view.cost_lines(entry.cost), help=formats.plain(entry.cost.source))
    states.heading("Verdicts when it was confirmed")
    plan_view.draw_verdicts(entry.verdicts, key="audit_verdicts")
    states.heading("Steps")
    plan_view.draw_steps(entry.steps)
    if entry.state in FINAL_STATES:
        states.heading("What happened")
        lines = [
            f"{formats.stamp(p.updated_at)}  {p.state:<10} {p.detail}"
            for p in access.console().audit.log(intent)
        ]
        st.code("\n".join(lines), language=None, wrap_lines=True)
    states.heading("Commands")
    st.code("\n".join(s.command for s in entry.steps), language="bash", wrap_lines=True)
    tables.save_button(
        "JSON", lambda: to_json_lines([entry]), f"intent-{intent}.json", "application/json",
        key="audit_json",
    )  # fmt: skip


def _follow(intent: str, open_plan: take_back_view.OpenPlan) -> None:
    """Progress, whatever the chosen refresh interval; at its end the whole page is drawn anew."""

    @st.fragment(run_every=_POLL_S)
    def poll() -> None:
        progress_view.draw_progress(intent, open_plan)
        entry = access.console().audit.entry(intent)
        if entry is not None and entry.state in FINAL_STATES:
            st.rerun()

    poll()
