"""What the actions ask for that make, change or delete what a tier consists of, and alerts.

Widgets in, a `Request` out. Which forms there are is `ui/action_forms.py`'s; those of scale and
traffic are there.
"""

from __future__ import annotations

import re
from typing import Final

import streamlit as st

from core.actions.chain_steps import DEFAULT_HOST
from core.cloud_resources import PLATFORM
from core.plans import Request
from core.records import Snapshot
from core.specs import PartKind, PartSpec, TierSpec
from ui import number_field

_MOST_SLICES: Final = 4096
_WHERE: Final = {
    PartKind.GKE_SINGLE_HOST: "Slices on GKE",
    PartKind.GKE_MULTI_HOST: "Slices on GKE",
    PartKind.TPU_VM: "TPU nodes",
}
_ON_DEMAND: Final = "on demand"
_SPOT: Final = "spot"
_RESERVED: Final = "of a reservation"
_QUEUED: Final = "queued for"
_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+", re.ASCII)


def provision(_snapshot: Snapshot, spec: TierSpec) -> Request | str:
    """How much of each part, on which terms, and the host name of the certificate."""
    parameters: dict[str, str | int | bool] = {}
    slices = next((p for p in spec.parts if p.kind in _WHERE), None)
    replicas = next((p for p in spec.parts if p.kind is PartKind.VERTEX), None)
    for name, part in (("slices", slices), ("replicas", replicas)):
        if part is not None:
            label = _WHERE.get(part.kind, "Replicas on Vertex")
            least = 0 if slices and replicas else 1
            parameters[name] = number_field.whole(
                label, least, _MOST_SLICES, max(least, part.slices), key=f"plan_{name}",
                width=150, hint=f"{part.slices} are configured in heartwood.toml",
            )  # fmt: skip
    if not parameters:
        return f"{spec.title} has no part that is made from here."
    terms = _terms(slices)
    if isinstance(terms, str):
        return terms
    parameters |= terms
    if slices is None or slices.kind is PartKind.TPU_VM:
        return Request("provision_tier", spec.name, parameters)
    typed = st.text_input(
        "Host name of its certificate", DEFAULT_HOST, key="plan_host", width=320, max_chars=253,
        help="Under which clients call the load balancer; shared by all tiers",
    )  # fmt: skip
    host = typed.strip().lower().removesuffix(".")
    if _HOST.fullmatch(host) is None:
        return f"{typed or 'Nothing'} is no host name: it is written like inference.example.com"
    return Request("provision_tier", spec.name, {**parameters, "host": host})


def _terms(part: PartSpec | None) -> dict[str, str | int | bool] | str:
    """How its chips are to be had; {}: on demand."""
    if part is None:
        return {}
    offers = [_ON_DEMAND, _SPOT, _QUEUED if part.kind is PartKind.TPU_VM else _RESERVED]
    chosen = st.selectbox(
        "Chips", offers, key="plan_terms", width=200,
        help="Spot chips may be taken away at any time; a queue waits until there are some",
    )  # fmt: skip
    if chosen == _RESERVED:
        name = st.text_input("Reservation", key="plan_reservation", width=220).strip()
        return {"reservation": name} if name else "Tell the reservation's name."
    return {flag: True for flag, offer in (("spot", _SPOT), ("queued", _QUEUED)) if offer == chosen}


def clean_up(_snapshot: Snapshot) -> Request | str:
    """Nothing."""
    return Request("clean_up_orphans", PLATFORM, {})


def tear_down_all(_snapshot: Snapshot) -> Request | str:
    """Nothing."""
    return Request("tear_down_all", PLATFORM, {})


def tear_down(_snapshot: Snapshot, spec: TierSpec) -> Request | str:
    """Nothing but the tier."""
    return Request("tear_down_tier", spec.name, {})


def deploy(_snapshot: Snapshot, spec: TierSpec) -> Request | str:
    """Which weights, under which name; the volume's size and the image only where they differ."""
    weights = st.text_input(
        "Weights in a bucket", key="plan_weights", width=320, placeholder="gs://bucket/folder",
        help="A folder with the checkpoint; it is copied into a volume that all servers read",
    ).strip()  # fmt: skip
    model = st.text_input(
        "Name in requests", spec.model, key="plan_served_model", width=260
    ).strip()  # fmt: skip
    size = number_field.whole(
        "Volume in GiB", 4, 65_536, None, key="plan_size_gib", width=260,
        placeholder="as the model weighs",
    )  # fmt: skip
    image = st.text_input(
        "Image of the server", key="plan_image", width=320, placeholder="the same as now"
    ).strip()
    if not weights or not model:
        return "Tell where the weights are, and the name under which requests ask for them."
    parameters: dict[str, str | int] = {"weights": weights, "model": model}
    if size is not None:
        parameters["size_gib"] = size
    if image:
        parameters["image"] = image
    return Request("deploy_model", spec.name, parameters)


def roll_back(_snapshot: Snapshot, spec: TierSpec) -> Request | str:
    """Nothing but the tier."""
    return Request("roll_back", spec.name, {})


def acknowledge(snapshot: Snapshot, spec: TierSpec) -> Request | str:
    """Which of the tier's open alerts."""
    return _acknowledge(snapshot, spec.name, spec.name)


def acknowledge_of_all(snapshot: Snapshot) -> Request | str:
    """Which of the open alerts that are no tier's."""
    return _acknowledge(snapshot, "", PLATFORM)


def _acknowledge(snapshot: Snapshot, owner: str, tier: str) -> Request | str:
    names = {a.name: a.title for a in snapshot.alerts or () if a.tier == owner}
    if not names:
        return "No such alert is open."
    chosen = st.selectbox(
        "Alert", list(names), key="plan_alert", width=420,
        format_func=lambda name: f"{names.get(name, name)} · {name.rsplit('/', 1)[-1]}",
    )  # fmt: skip
    return Request("acknowledge_incident", tier, {"alert": chosen})
