"""What a step that makes nothing new means for a configuration in Terraform, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from core.actions import canary, change_budget, drain_tier, rollouts, scale_tier, shift_traffic
from core.actions.chain_steps import ADD_PATH, DELETE, TAKE_OUT_PATH
from core.cloud_resources import path_of, short_name
from core.plans import Step


def told_change(step: Step) -> str:
    """One sentence; for what Terraform has no word for, the step's command."""
    tell = _CHANGES.get(step.verb)
    if tell is not None:
        return f"{step.title}: {tell(step)}"
    first = step.command.partition("\n")[0]
    return f"{step.title}: no Terraform resource is known for it here; the command is: {first}"


def _values(step: Step) -> str:
    return ", ".join(f"{name} {value}" for name, value in step.after.items())


_CHANGES: Final[Mapping[str, Callable[[Step], str]]] = {
    scale_tier.VERB: lambda s: (
        f"in google_container_node_pool {short_name(s.resource)} set node_count to"
        f" {s.after.get('node_count')}"
    ),
    drain_tier.VERB: lambda s: (
        f"in google_compute_backend_service {short_name(s.resource)} set capacity_scaler of the"
        f" backends: {_values(s)}"
    ),
    shift_traffic.VERB: lambda s: (
        f"in google_compute_url_map {short_name(s.resource)} set the route action's"
        f" weighted_backend_services: {_values(s)}"
    ),
    change_budget.VERB: lambda s: f"in google_billing_budget set {_values(s)}",
    rollouts.VERB: lambda s: (
        f"in kubernetes_manifest {short_name(s.resource)} set the pod template that the plan's JSON"
        " has as body"
    ),
    canary.VERB: lambda _: "Terraform watches nothing: look at the objectives before going on",
    DELETE: lambda s: f"take the block of {short_name(path_of(s.resource))} out",
    ADD_PATH: lambda s: f"add a path_rule to google_compute_url_map {short_name(s.resource)}",
    TAKE_OUT_PATH: lambda s: (
        f"take the path_rule out of google_compute_url_map {short_name(s.resource)}"
    ),
}
