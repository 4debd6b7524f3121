"""A plan as Terraform: every field is one of the provider's, and nothing is left out unsaid."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from core.actions import PlanContext, make_plan
from core.actions.chain_steps import CREATE
from core.plans import Plan, Request
from core.terraform import to_terraform
from tests.make import NOW, make_snapshot

# Fields of every kind of the provider hashicorp/google 6.50 (and google-beta) that plans use; "!":
# required. Taken from its generated bindings (cdktf-cdktf-provider-google 16.12.1).
SCHEMA: Mapping[str, Any] = json.loads(
    Path(__file__).with_name("terraform_schema.json").read_text("utf-8")
)
OF_TERRAFORM = {"depends_on", "provider"}
WISHES = (
    ("provision_tier", "small", {"slices": 2}),
    ("provision_tier", "medium", {"slices": 1}),
    ("provision_tier", "dev", {}),
    ("provision_tier", "dev", {"queued": True}),
    ("provision_tier", "small", {}),
)


def planned(action: str, tier: str, parameters: Mapping[str, Any]) -> Plan:
    """In a project in which nothing is."""
    context = PlanContext("demo", billing_account="billingAccounts/A-B-C", resources={})
    return make_plan(make_snapshot(), Request(action, tier, parameters), NOW, context)


def wrong(body: Any, fields: Mapping[str, Any] | None, path: str) -> Iterator[str]:
    """Where a block has what the provider does not know, or lacks what it wants."""
    for block in body if isinstance(body, list) else [body]:
        if not isinstance(block, dict) or fields is None:
            continue
        names = {name.rstrip("!"): inner for name, inner in fields.items()}
        for name, value in block.items():
            if name not in names and name not in OF_TERRAFORM:
                yield f"{path}.{name} is unknown"
            elif name in names:
                yield from wrong(value, names[name], f"{path}.{name}")
        wanted = {name.rstrip("!") for name in fields if name.endswith("!")}
        yield from (f"{path} lacks {name}" for name in wanted - block.keys())


@pytest.mark.parametrize(("action", "tier", "parameters"), WISHES)
def test_every_field_is_the_providers(action: str, tier: str, parameters: dict[str, Any]) -> None:
    """By the schema of the provider; Kubernetes' objects are whole in their manifests."""
    document = json.loads(to_terraform(planned(action, tier, parameters)))
    found = [
        line
        for kind, blocks in document["resource"].items()
        for label, body in blocks.items()
        if kind != "kubernetes_manifest"
        for line in wrong(body, SCHEMA[kind], f"{kind}.{label}")
    ]
    assert found == []


@pytest.mark.parametrize(("action", "tier", "parameters"), WISHES)
def test_nothing_is_left_out_unsaid(action: str, tier: str, parameters: dict[str, Any]) -> None:
    """Each step is a block, a rule in one, or a sentence; what one needs is a block that is there.

    A tier's servers come after what they need.
    """
    plan = planned(action, tier, parameters)
    document = json.loads(to_terraform(plan))
    blocks = {
        (f"data.{kind}.{label}" if where == "data" else f"{kind}.{label}"): body
        for where in ("resource", "data")
        for kind, labels in document.get(where, {}).items()
        for label, body in labels.items()
    }
    told = "\n".join(document["//"])
    labels = {address.rsplit(".", 1)[-1] for address in blocks}
    for step in plan.steps:
        in_map = step.key == "rule" and "path_rule" in str(blocks)
        assert step.key in labels or in_map or step.title in told, step.title
    for body in blocks.values():
        assert set(body.get("depends_on", ())) <= blocks.keys()


def test_what_changes_what_is_there_is_told_in_words() -> None:
    """With the kind and the field; what has no word for it in Terraform, with its command."""
    document = json.loads(to_terraform(planned("scale_tier", "small", {"delta": -1})))
    assert "resource" not in document
    assert "google_container_node_pool hw-small-02 set node_count to 15" in document["//"][1]
    shift = {"place": "hw-map llm any other", "to": "hw-medium", "percent": 20}
    document = json.loads(to_terraform(planned("shift_traffic", "small", shift)))
    assert "weighted_backend_services" in document["//"][1]


def test_unknown_kinds_are_told() -> None:
    """A resource for which there is no block is named with the command that makes it."""
    plan = planned("provision_tier", "small", {})
    assert any("deployedModels" in s.resource and s.verb == CREATE for s in plan.steps)
    told = [t for t in json.loads(to_terraform(plan))["//"] if "no Terraform resource" in t]
    assert any("replicas of model" in line for line in told)


def test_terraform_itself_reads_it(tmp_path: Path) -> None:
    """Its own parser takes the file; the providers cannot be asked without a registry."""
    if shutil.which("terraform") is None:
        pytest.skip("Terraform is not installed")
    plan = planned(*WISHES[0])
    (tmp_path / "plan.tf.json").write_text(to_terraform(plan), encoding="utf-8")
    ran = subprocess.run(
        ["terraform", f"-chdir={tmp_path}", "providers"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "hashicorp/google" in ran.stdout
