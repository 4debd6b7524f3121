"""A plan as Terraform, for those who keep their tiers in code: JSON syntax (`*.tf.json`).

What a plan makes becomes resources; what it changes or deletes in resources that are there already
cannot be told without their whole configuration, so each such step is told in words, under "//".
Which API resource is which of Terraform's is `resources.py`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from core.actions.chain_steps import ADD_PATH, CREATE
from core.cloud_resources import KUBERNETES, path_of
from core.plans import Plan, Step
from core.terraform.changes import told_change
from core.terraform.resources import BETA, Block, Resource, path_rule, translate

_GOOGLE: Final = ">= 6.50"  # whose fields these are; workload policies are among them
_KUBERNETES: Final = ">= 2.30"
_TERRAFORM: Final = ">= 1.5"
_PROJECT: Final = re.compile(r"(?:^|/)projects/([^/]+)/")
_TWICE: Final = (
    "The kubernetes provider reads the cluster while it plans: apply with"
    " -target=google_container_node_pool.system-pool first where the cluster is not there yet."
)


def to_terraform(plan: Plan) -> str:
    """The plan in Terraform's JSON syntax; steps that are no resource are told under "//"."""
    resources, by_hand = _resources(plan)
    notes = [f"{plan.title}. Plan {plan.digest[:12]}, made {plan.made_at:%Y-%m-%d %H:%M} UTC."]
    google = _google(plan)
    sources, providers = {"google": _source("google", _GOOGLE)}, {"google": google}
    kinds: dict[str, Block] = {"data": {}, "resource": {}}
    objects = [s.resource for s in plan.steps if KUBERNETES in s.resource and s.verb == CREATE]
    if objects:
        notes.append(_TWICE)
        sources["kubernetes"] = _source("kubernetes", _KUBERNETES)
        made = {(r.kind, r.label) for r in resources}
        providers["kubernetes"], kinds["data"] = _kubernetes(objects[0], made)
    if any(r.body.get("provider") == BETA for r in resources):
        sources[BETA], providers[BETA] = _source(BETA, _GOOGLE), google
    for found in resources:
        blocks = kinds["data" if found.looked_up else "resource"]
        blocks.setdefault(found.kind, {})[found.label] = found.body
    document = {
        "//": [*notes, *(f"By hand: {line}" for line in by_hand)],
        "terraform": {"required_version": _TERRAFORM, "required_providers": sources},
        "provider": providers,
        **{name: blocks for name, blocks in kinds.items() if blocks},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _source(name: str, version: str) -> Block:
    return {"source": f"hashicorp/{name}", "version": version}


def _resources(plan: Plan) -> tuple[list[Resource], list[str]]:
    """The resources, and what cannot be one, in words."""
    found: list[Resource] = []
    by_hand: list[str] = []
    address: dict[str, str] = {}  # of a step's resource, by the step's key
    for step in plan.steps:
        if step.verb == ADD_PATH and _add_path(step, found, address):
            continue
        made = translate(step.resource, _body(step), step.key) if step.verb == CREATE else None
        if made is None:
            by_hand.append(told_change(step))
            continue
        for resource in made:
            needs = sorted({address[key] for key in step.needs if key in address})
            if needs:
                resource.body["depends_on"] = [*needs, *resource.body.get("depends_on", ())]
            found.append(resource)
        if made:
            address[step.key] = made[0].address
    return found, by_hand


def _add_path(step: Step, found: Iterable[Resource], address: Mapping[str, str]) -> bool:
    """Put a path into the URL map that the same plan makes; False: it makes none."""
    url_map = path_of(step.resource).rsplit("/", 1)[-1]
    for resource in found:
        if resource.kind == "google_compute_url_map" and resource.body["name"] == url_map:
            rule = path_rule(_body(step), address.get("backend", ""))
            resource.body["path_matcher"][0].setdefault("path_rule", []).append(rule)
            return True
    return False


def _body(step: Step) -> Mapping[str, Any]:
    found: Any = json.loads(step.body or "{}")
    return found if isinstance(found, dict) else {}


def _google(plan: Plan) -> Block:
    named = (_PROJECT.search(step.resource) for step in plan.steps)
    project = next((found[1] for found in named if found), "")
    # Budgets are an API of the billing account, called on behalf of a project.
    return {"project": project, "billing_project": project, "user_project_override": True}


def _kubernetes(name: str, made: Iterable[tuple[str, str]]) -> tuple[Block, Block]:
    """The provider's configuration, and what has to be looked up for it."""
    parts = path_of(name).split("/")
    data: Block = {"google_client_config": {"current": {}}}
    cluster = "google_container_cluster.cluster"
    if ("google_container_cluster", "cluster") not in made:
        data["google_container_cluster"] = {"cluster": {"name": parts[5], "location": parts[3]}}
        cluster = f"data.{cluster}"
    authority = f"{cluster}.master_auth[0].cluster_ca_certificate"
    provider = {
        "host": f"https://${{{cluster}.endpoint}}",
        "token": "${data.google_client_config.current.access_token}",
        "cluster_ca_certificate": f"${{base64decode({authority})}}",
    }
    return provider, data
