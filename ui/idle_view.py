"""The Cost page's panel of what lies idle: Google's recommendations, and who can act on them.

What the clean-up deletes is decided by its plan; here it is only said which rows it is for.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.actions.clean_up_orphans import orphaned_owners
from core.cloud_resources import PLATFORM, CloudResource, path_of, service_of, short_name
from core.recommendations import Recommendation
from core.records import Snapshot, Source
from ui import access, formats, plan_dialog, states, tables, view

_WANTED = (Source.RECOMMENDER,)
_OTHERS = "not made from here"


def recommendations() -> None:
    """A row per idle resource: what, where, saved a month, why, whose; and the next step."""
    snapshot = access.snapshot()
    fresh = states.freshness(snapshot.sources, _WANTED, access.now())
    note = "what Google would have deleted"
    with states.panel("Idle resources", fresh, note, key="panel_idle"):
        found = snapshot.recommendations
        if found is None:
            states.show_missing(snapshot.sources, _WANTED)
            return
        state = snapshot.sources[Source.RECOMMENDER]
        if state.is_partial and state.problem is not None:
            states.show_problem("Not everything could be read", state.problem, again=True)
        shown = [r for r in found if view.current().tier in (None, r.owner)]
        orphaned = _orphaned(snapshot, shown)
        tables.table(
            [_row(snapshot, each, orphaned) for each in shown],
            key="cost-idle",
            alt="Resources that Google finds idle, with what they cost a month",
            empty="Nothing in what was read" if state.is_partial else "Google finds nothing idle",
            why="Unused addresses, disks, images, VMs and clusters are looked for, once a day.",
            config={
                "Saves a month": tables.usd("Saves a month", cents=True),
                "Why": st.column_config.TextColumn("Why", width="large"),
                "Looked at (UTC)": tables.moment("Looked at (UTC)"),
                "Full name": None,
            },
        )
        _next_step(len([r for r in shown if r.owner in orphaned]))


def _row(snapshot: Snapshot, of: Recommendation, orphaned: Sequence[str]) -> tables.Row:
    return {
        "Resource": short_name(of.resource),
        "Kind": _kind(of.resource),
        "Where": of.location,
        "Saves a month": of.saving_usd,
        "Why": of.reason,
        "Belongs to": _belongs_to(snapshot, of, orphaned),
        "State": of.state.lower(),
        "Looked at (UTC)": of.refreshed_at,
        "Full name": of.resource,
    }


def _kind(resource: str) -> str:
    """Product and kind: compute addresses, container clusters."""
    product = service_of(resource).partition(".")[0]
    return f"{product} {path_of(resource).split('/')[-2]}"


def _belongs_to(snapshot: Snapshot, of: Recommendation, orphaned: Sequence[str]) -> str:
    if not of.is_owner_known:
        return formats.UNKNOWN
    if of.owner is None:
        return _OTHERS
    if of.owner == PLATFORM:
        return "all tiers"
    title = {s.name: s.title for s in snapshot.specs}.get(of.owner, of.owner)
    return f"{title}: an orphan" if of.owner in orphaned else title


def _orphaned(snapshot: Snapshot, shown: Sequence[Recommendation]) -> Sequence[str]:
    """Owners of the shown that have nothing else any more; none while that is not known."""
    if None in (snapshot.node_pools, snapshot.tpu_vms, snapshot.endpoints):
        return ()
    present = {r.resource: CloudResource(r.resource, r.owner) for r in shown if r.owner is not None}
    return tuple(orphaned_owners(snapshot, present))


def _next_step(orphans: int) -> None:
    """The way to the plan that deletes what is ours and belongs to nothing."""
    if not orphans:
        return
    actor = access.console().actor()
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center",
        gap="small", key="idle_next",
    ):  # fmt: skip
        st.markdown(
            f"Left over of what was made from here: {formats.plural(orphans, 'resource')}. The "
            "clean-up deletes what belongs to nothing any more.",
            width="stretch",
        )
        if st.button(
            "Clean up orphans", key="idle_clean_up", type="tertiary",
            icon=":material/cleaning_services:", disabled=bool(actor.why_not),
            help=actor.why_not or "Shows a plan first",
        ):  # fmt: skip
            plan_dialog.open_action("clean_up_orphans", PLATFORM)
            st.rerun()
