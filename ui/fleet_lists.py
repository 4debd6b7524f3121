"""The Fleet page's lists: workloads and events of Kubernetes, and what belongs to no tier."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import streamlit as st

from core.pricing import unassigned_rate
from core.records import Source
from ui import access, states, tables, view
from ui.fleet_view import INVENTORY, PRICED

EVENT_COLOURS = {"Warning": "orange", "Normal": "gray"}


def workloads() -> None:
    """What serves the tiers in Kubernetes."""
    snapshot = access.snapshot()
    fresh = states.freshness(snapshot.sources, (Source.KUBE,), access.now())
    states.heading("Workloads", fresh)
    if snapshot.workloads is None:
        states.show_missing(snapshot.sources, (Source.KUBE,))
        return
    chosen = view.current()
    titles = {spec.namespace: spec.title for spec in snapshot.specs}
    restarts: dict[str, int] = {}
    for pod in snapshot.pods or ():
        restarts[pod.namespace] = restarts.get(pod.namespace, 0) + pod.restarts
    tables.table(
        [
            {
                "Tier": titles.get(w.namespace, w.namespace),
                "Workload": w.name,
                "Kind": w.kind,
                "Wanted": w.replicas_wanted,
                "Ready": w.replicas_ready,
                "Pod restarts": restarts.get(w.namespace),
                "Image": w.image,
                "Cluster": w.cluster,
            }
            for w in snapshot.workloads
            if chosen.shows(w.namespace)
        ],
        key="fleet-workloads",
        alt="Kubernetes workloads",
        empty="No workload",
    )


def events() -> None:
    """What Kubernetes said lately, newest first."""
    snapshot = access.snapshot()
    fresh = states.freshness(snapshot.sources, (Source.KUBE,), access.now())
    states.heading("Events", fresh, f"last {view.current().range}")
    if snapshot.kube_events is None:
        states.show_missing(snapshot.sources, (Source.KUBE,))
        return
    chosen = view.current()
    since = access.now() - timedelta(hours=chosen.hours)
    found = [
        e
        for e in sorted(snapshot.kube_events, key=lambda e: e.at, reverse=True)
        if e.at >= since and (chosen.tier is None or e.namespace == chosen.tier)
    ]
    tables.table(
        [
            {
                "At (UTC)": e.at,
                "Type": [e.type],
                "Reason": e.reason,
                "Object": e.object,
                "Message": e.message,
                "Count": e.count,
                "Namespace": e.namespace,
            }
            for e in found
        ],
        key="fleet-events",
        alt="Kubernetes events",
        empty="No event in this time range",
        config={
            "At (UTC)": tables.moment("At (UTC)"),
            "Type": tables.badges("Type", EVENT_COLOURS),
            "Message": st.column_config.TextColumn("Message", width="large"),
        },
    )


def unassigned() -> None:
    """Resources that match no tier, with what they cost."""
    derived = access.derived()
    found = derived.fleet.unassigned
    fresh = states.freshness(derived.snapshot.sources, PRICED, access.now())
    states.heading("Unassigned", fresh)
    if found is None:
        states.show_missing(derived.snapshot.sources, INVENTORY)
        return
    rows: list[dict[str, Any]] = []
    for resource in found:
        rate = unassigned_rate(resource, derived.snapshot.prices)
        rows.append(
            {
                "Kind": resource.kind,
                "Name": resource.name,
                "Where": resource.location,
                "Chips": resource.chips,
                "$/h list": rate.usd_per_hour,
                "Price": rate.source,
                "Detail": resource.detail,
            }
        )
    tables.table(
        rows,
        key="fleet-unassigned",
        alt="Resources that belong to no tier",
        empty="Every resource belongs to a tier",
        config={"$/h list": tables.usd("$/h list", cents=True)},
    )
