"""Which resource of Terraform's stands for which of an API's, and how its fields are called there.

Field names are the API's in snake case, but for those told here; from the schema of the provider
google 6.50. A resource that has none of Terraform's is None, which the caller tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from core.cloud_resources import KUBERNETES, path_of, service_of

Json = Mapping[str, Any]
Block = dict[str, Any]

BETA: Final = "google-beta"  # the provider that has TPU nodes
# Fields whose keys are data, not names.
_MAPS: Final = ("labels", "resourceLabels", "userLabels", "metadata")
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Resource:
    """One block; `looked_up`: Terraform reads it, and does not make it."""

    kind: str
    label: str
    body: Block
    looked_up: bool = False

    @property
    def address(self) -> str:
        """How other blocks name it."""
        return f"{'data.' if self.looked_up else ''}{self.kind}.{self.label}"


def translate(name: str, body: Json, label: str) -> list[Resource] | None:
    """The blocks that stand for a resource of that full name; None: no kind is known for it."""
    body = literal(body)
    if KUBERNETES in name:
        return [Resource("kubernetes_manifest", label, {"manifest": body})]
    path = path_of(name)
    for pattern, build in _KINDS:
        found = pattern.fullmatch(f"{service_of(name).partition('.')[0]}/{path}")
        if found is not None:
            return build({k: unquote(v) for k, v in found.groupdict().items()}, body, label)
    return None


def literal(node: Any) -> Any:
    """The node with what Terraform would take for a template told as it stands."""
    if isinstance(node, Mapping):
        return {key: literal(value) for key, value in node.items()}
    if isinstance(node, list):
        return [literal(item) for item in node]
    return node.replace("${", "$${").replace("%{", "%%{") if isinstance(node, str) else node


def snake(node: Any) -> Any:
    """The node with its fields in snake case."""
    if isinstance(node, Mapping):
        return {
            _WORD.sub("_", key).lower(): dict(value) if key in _MAPS else snake(value)
            for key, value in node.items()
        }
    return [snake(item) for item in node] if isinstance(node, list) else node


def path_rule(body: Json, backend: str) -> Block:
    """A rule of a URL map; `backend` is the service's address, where the same file makes it."""
    service = f"${{{backend}.id}}" if backend else body["service"]
    return {"paths": list(body["paths"]), "service": service,
            "route_action": snake(body["routeAction"])}  # fmt: skip


Names = Mapping[str, str]
Build = Callable[[Names, Json, str], list[Resource] | None]


def _plain(kind: str, *, names: str = "name", left_out: str = "", **renamed: str) -> Build:
    """Fields as the API has them, but for one left out and those renamed.

    `names`: which parts of the path are fields.
    """

    def build(found: Names, body: Json, label: str) -> list[Resource]:
        said: Block = snake(body)
        fields = {renamed.get(key, key): said[key] for key in said if key != left_out}
        told = {key: found[key] for key in names.split()}
        return [Resource(kind, label, {**told, **fields})]

    return build


def _firewall(found: Names, body: Json, label: str) -> list[Resource]:
    allow = [{"protocol": rule["IPProtocol"], "ports": rule["ports"]} for rule in body["allowed"]]
    rest = {key: value for key, value in snake(body).items() if key != "allowed"}
    fields = {"name": found["name"], **rest, "allow": allow}
    return [Resource("google_compute_firewall", label, fields)]


def _service(found: Names, _body: Json, label: str) -> list[Resource]:
    fields = {"service": found["name"], "disable_on_destroy": False}
    return [Resource("google_project_service", label, fields)]


def _account(found: Names, body: Json, label: str) -> list[Resource]:
    fields = {"account_id": found["name"].partition("@")[0], **snake(body)}
    return [Resource("google_service_account", label, fields)]


def _grant(found: Names, _body: Json, label: str) -> list[Resource]:
    who = {"role": found["role"], "member": found["member"]}
    fields = {"project": found["project"], **who}
    return [Resource("google_project_iam_member", label, fields)]


def _grant_on_account(found: Names, _body: Json, label: str) -> list[Resource]:
    account = f"projects/{found['project']}/serviceAccounts/{found['account']}"
    who = {"role": found["role"], "member": found["member"]}
    fields = {"service_account_id": account, **who}
    return [Resource("google_service_account_iam_member", label, fields)]


def _cluster(found: Names, body: Json, label: str) -> list[Resource]:
    """Its first pool is a resource of its own; the one that Terraform must make is removed."""
    said = snake(body)
    taken = ("node_pools", "locations", "initial_cluster_version", "ip_allocation_policy")
    ranges = said["ip_allocation_policy"]
    fields = {
        "name": found["name"],
        "location": found["location"],
        "node_locations": said["locations"],
        "min_master_version": said["initial_cluster_version"],
        "ip_allocation_policy": {k: v for k, v in ranges.items() if k != "use_ip_aliases"},
        "networking_mode": "VPC_NATIVE",
        "remove_default_node_pool": True,
        "initial_node_count": 1,
        "deletion_protection": False,
        **{key: value for key, value in said.items() if key not in taken},
    }
    return [Resource("google_container_cluster", label, fields)]


def _pool(found: Names, body: Json, label: str) -> list[Resource]:
    said = snake(body)
    fields = {
        **{key: found[key] for key in ("name", "cluster", "location")},
        "node_count": said["initial_node_count"],
        "node_config": said["config"],
    }
    if "locations" in said:
        fields["node_locations"] = said["locations"]
    if "placement_policy" in said:
        # The provider wants a type; a workload policy decides by itself how hosts are placed.
        fields["placement_policy"] = {"type": "COMPACT", **said["placement_policy"]}
    return [Resource("google_container_node_pool", label, fields)]


def _group(found: Names, _body: Json, label: str) -> list[Resource]:
    """Comes with its Service, so it is looked up."""
    fields = {"name": found["name"], "zone": found["zone"]}
    return [Resource("google_compute_network_endpoint_group", label, fields, looked_up=True)]


def _backend_service(found: Names, body: Json, label: str) -> list[Resource]:
    said = snake(body)
    draining = said.pop("connection_draining", {})
    fields = {"name": found["name"], **said}
    if "backends" in fields:
        fields["backend"] = fields.pop("backends")
    if draining:
        fields["connection_draining_timeout_sec"] = draining["draining_timeout_sec"]
    return [Resource("google_compute_backend_service", label, fields)]


def _dashboard(found: Names, body: Json, label: str) -> list[Resource]:
    whole = json.dumps({"displayName": found["name"], **body}, sort_keys=True)
    return [Resource("google_monitoring_dashboard", label, {"dashboard_json": whole})]


def _sink(found: Names, body: Json, label: str) -> list[Resource]:
    """With the right of its writer on the dataset."""
    fields = {"name": found["name"], "unique_writer_identity": True, **snake(body)}
    sink = Resource("google_logging_project_sink", label, fields)
    member = f"${{{sink.address}.writer_identity}}"
    writer = {
        "dataset_id": str(body["destination"]).rsplit("/", 1)[-1],
        "role": "roles/bigquery.dataEditor",
        "member": member,
    }
    return [sink, Resource("google_bigquery_dataset_iam_member", f"{label}-writer", writer)]


def _budget(found: Names, body: Json, label: str) -> list[Resource]:
    said = snake(body)
    budget_filter = dict(said["budget_filter"])
    if "labels" in budget_filter:  # the provider takes one value for each
        budget_filter["labels"] = {k: v[0] for k, v in budget_filter["labels"].items()}
    fields = {
        "billing_account": found["account"],
        "display_name": found["name"],
        **{key: value for key, value in said.items() if key != "budget_filter"},
        "budget_filter": budget_filter,
    }
    return [Resource("google_billing_budget", label, fields)]


def _tpu_vm(found: Names, body: Json, label: str) -> list[Resource] | None:
    """None for one that comes of a queued resource: the provider's have neither account nor label,
    nor a topology."""
    where = {"provider": BETA, "name": found["name"], "zone": found["zone"]}
    return [Resource("google_tpu_v2_vm", label, {**where, **snake(body)})] if body else None


def _pattern(text: str) -> re.Pattern[str]:
    """{name} stands for one part of a path."""
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text))


_COMPUTE: Final = "compute/projects/{project}"
_CLUSTER: Final = "container/projects/{project}/locations/{location}/clusters"
_KINDS: Final[tuple[tuple[re.Pattern[str], Build], ...]] = tuple(
    (_pattern(path), build)
    for path, build in (
        ("serviceusage/projects/{project}/services/{name}", _service),
        (f"{_COMPUTE}/global/networks/{{name}}", _plain("google_compute_network")),
        (
            f"{_COMPUTE}/regions/{{region}}/subnetworks/{{name}}",
            _plain(
                "google_compute_subnetwork",
                names="name region",
                secondary_ip_ranges="secondary_ip_range",
            ),
        ),
        (f"{_COMPUTE}/global/firewalls/{{name}}", _firewall),
        (
            f"{_COMPUTE}/regions/{{region}}/resourcePolicies/{{name}}",
            _plain("google_compute_resource_policy", names="name region"),
        ),
        (f"{_COMPUTE}/zones/{{zone}}/networkEndpointGroups/{{name}}", _group),
        (
            f"{_COMPUTE}/global/healthChecks/{{name}}",
            _plain("google_compute_health_check", left_out="type"),
        ),
        (f"{_COMPUTE}/global/backendServices/{{name}}", _backend_service),
        (
            f"{_COMPUTE}/global/urlMaps/{{name}}",
            _plain("google_compute_url_map", host_rules="host_rule", path_matchers="path_matcher"),
        ),
        (
            f"{_COMPUTE}/global/sslCertificates/{{name}}",
            _plain("google_compute_managed_ssl_certificate"),
        ),
        (
            f"{_COMPUTE}/global/targetHttpsProxies/{{name}}",
            _plain("google_compute_target_https_proxy"),
        ),
        (f"{_COMPUTE}/global/addresses/{{name}}", _plain("google_compute_global_address")),
        (
            f"{_COMPUTE}/global/forwardingRules/{{name}}",
            _plain("google_compute_global_forwarding_rule"),
        ),
        ("iam/projects/{project}/serviceAccounts/{name}", _account),
        ("cloudresourcemanager/projects/{project}/{role}/{member}", _grant),
        (
            "cloudresourcemanager/projects/{project}/serviceAccounts/{account}/{role}/{member}",
            _grant_on_account,
        ),
        (f"{_CLUSTER}/{{name}}", _cluster),
        (f"{_CLUSTER}/{{cluster}}/nodePools/{{name}}", _pool),
        (
            "monitoring/projects/{project}/alertPolicies/{display_name}",
            _plain("google_monitoring_alert_policy", names="display_name"),
        ),
        ("monitoring/projects/{project}/dashboards/{name}", _dashboard),
        (
            "bigquery/projects/{project}/datasets/{dataset_id}",
            _plain("google_bigquery_dataset", names="dataset_id"),
        ),
        ("logging/projects/{project}/sinks/{name}", _sink),
        ("billingbudgets/billingAccounts/{account}/budgets/{name}", _budget),
        ("tpu/projects/{project}/locations/{zone}/nodes/{name}", _tpu_vm),
        (
            "aiplatform/projects/{project}/locations/{location}/endpoints/{name}",
            _plain("google_vertex_ai_endpoint", names="name location"),
        ),
    )
)
