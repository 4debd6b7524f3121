"""What of a tier runs in the cluster: namespace, identity, workload, Service with its NEG."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from core import tpu
from core.chain.pieces import PREFIX, SERVER_PORT, Json, Piece, Site
from core.specs import TIER_LABEL, PartKind, PartSpec, TierSpec

SERVER: Final = "server"
SERVICE: Final = "serving"  # a LeaderWorkerSet makes a Service of its own name
_SYSTEM: Final = ("cluster", "system-pool")  # the cluster's own pods outlive the tiers'
_PERMISSIONS: Final = {  # as IAM names kinds; all others are "third party objects"
    "Namespace": "namespaces",
    "ServiceAccount": "serviceAccounts",
    "Service": "services",
    "Deployment": "deployments",
    "StorageClass": "storageClasses",
    "PersistentVolumeClaim": "persistentVolumeClaims",
}
IMAGE: Final = "vllm/vllm-tpu:v0.11.1"
# How vLLM spans the hosts of a slice: they join a Ray cluster, whose head is the first host.
_RAY_LEAD: Final = "ray start --head --port=6379"
_RAY_FOLLOW: Final = (
    "until ray health-check --address=$(LWS_LEADER_ADDRESS):6379; do sleep 2; done;"
    " exec ray start --block --address=$(LWS_LEADER_ADDRESS):6379"
)
_OVER_RAY: Final = ("--distributed-executor-backend", "ray")


def object_pieces(
    site: Site, spec: TierSpec, part: PartSpec, slices: int, pools: Sequence[str]
) -> Iterator[Piece]:
    """The pieces, in order; `pools` are the keys of the node pools that they need."""
    space = spec.namespace
    core = f"api/v1/namespaces/{space}"
    yield object_piece(
        site, spec.name, "namespace", core, _meta("v1", "Namespace", spec, space), _SYSTEM
    )
    account = _meta("v1", "ServiceAccount", spec, SERVER, space)
    email = site.email(f"{PREFIX}-{spec.name}-server")
    account["metadata"]["annotations"] = {"iam.gke.io/gcp-service-account": email}
    yield object_piece(
        site, spec.name, "kube-account", f"{core}/serviceaccounts/{SERVER}", account,
        ("namespace", "server-account"), goes_with="namespace",
    )  # fmt: skip
    path, workload = _workload(spec, part, slices)
    yield object_piece(
        site, spec.name, "workload", path, workload,
        ("kube-account", "server-identity", *pools), goes_with="namespace",
    )  # fmt: skip
    service = _meta("v1", "Service", spec, SERVICE, space)
    neg = f"{PREFIX}-{spec.name}-neg"
    exposed = json.dumps({"exposed_ports": {"80": {"name": neg}}})
    service["metadata"]["annotations"] = {"cloud.google.com/neg": exposed}
    service["spec"] = {
        "selector": {"app": SERVER, **_leaders_only(part)},
        "ports": [{"name": "http", "port": 80, "targetPort": SERVER_PORT}],
    }
    yield object_piece(
        site, spec.name, "service", f"{core}/services/{SERVICE}", service, ("namespace", "workload")
    )
    yield Piece(
        "neg", site.compute(f"zones/{site.zone}/networkEndpointGroups/{neg}"),
        f"NEG {neg}", spec.name, {}, "", "",
        ("service",), ("compute.networkEndpointGroups.get",), goes_with="service",
        look=f"gcloud compute network-endpoint-groups describe {neg} --zone={site.zone}"
        f" --project={site.project}",
    )  # fmt: skip


def _leaders_only(part: PartSpec) -> Mapping[str, str]:
    """Of a multi-host slice only the first host's server answers."""
    single = part.kind is PartKind.GKE_SINGLE_HOST
    return {} if single else {"leaderworkerset.sigs.k8s.io/worker-index": "0"}


def _workload(spec: TierSpec, part: PartSpec, slices: int) -> tuple[str, Json]:
    """(path, body) of a Deployment, or of a LeaderWorkerSet with a group per slice."""
    gen = tpu.generation(spec.generation or "")
    hosts = tpu.hosts_per_slice(gen, spec.topology)
    serve = serve_command(spec, gen)
    space = spec.namespace
    if part.kind is PartKind.GKE_SINGLE_HOST:
        body = _meta("apps/v1", "Deployment", spec, SERVER, space)
        body["spec"] = {
            "replicas": slices,
            "selector": {"matchLabels": {"app": SERVER}},
            "template": _answering(_pod(spec, gen, hosts, serve)),
            # A host is whole or not there: nothing to surge onto.
            "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        }
        return f"apis/apps/v1/namespaces/{space}/deployments/{SERVER}", body
    kind = "leaderworkerset.x-k8s.io/v1"
    body = _meta(kind, "LeaderWorkerSet", spec, SERVER, space)
    body["metadata"]["annotations"] = {
        "leaderworkerset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
    }
    lead = ["bash", "-c", f"{_RAY_LEAD} && exec {shlex.join((*serve, *_OVER_RAY))}"]
    body["spec"] = {
        "replicas": slices,
        "leaderWorkerTemplate": {
            "size": hosts,
            # The hosts of a slice compute one program together: one cannot come back alone.
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": _answering(_pod(spec, gen, hosts, lead)),
            "workerTemplate": _pod(spec, gen, hosts, ["bash", "-c", _RAY_FOLLOW]),
        },
    }
    return f"apis/{kind}/namespaces/{space}/leaderworkersets/{SERVER}", body


def serve_command(spec: TierSpec, gen: tpu.Generation) -> list[str]:
    """vLLM's command: one model over the slice, or several copies of it beside one another.

    vLLM counts what JAX shows: TPU7x has two devices per chip.
    """
    chips = tpu.chips(spec.topology)
    span = spec.server_chips or chips
    size = ["--tensor-parallel-size", str(span * gen.devices_per_chip)]
    copies = [] if span >= chips else ["--data-parallel-size", str(chips // span)]
    most = [] if spec.max_sequences is None else ["--max-num-seqs", str(spec.max_sequences)]
    return ["vllm", "serve", spec.model, "--port", str(SERVER_PORT), *size, *copies, *most]


def _pod(spec: TierSpec, gen: tpu.Generation, hosts: int, command: list[str]) -> dict[str, Any]:
    """Template of the pod on one host."""
    count = str(tpu.chips(spec.topology) // hosts)
    container = {
        "name": SERVER,
        "image": IMAGE,
        "command": command,
        "resources": {"requests": {"google.com/tpu": count}, "limits": {"google.com/tpu": count}},
    }
    pod = {
        "serviceAccountName": SERVER,
        "nodeSelector": {
            "cloud.google.com/gke-tpu-accelerator": gen.gke_accelerator,
            "cloud.google.com/gke-tpu-topology": spec.topology,
            TIER_LABEL: spec.name,
        },
        "containers": [container],
    }
    return {"metadata": {"labels": _labels(spec)}, "spec": pod}


def _answering(template: dict[str, Any]) -> dict[str, Any]:
    """The template with HTTP: a slice's first host alone has it."""
    (container,) = template["spec"]["containers"]
    container["ports"] = [{"name": "http", "containerPort": SERVER_PORT}]
    container["readinessProbe"] = {"httpGet": {"path": "/health", "port": SERVER_PORT}}
    return template


def _labels(spec: TierSpec) -> dict[str, str]:
    return {"app": SERVER, TIER_LABEL: spec.name}


def _meta(version: str, kind: str, spec: TierSpec, name: str, space: str = "") -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "labels": _labels(spec)}
    if space:
        meta["namespace"] = space
    return {"apiVersion": version, "kind": kind, "metadata": meta}


def object_piece(
    site: Site,
    owner: str,
    key: str,
    path: str,
    body: Json,
    needs: tuple[str, ...],
    goes_with: str = "",
) -> Piece:
    """An object of the Kubernetes API at that path below the cluster."""
    kind, meta = str(body["kind"]), cast(Json, body["metadata"])
    space = f" --namespace={meta['namespace']}" if "namespace" in meta else ""
    within = f"{meta['namespace']}/" if "namespace" in meta else ""
    what = _PERMISSIONS.get(kind, "thirdPartyObjects")
    return Piece(
        key, site.object(path), f"{kind} {within}{meta['name']}", owner, body,
        f"kubectl --context={site.context} apply --server-side -f - <<'JSON'\n"
        f"{json.dumps(body)}\nJSON",
        f"kubectl --context={site.context} delete {kind.lower()} {meta['name']}{space}",
        needs, (f"container.{what}.create", f"container.{what}.delete"), goes_with,
    )  # fmt: skip
