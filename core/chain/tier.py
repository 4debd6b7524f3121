"""What one tier has for itself; on GKE: account, workload policies, node pools, and its place
behind the balancer. What runs in the cluster is `objects.py`'s, nodes of the Cloud TPU API are
`tpu_vm.py`'s, replicas on Vertex `vertex.py`'s; who watches it all `watching.py`'s."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from core import tpu
from core.chain.objects import object_pieces
from core.chain.pieces import PREFIX, Piece, Place, Site
from core.chain.server_account import server_account
from core.chain.tpu_vm import node_pieces
from core.chain.vertex import replica_pieces
from core.chain.watching import watching_pieces
from core.cloud_resources import mark
from core.specs import TIER_LABEL, PartKind, PartSpec, TierSpec

IDENTITY_ROLE: Final = "roles/iam.workloadIdentityUser"
MAX_NODES: Final = 1000  # GKE's limit of nodes per zone of a pool
_API: Final = "https://www.googleapis.com/compute/v1"  # how an exported map names services
_ANSWER_S: Final = 600  # long generations are cut by Compute's default of 30 s


def tier_pieces(spec: TierSpec, places: Sequence[Place]) -> Iterator[Piece]:
    """The pieces of a tier's parts at these places, in order; names follow from `spec`.

    Of each kind of part one place; what two of them need is there once.
    """
    made: set[str] = set()
    for place in places:
        for piece in _of_part(place, spec):
            if piece.key not in made:
                made.add(piece.key)
                yield piece
    yield from watching_pieces(places[0], spec)


def _of_part(place: Place, spec: TierSpec) -> Iterator[Piece]:
    if place.part.kind is PartKind.TPU_VM:
        return node_pieces(place, spec)
    if place.part.kind is PartKind.VERTEX:
        return replica_pieces(place, spec)
    return _on_gke(place, spec)


def _on_gke(place: Place, spec: TierSpec) -> Iterator[Piece]:
    site, part = place.site, place.part
    yield from _account(site, spec)
    pools = tuple(_pools(place, spec))
    yield from pools
    keys = tuple(piece.key for piece in pools if piece.key.startswith("pool-"))
    yield from object_pieces(site, spec, part, place.slices, keys)
    yield from _behind_balancer(site, spec)


def backend_name(spec: TierSpec) -> str:
    """Name of the tier's backend service."""
    return spec.backend_service or f"{PREFIX}-{spec.name}"


def _account(site: Site, spec: TierSpec) -> Iterator[Piece]:
    yield server_account(site, spec)
    name = f"{PREFIX}-{spec.name}-server"
    project = f"--project={site.project}"
    member = f"serviceAccount:{site.project}.svc.id.goog[{spec.namespace}/server]"
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


def _pools(place: Place, spec: TierSpec) -> Iterator[Piece]:
    """Single-host slices share pools, a multi-host slice is an atomic pool with a policy."""
    if place.part.kind is PartKind.GKE_SINGLE_HOST:
        for index in range((place.slices + MAX_NODES - 1) // MAX_NODES):
            nodes = min(MAX_NODES, place.slices - index * MAX_NODES)
            yield _pool(place, spec, f"pool-{index:02d}", pool_name(place.part, index), nodes, "")
        return
    yield policy_piece(place.site, spec)
    for index in range(place.slices):
        yield slice_pool(place, spec, index)


def policy_piece(site: Site, spec: TierSpec) -> Piece:
    """The workload policy that places the hosts of a slice beside one another."""
    name = policy_name(spec)
    return Piece(
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


def policy_name(spec: TierSpec) -> str:
    """Of the tier's workload policy."""
    return f"{PREFIX}-{spec.name}-{spec.topology}"


def pool_name(part: PartSpec, index: int) -> str:
    """Of the part's node pool with that number."""
    return f"{part.name_prefix.rstrip('-')}-{index:02d}"


def slice_pool(place: Place, spec: TierSpec, index: int) -> Piece:
    """The atomic node pool that is the multi-host slice with that number."""
    hosts = tpu.hosts_per_slice(tpu.generation(spec.generation or ""), spec.topology)
    name = pool_name(place.part, index)
    return _pool(place, spec, f"pool-{index:02d}", name, hosts, policy_name(spec))


def _pool(place: Place, spec: TierSpec, key: str, name: str, nodes: int, policy: str) -> Piece:
    site, part, gen = place.site, place.part, tpu.generation(spec.generation or "")
    per_node = tpu.chips_per_host(gen, spec.topology)
    account = site.email(f"{PREFIX}-nodes")
    body = {
        "initialNodeCount": nodes,
        "locations": [part.location],
        "config": {
            "machineType": gen.machine_types[per_node],
            "serviceAccount": account,
            "labels": {TIER_LABEL: spec.name},
            "resourceLabels": {TIER_LABEL: spec.name},
            **_terms(place),
        },
        **({"placementPolicy": {"policyName": policy}} if policy else {}),
    }
    where = f"--cluster={site.cluster} --location={site.cluster_location} --project={site.project}"
    placed = f" --placement-policy={policy}" if policy else ""
    return Piece(
        key, f"{site.cluster_name}/nodePools/{name}",
        f"node pool {name}", spec.name, body,
        f"gcloud container node-pools create {name} --node-locations={part.location}"
        f" --machine-type={gen.machine_types[per_node]} --num-nodes={nodes}"
        f" --service-account={account} --scopes=cloud-platform"
        f" --node-labels={TIER_LABEL}={spec.name} --labels={TIER_LABEL}={spec.name}"
        f"{placed}{_flags(place)} {where}",
        f"gcloud container node-pools delete {name} {where} --quiet",
        ("cluster", *(("policy",) if policy else ())),
        ("container.clusters.update", "container.operations.get"),
        chips=nodes * per_node, slices=1 if policy else nodes,
    )  # fmt: skip


def _terms(place: Place) -> dict[str, Any]:
    """What a pool's nodes are asked for on."""
    if not place.reservation:
        return {"spot": True} if place.spot else {}
    affinity = {
        "consumeReservationType": "SPECIFIC_RESERVATION",
        "key": "compute.googleapis.com/reservation-name",
        "values": [place.reservation],
    }
    return {"reservationAffinity": affinity}


def _flags(place: Place) -> str:
    """The same as gcloud says it."""
    if not place.reservation:
        return " --spot" if place.spot else ""
    return f" --reservation-affinity=specific --reservation={place.reservation}"


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
    # Servers know no tiers: they are asked for /v1/…, whatever prefix led to them.
    at_root = {"urlRewrite": {"pathPrefixRewrite": "/"}}
    rule = {"paths": paths, "service": f"{_API}/{link}", "routeAction": at_root}
    where = site.project, site.url_map
    # What the service gets by weights goes to those beside it; a rule that is its alone goes.
    weights = ".pathMatchers[].pathRules[]?.routeAction.weightedBackendServices"
    others = f'.backendService != "{_API}/{link}"'
    leads = f'.service == "{_API}/{link}" or .routeAction.weightedBackendServices == []'
    yield Piece(
        "rule", site.compute(f"global/backendServices/{name}/urlMaps/{site.url_map}"),
        f"path {paths[0]} of URL map {site.url_map}", spec.name,
        {"paths": paths, "service": link, "routeAction": at_root},
        edit_command(*where, f".pathMatchers[0].pathRules += [{json.dumps(rule)}]"),
        edit_command(*where, f"({weights} | select(.)) |= map(select({others}))"
                     f" | del(.pathMatchers[].pathRules[]? | select({leads}))"),
        ("url-map", "backend"), ("compute.urlMaps.update", "compute.backendServices.use"),
    )  # fmt: skip
