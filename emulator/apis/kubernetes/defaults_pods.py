"""What the API server fills into pods, alone and in templates."""

from __future__ import annotations

from typing import Any, Final

Obj = dict[str, Any]
_ONE: Final = {
    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
}  # fmt: skip
# Pods bear a node's trouble for five minutes unless they say otherwise.
_TROUBLE: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def fill_pod(body: Obj, old: Obj | None) -> None:
    """A pod by itself."""
    spec = body.setdefault("spec", {})
    fill_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    if old is None:
        tolerations = spec.setdefault("tolerations", [])
        for key in _TROUBLE:
            if not any(t.get("key") in (key, None, "") for t in tolerations):
                tolerations.append(
                    {"key": key, "operator": "Exists", "effect": "NoExecute",
                     "tolerationSeconds": 300}
                )  # fmt: skip
    body.setdefault("status", {"phase": "Pending", "qosClass": _quality(spec)})


def fill_pod_spec(spec: Obj) -> None:
    """A PodSpec."""
    for key, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
        ("terminationGracePeriodSeconds", 30),
        ("securityContext", {}),
    ):
        spec.setdefault(key, value)
    for part in ("containers", "initContainers"):
        for container in spec.get(part) or ():
            _container(container)
    for volume in spec.get("volumes") or ():
        for source, mode in (("configMap", 420), ("secret", 420), ("downwardAPI", 420)):
            if isinstance(volume.get(source), dict):
                volume[source].setdefault("defaultMode", mode)
        if set(volume) == {"name"}:
            volume["emptyDir"] = {}


def _container(container: Obj) -> None:
    image = str(container.get("image", ""))
    tag = image.rsplit("/", 1)[-1]
    latest = ":" not in tag or tag.endswith(":latest")
    always = latest and "@" not in tag
    container.setdefault("imagePullPolicy", "Always" if always else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container.setdefault("resources", {})
    if resources.get("limits"):
        requests = resources.setdefault("requests", {})
        for name, amount in resources["limits"].items():
            requests.setdefault(name, amount)
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            for key, value in _ONE.items():
                probe.setdefault(key, value)
            if isinstance(probe.get("httpGet"), dict):
                probe["httpGet"].setdefault("path", "/")
                probe["httpGet"].setdefault("scheme", "HTTP")


def _quality(spec: Obj) -> str:
    """The pod's quality of service, from the cpu and memory that its containers ask for."""
    containers = spec.get("containers") or ()
    asked = [c.get("resources") or {} for c in containers]
    if not any(r.get("limits") or r.get("requests") for r in asked):
        return "BestEffort"
    for resources in asked:
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                return "Burstable"
    return "Guaranteed"
