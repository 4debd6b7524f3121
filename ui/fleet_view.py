"""The Fleet page's panels: sizes, the picture of all chips, and tables of what makes up a tier.

Which resource belongs to which tier is `core/fleet.py`; the picture itself `ui/heatmap.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from core import ownership
from core.fleet import FleetHost, FleetPart, FleetSlice, FleetTier
from core.records import Source
from ui import access, formats, heatmap, states, tables, view, words
from ui.derived import Derived

INVENTORY = (Source.GKE, Source.KUBE, Source.TPU, Source.VERTEX)
CHIPS = (*INVENTORY, Source.CHIPS)
PRICED = (*INVENTORY, Source.PRICES)
_PARTS = (*INVENTORY, Source.LOAD, Source.INFERENCE, Source.PRICES)  # LOAD: Vertex's replicas
_NO_TPU = "no TPU"
STATE_COLOURS = {state.value: look[0] for state, look in words.STATES.items()}


def shown_tiers(derived: Derived) -> list[FleetTier]:
    """The tiers that the shared filter lets through."""
    return [t for t in derived.fleet.tiers if view.current().shows(t.name)]


def sizes() -> None:
    """A row per part of a tier: wanted, running, ready, where, what it costs."""
    derived = access.derived()
    snapshot = derived.snapshot
    fresh = states.freshness(snapshot.sources, _PARTS, access.now())
    with states.panel("Tiers and their parts", fresh):
        rows = [_part_row(t, p, derived) for t in shown_tiers(derived) for p in t.parts]
        tables.table(
            rows,
            key="fleet-parts",
            alt="Every part of every tier with its size",
            paged=False,
            config={
                "Tier": st.column_config.TextColumn("Tier", pinned=True),
                "State": tables.badges("State", STATE_COLOURS),
                "Chips running": tables.figure("Chips running"),
                "Chips ready": tables.figure("Chips ready"),
                "Why": st.column_config.TextColumn("Why", width="medium"),
            },
        )


def _part_row(tier: FleetTier, part: FleetPart, derived: Derived) -> tables.Row:
    slices, chips = part.slice_count, part.chip_count
    alone = len(tier.parts) == 1
    rate = derived.rates[tier.name]
    share = None
    if rate.usd_per_hour is not None and chips.running is not None:
        share = rate.usd_per_hour * chips.running / (tier.chip_count.running or 1)
    return {
        "Tier": tier.spec.title,
        "Part": ownership.KIND_TITLES[part.spec.kind],
        "State": [part.state.value],
        "Slices wanted": slices.wanted,
        "Slices running": slices.running,
        "Slices ready": slices.ready,
        "Chips running": chips.running,
        "Chips ready": chips.ready,
        "Topology": tier.spec.topology or "–",
        "Generation": tier.spec.generation or "–",
        "Where": part.spec.location or tier.spec.zone or "this machine",
        "$/h now": _price(
            rate.usd_per_hour if alone else share, rate.basis.value, derived.price_word(tier.spec)
        ),
        "Why": "; ".join(part.reasons),
    }


def _price(usd_per_hour: float | None, basis: str, none: str) -> str:
    if usd_per_hour is None:
        return none
    return f"{formats.money(usd_per_hour)} {basis}"


def picture() -> None:
    """Every chip as a cell."""
    derived = access.derived()
    snapshot = derived.snapshot
    wanted = (Source.CHIPS,)
    fresh = states.freshness(snapshot.sources, wanted, access.now())
    with states.panel("Chips", fresh, key="panel_chips"):
        if snapshot.chips is None:
            states.show_missing(snapshot.sources, wanted, height=220)
            return
        metric = heatmap.Metric(_metric_choice())
        drawn = heatmap.chips_heatmap(
            shown_tiers(derived), metric, key=f"heatmap_{view.current().tier or 'all'}"
        )
        if drawn.z.size == 0:
            states.show_empty(
                "No TPU chip runs here", "The chosen tiers have no slice; that is no failure."
            )
            return
        st.caption(
            f"{formats.count(drawn.known)} chips report {metric}; "
            f"{formats.count(drawn.unknown)} unknown (their host sent no reading, or the cloud "
            "shows no host). One cell is a chip, one tile a slice."
        )


def _metric_choice() -> str:
    return st.segmented_control(
        "Colour of chips", [m.value for m in heatmap.Metric], key="metric", required=True,
        default=heatmap.Metric.TENSORCORE.value, bind="query-params", label_visibility="collapsed",
    )  # fmt: skip


def slices() -> None:
    """Slices of the chosen tiers; choosing one shows its hosts and chips."""
    derived = access.derived()
    states.heading("Slices", states.freshness(derived.snapshot.sources, CHIPS, access.now()))
    if _unread(derived):
        return
    pieces = {f"{t.name}/{s.name}": (t, s) for t in shown_tiers(derived) for s in t.slices}
    names = ["", *pieces]
    chosen = st.selectbox(
        "Slice", names, key="slice", bind="query-params", width=420,
        format_func=lambda n: n or "All slices", label_visibility="collapsed",
    )  # fmt: skip
    if chosen and chosen in pieces:
        tier, piece = pieces[chosen]
        _slice_detail(tier, piece)
        return
    tables.table(
        _without_tpu([_slice_row(t, s) for t, s in pieces.values()], pieces.values()),
        key="fleet-slices",
        alt="Slices with state and load",
        empty="No slice",
        config={
            "State": tables.badges("State", STATE_COLOURS),
            "TensorCore": tables.share("TensorCore"),
            "HBM": tables.share("HBM"),
        },
    )


def _unread(derived: Derived) -> bool:
    """Whether no inventory was read yet; then says so."""
    if derived.fleet.unassigned is not None:
        return False
    states.show_missing(derived.snapshot.sources, INVENTORY)
    return True


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _load(hosts: Iterable[FleetHost]) -> dict[str, float | None]:
    readings = [r for h in hosts for r in h.readings]
    return {
        metric.value: _mean(heatmap.reading_value(r, metric) for r in readings)
        for metric in heatmap.Metric
    }


def _without_tpu(
    rows: Sequence[tables.Row], shown: Iterable[tuple[FleetTier, *tuple[object, ...]]]
) -> Sequence[tables.Row]:
    """The rows; words for the figures of chips where none of them has one."""
    if any(tier.spec.generation for tier, *_ in shown):
        return rows
    return [{**row, **{metric.value: _NO_TPU for metric in heatmap.Metric}} for row in rows]


def _why(tier: FleetTier, reason: str) -> str:
    """The reason; beside TPUs, whose column holds figures alone, also why there are none."""
    return reason if tier.spec.generation else "; ".join(filter(None, (_NO_TPU, reason)))


def _slice_row(tier: FleetTier, piece: FleetSlice) -> tables.Row:
    return {
        "Tier": tier.spec.title,
        "Slice": piece.name,
        "State": [piece.state.value],
        "Chips": piece.chips,
        "Hosts": len(piece.hosts) or None,
        **_load(piece.hosts),
        "Pool or endpoint": piece.resource,
        "Spot": piece.spot,
        "Why": _why(tier, piece.reason),
    }


def _slice_detail(tier: FleetTier, piece: FleetSlice) -> None:
    st.markdown(
        f"**{formats.plain(piece.name)}** {words.state_badge(piece.state)} "
        f"{formats.plain(piece.reason)}  \n:small[:gray[{tier.spec.title}, "
        f"{piece.chips} chips, {formats.plural(len(piece.hosts), 'host')} shown, "
        f"from {formats.plain(piece.resource)}]]"
    )
    rows = [
        {
            "Host": host.name,
            "State": [host.state.value],
            "Chip": reading.chip,
            "TensorCore": heatmap.reading_value(reading, heatmap.Metric.TENSORCORE),
            "HBM": heatmap.reading_value(reading, heatmap.Metric.HBM),
            "HBM used": formats.data_size(reading.hbm_used_bytes),
            "HBM total": formats.data_size(reading.hbm_total_bytes),
        }
        for host in piece.hosts
        for reading in host.readings
    ]
    tables.table(
        rows,
        key="fleet-chips",
        alt="Chips of the slice",
        empty="No chip of this slice has reported",
        why="Hidden hosts (Vertex) and hosts that sent no metric in the window show none.",
        config={
            "State": tables.badges("State", STATE_COLOURS),
            "TensorCore": tables.share("TensorCore"),
            "HBM": tables.share("HBM"),
        },
    )


def hosts() -> None:
    """Hosts of the chosen tiers with filters."""
    derived = access.derived()
    states.heading("Hosts", states.freshness(derived.snapshot.sources, CHIPS, access.now()))
    if _unread(derived):
        return
    every = [(t, s, h) for t in shown_tiers(derived) for s in t.slices for h in s.hosts]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        words_wanted = st.text_input(
            "Search", key="host_search", placeholder="Name, pool or reason", live=True,
            label_visibility="collapsed", type="search", width=280, persist_state="session",
        )  # fmt: skip
        only = st.pills(
            "State", ["not ready", "no readings"], selection_mode="multi", key="host_state",
            label_visibility="collapsed", persist_state="session",
        )  # fmt: skip
    needle = (words_wanted or "").strip().lower()
    chosen = [
        (t, s, h)
        for t, s, h in every
        if (not needle or needle in f"{h.name} {s.resource} {h.reason}".lower())
        and ("not ready" not in only or h.state.value != "running")
        and ("no readings" not in only or not h.readings)
    ]
    tables.table(
        _without_tpu([_host_row(t, s, h) for t, s, h in chosen], chosen),
        key="fleet-hosts",
        alt="Hosts with state and load",
        empty="No host" if not every else "No host fits these filters",
        why="Vertex shows no hosts of its own.",
        config={
            "State": tables.badges("State", STATE_COLOURS),
            "TensorCore": tables.share("TensorCore"),
            "HBM": tables.share("HBM"),
        },
    )


def _host_row(tier: FleetTier, piece: FleetSlice, host: FleetHost) -> tables.Row:
    return {
        "Tier": tier.spec.title,
        "Host": host.name,
        "State": [host.state.value],
        "Chips": host.chips,
        "Reporting": len(host.readings),
        **_load((host,)),
        "Zone": host.zone,
        "Pool": piece.resource,
        "Why": _why(tier, host.reason),
    }
