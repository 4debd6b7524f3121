"""What one tier has for itself: account, workload policies, node pools, and its place behind the
balancer. What runs in the cluster is `objects.py`'s, who watches it `watching.py`'s."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from core import tpu
from core.chain.objects import object_pieces
from core.chain.pieces import PREFIX, Piece, Site
from core.chain.watching import watching_pieces
from core.cloud_resources import mark
from core.specs import TIER_LABEL, PartKind, PartSpec, TierSpec

IDENTITY_ROLE: Final = "roles/iam.workloadIdentityUser"
MAX_NODES: Final = 1000  # GKE's limit of nodes per zone of a pool
_API: Final = "https://www.googleapis.com/compute/v1"  # how an exported map names services
_ANSWER_S: Final = 600  # long generations are cut by Compute's default of 30 s


def tier_pieces(site: Site, spec: TierSpec, part: PartSpec, slices: int) -> Iterator[Piece]:
    """The pieces of a tier's GKE part with that many slices, in order; names follow from `spec`."""
    yield from _account(site, spec)
    pools = tuple(_pools(site, spec, part, slices))
    yield from pools
    keys = tuple(piece.key for piece in pools if piece.key.startswith("pool-"))
    yield from object_pieces(site, spec, part, slices, keys)
    yield from _behind_balancer(site, spec)
    yield from watching_pieces(site, spec)


def backend_name(spec: TierSpec) -> str:
    """Name of the tier's backend service."""
    return spec.backend_service or f"{PREFIX}-{spec.name}"


def _account(site: Site, spec: TierSpec) -> Iterator[Piece]:
    name = f"{PREFIX}-{spec.name}-server"
    project = f"--project={site.project}"
    member = f"serviceAccount:{site.project}.svc.id.goog[{spec.namespace}/server]"
    yield Piece(
        "server-account", site.account(name), f"service account {name}", spec.name,
        {"displayName": f"Server of {spec.title}", "description": mark(spec.name)},
        f'gcloud iam service-accounts create {name} --display-name="Server of {spec.title}"'
        f" --description='{mark(spec.name)}' {project}",
        f"gcloud iam service-accounts delete {site.email(name)} {project} --quiet",
        ("api-iam",), ("iam.serviceAccounts.create", "iam.serviceAccounts.delete"),
    )  # fmt: skip
    yield Piece(
        "server-identity", site.grant(IDENTITY_ROLE, member, name),
        f"workload identity of {name}", spec.name, {},
        f"gcloud iam service-accounts add-iam-policy-binding {site.email(name)}"
        f" --role={IDENTITY_ROLE} --member='{member}' {project}",
        f"gcloud iam service-accounts remove-iam-policy-binding {site.email(name)}"
        f" --role={IDENTITY_ROLE} --member='{member}' {project}",
        ("server-account", "cluster"), ("iam.serviceAccounts.setIamPolicy",),
        goes_with="server-account",
    )  # fmt: skip


def _pools(site: Site, spec: TierSpec, part: PartSpec, slices: int) -> Iterator[Piece]:
    """Single-host slices share pools, a multi-host slice is an atomic pool with a policy."""
    gen = tpu.generation(spec.generation or "")
    hosts = tpu.hosts_per_slice(gen, spec.topology)
    if part.kind is PartKind.GKE_SINGLE_HOST:
        for index in range((slices + MAX_NODES - 1) // MAX_NODES):
            nodes = min(MAX_NODES, slices - index * MAX_NODES)
            yield _pool(site, spec, part, index, nodes, "")
        return
    name = f"{PREFIX}-{spec.name}-{spec.topology}"
    yield Piece(
        "policy", site.compute(f"regions/{site.region}/resourcePolicies/{name}"),
        f"workload policy {name}", spec.name,
        {"workloadPolicy": {"type": "HIGH_THROUGHPUT", "acceleratorTopology": spec.topology},
         "description": mark(spec.name)},
        f"gcloud compute resource-policies create workload-policy {name} --region={site.region}"
        f" --type=HIGH_THROUGHPUT --accelerator-topology={spec.topology}"
        f" --description='{mark(spec.name)}' --project={site.project}",
        f"gcloud compute resource-policies delete {name} --region={site.region}"
        f" --project={site.project} --quiet",
        ("api-compute",), ("compute.resourcePolicies.create", "compute.resourcePolicies.delete"),
    )  # fmt: skip
    for index in range(slices):
        yield _pool(site, spec, part, index, hosts, name)


def _pool(site: Site, spec: TierSpec, part: PartSpec, index: int, nodes: int, policy: str) -> Piece:
    name = f"{part.name_prefix.rstrip('-')}-{index:02d}"
    gen = tpu.generation(spec.generation or "")
    chips = tpu.chips(spec.topology) // tpu.hosts_per_slice(gen, spec.topology)
    account = site.email(f"{PREFIX}-nodes")
    body = {
        "initialNodeCount": nodes,
        "locations": [part.location],
        "config": {
            "machineType": gen.machine_types[chips],
            "serviceAccount": account,
            "labels": {TIER_LABEL: spec.name},
            "resourceLabels": {TIER_LABEL: spec.name},
        },
        **({"placementPolicy": {"policyName": policy}} if policy else {}),
    }
    place = f"--cluster={site.cluster} --location={site.cluster_location} --project={site.project}"
    placed = f" --placement-policy={policy}" if policy else ""
    return Piece(
        f"pool-{index:02d}", f"{site.cluster_name}/nodePools/{name}",
        f"node pool {name}", spec.name, body,
        f"gcloud container node-pools create {name} --node-locations={part.location}"
        f" --machine-type={gen.machine_types[chips]} --num-nodes={nodes}"
        f" --service-account={account} --node-labels={TIER_LABEL}={spec.name}"
        f" --labels={TIER_LABEL}={spec.name}{placed} {place}",
        f"gcloud container node-pools delete {name} {place} --quiet",
        ("cluster", *(("policy",) if policy else ())),
        ("container.clusters.update", "container.operations.get"),
    )  # fmt: skip


def edit_command(project: str, url_map: str, edit: str) -> str:
    """gcloud has no flags for a map's rules and weights: export, edit (yq), import."""
    ends = f"--global --project={project}"
    return (
        f"gcloud compute url-maps export {url_map} {ends} | yq '{edit}'"
        f" | gcloud compute url-maps import {url_map} {ends} --source=- --quiet"
    )


def _behind_balancer(site: Site, spec: TierSpec) -> Iterator[Piece]:
    name, neg = backend_name(spec), f"{PREFIX}-{spec.name}-neg"
    glob = f"--global --project={site.project}"
    link = site.link(f"global/backendServices/{name}")
    group = site.link(f"zones/{site.zone}/networkEndpointGroups/{neg}")
    yield Piece(
        "backend", site.compute(f"global/backendServices/{name}"), f"backend service {name}",
        spec.name,
        {"loadBalancingScheme": "EXTERNAL_MANAGED", "protocol": "HTTP", "timeoutSec": _ANSWER_S,
         "healthChecks": [site.link(f"global/healthChecks/{PREFIX}-ready")],
         "connectionDraining": {"drainingTimeoutSec": 300},
         "backends": [{"group": group, "balancingMode": "RATE", "maxRatePerEndpoint": 10}],
         "description": mark(spec.name)},
        f"gcloud compute backend-services create {name} --load-balancing-scheme=EXTERNAL_MANAGED"
        f" --protocol=HTTP --health-checks={PREFIX}-ready --timeout={_ANSWER_S}s"
        f" --connection-draining-timeout=300s --description='{mark(spec.name)}' {glob}\n"
        f"gcloud compute backend-services add-backend {name} --network-endpoint-group={neg}"
        f" --network-endpoint-group-zone={site.zone} --balancing-mode=RATE"
        f" --max-rate-per-endpoint=10 {glob}",
        f"gcloud compute backend-services delete {name} {glob} --quiet",
        ("health-check", "probes", "neg"),
        ("compute.backendServices.create", "compute.backendServices.delete"),
    )  # fmt: skip
    paths = [f"/{spec.name}/*"]
    rule = {"paths": paths, "service": f"{_API}/{link}"}
    where = site.project, site.url_map
    leads = f'.service == "{_API}/{link}"'
    yield Piece(
        "rule", site.compute(f"global/backendServices/{name}/urlMaps/{site.url_map}"),
        f"path {paths[0]} of URL map {site.url_map}", spec.name,
        {"paths": paths, "service": link},
        edit_command(*where, f".pathMatchers[0].pathRules += [{json.dumps(rule)}]"),
        edit_command(*where, f"del(.pathMatchers[].pathRules[]? | select({leads}))"),
        ("url-map", "backend"), ("compute.urlMaps.update", "compute.backendServices.use"),
    )  # fmt: skip
