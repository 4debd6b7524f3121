"""What has to be there before pods can run as processes; made as a caller would, if it is missing.

The node "this-machine", a Deployment in the namespace `local` whose pods go there alone, and a
network endpoint group of addresses outside Google Cloud behind the path /local/*.
"""

from __future__ import annotations

import os
from typing import Final

from emulator.apis.compute.load_balancer import NAME as FRONT
from emulator.apis.compute.model import HOST
from emulator.apis.kubernetes.naming import SERVER_PORT, namespace_of, workload_of
from emulator.clock import rfc3339
from emulator.context import Cloud
from emulator.local_pods.processes import free_memory_bytes
from emulator.local_pods.wire import Body, Refused, Wire
from emulator.scenario import Project

TIER: Final = "local"
NODE: Final = "this-machine"
BACKEND: Final = f"hw-{TIER}"
_PATH: Final = f"/{TIER}/*"
_TAINT: Final = "heartwood/this-machine"
_MEMORY_MIB: Final = 1024  # of one server: measured 0.85 GiB, docs/benchmarks.md
_RESERVE_BYTES: Final = 2**30  # for all else on this machine
_GRACE_S: Final = 30
_ABSENT: Final = 404


def image_of(project: Project) -> str:
    """The project's own serving image (deploy/Containerfile), as the project would store it."""
    return f"{project.region}-docker.pkg.dev/{project.id}/serving/heartwood-server:0.1.0"


def group_path(cloud: Cloud) -> str:
    """The endpoint group's path below the project."""
    return f"/zones/{cloud.project.region}-c/networkEndpointGroups/{BACKEND}-neg"


def set_up(cloud: Cloud, wire: Wire, most: int) -> None:
    """Make what is missing; `most` pods find room.

    Raises:
        Refused: the emulator does not take it. httpx.TransportError: nor answers.
    """
    node: Body = {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE,
                                              "kubernetes.io/os": "linux"}},
        "spec": {"taints": [{"key": _TAINT, "effect": "NoSchedule"}]},
    }  # fmt: skip
    wire.make("/api/v1/nodes", node)
    wire.patch(f"/api/v1/nodes/{NODE}/status", {"status": _node_status(cloud, most)})
    namespace = namespace_of(TIER)
    meta = {"name": namespace}
    wire.make("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    _make_backend(cloud, wire)
    wire.make(f"/apis/apps/v1/namespaces/{namespace}/deployments", _deployment(cloud.project))


def disown(wire: Wire, cloud: Cloud) -> None:
    """Tell that no kubelet runs on the node any more, if there is such a node.

    Raises:
        Refused, httpx.TransportError: as `set_up`.
    """
    gone = _condition(cloud, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting status.")
    try:
        wire.patch(f"/api/v1/nodes/{NODE}/status", {"status": {"conditions": [gone]}})
    except Refused as error:
        if error.status != _ABSENT:
            raise


def _node_status(cloud: Cloud, most: int) -> Body:
    memory = max(free_memory_bytes() - _RESERVE_BYTES, 0)
    room = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory // 1024}Ki", "pods": str(most)}
    ready = _condition(cloud, "True", "KubeletReady", "kubelet is posting ready status")
    return {
        "capacity": room, "allocatable": room, "conditions": [ready],
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"},
                      {"type": "Hostname", "address": NODE}],
    }  # fmt: skip


def _condition(cloud: Cloud, status: str, reason: str, message: str) -> Body:
    at = rfc3339(cloud.clock.now())
    return {"type": "Ready", "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": at, "lastTransitionTime": at}  # fmt: skip


def _deployment(project: Project) -> Body:
    labels = {"app": workload_of(TIER)}
    container = {
        "name": "server",
        "image": image_of(project),
        "ports": [{"name": "http", "containerPort": SERVER_PORT}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1},
        "resources": {"requests": {"memory": f"{_MEMORY_MIB}Mi"}},
    }
    spec = {
        "containers": [container],
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "tolerations": [{"key": _TAINT, "operator": "Exists"}],
        "terminationGracePeriodSeconds": _GRACE_S,
    }
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": workload_of(TIER), "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": spec}},
    }  # fmt: skip


def _make_backend(cloud: Cloud, wire: Wire) -> None:
    base = f"{HOST}/projects/{cloud.project.id}"
    check, group = f"{BACKEND}-ready", group_path(cloud)
    wire.compute_make("global/healthChecks", {
        "name": check, "type": "HTTP", "checkIntervalSec": 1, "timeoutSec": 1,
        "healthyThreshold": 1, "unhealthyThreshold": 2,
        "httpHealthCheck": {"requestPath": "/ready", "portSpecification": "USE_SERVING_PORT"},
    })  # fmt: skip
    collection, _, name = group.strip("/").rpartition("/")
    wire.compute_make(collection, {
        "name": name, "networkEndpointType": "NON_GCP_PRIVATE_IP_PORT",
        "network": f"{base}/global/networks/hw-net", "defaultPort": SERVER_PORT,
    })  # fmt: skip
    backend = {"group": base + group, "balancingMode": "RATE", "maxRatePerEndpoint": 10}
    wire.compute_make("global/backendServices", {
        "name": BACKEND, "loadBalancingScheme": "EXTERNAL_MANAGED", "protocol": "HTTP",
        "timeoutSec": 300, "backends": [backend],
        "healthChecks": [f"{base}/global/healthChecks/{check}"],
        "connectionDraining": {"drainingTimeoutSec": _GRACE_S},
        "logConfig": {"enable": True, "sampleRate": 1},
    })  # fmt: skip
    _lead_path(wire, f"{base}/global/backendServices/{BACKEND}")


def _lead_path(wire: Wire, service: str) -> None:
    """Have the URL map lead the path to the backend, unless it leads it somewhere already."""
    url_map = wire.compute(f"/global/urlMaps/{FRONT}")
    first, *others = url_map["pathMatchers"]
    rules = first.get("pathRules", [])
    if any(_PATH in rule["paths"] for rule in rules):
        return
    at_root = {"urlRewrite": {"pathPrefixRewrite": "/"}}
    rule = {"paths": [_PATH], "service": service, "routeAction": at_root}
    matchers = [{**first, "pathRules": [*rules, rule]}, *others]
    wire.wait(wire.compute(f"/global/urlMaps/{FRONT}", "PATCH", {"pathMatchers": matchers}))
