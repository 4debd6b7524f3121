"""What the actions ask for that make or delete whole tiers: widgets in, a `Request` out.

Which forms there are is `ui/action_forms.py`'s; those that ask for nothing have no function.
"""

from __future__ import annotations

import re
from typing import Final

import streamlit as st

from core.actions.chain_steps import DEFAULT_HOST, gke_part
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


def tear_down(_snapshot: Snapshot, spec: TierSpec) -> Request | str:
    """Nothing but the tier."""
    return Request("tear_down_tier", spec.name, {})
