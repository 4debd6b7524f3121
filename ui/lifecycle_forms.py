"""What the actions ask for that make, change or delete what a tier consists of, and alerts.

Widgets in, a `Request` out. Which forms there are is `ui/action_forms.py`'s; those of scale and
traffic are there.
"""

from __future__ import annotations

import re
from typing import Final

import streamlit as st

from core.actions.chain_steps import DEFAULT_HOST, gke_part
from core.cloud_resources import PLATFORM
from core.errors import PlanError
from core.plans import Request
from core.records import Snapshot
from core.specs import TierSpec

_MOST_SLICES: Final = 4096
_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+", re.ASCII)


def provision(_snapshot: Snapshot, spec: TierSpec) -> Request | str:
    """How many slices, and the host name of the certificate."""
    try:
        configured = gke_part(spec).slices
    except PlanError as error:
        return f"{error.message} {error.hint}"
    slices = st.number_input(
        "Slices on GKE", 1, _MOST_SLICES, max(1, configured), key="plan_slices", width=150,
        help=f"{configured} are configured in heartwood.toml",
    )  # fmt: skip
    typed = st.text_input(
        "Host name of its certificate", DEFAULT_HOST, key="plan_host", width=320, max_chars=253,
        help="Under which clients call the load balancer; shared by all tiers",
    )  # fmt: skip
    host = typed.strip().lower().removesuffix(".")
    if _HOST.fullmatch(host) is None:
        return f"{typed or 'Nothing'} is no host name: it is written like inference.example.com"
    return Request("provision_tier", spec.name, {"slices": int(slices), "host": host})


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
    size = st.number_input(
        "Volume in GiB", 4, 65_536, None, key="plan_size_gib", width=150,
        placeholder="as the model weighs",
    )  # fmt: skip
    image = st.text_input(
        "Image of the server", key="plan_image", width=320, placeholder="the same as now"
    ).strip()
    if not weights or not model:
        return "Tell where the weights are, and the name under which requests ask for them."
    parameters: dict[str, str | int] = {"weights": weights, "model": model}
    if size is not None:
        parameters["size_gib"] = int(size)
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
