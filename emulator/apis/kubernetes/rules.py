"""Rules of objects by kind: names, labels, selectors, ports and what else no schema can say.

Pods, alone and in templates, are rules_pods.py's; what may not change rules_updates.py's; CRDs are
rules_custom.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes.causes import Causes
from emulator.apis.kubernetes.gateway_kinds import POOLS, ROUTES, check_pool, check_route
from emulator.apis.kubernetes.resources import (
    AUTOSCALERS,
    CLAIMS,
    CONFIG_MAPS,
    DEFINITIONS,
    DEPLOYMENTS,
    JOBS,
    LEADER_WORKER_SETS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    VOLUMES,
    Kind,
)
from emulator.apis.kubernetes.rules_custom import check_definition
from emulator.apis.kubernetes.rules_pods import check_labels, check_pod_spec, check_template

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState

Obj = dict[str, Any]
_LABEL: Final = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_LABEL_1035: Final = re.compile(r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")
_SUBDOMAIN: Final = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_KEY: Final = re.compile(r"^[-._a-zA-Z0-9]{1,253}$")
_LABEL_TEXT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character"
)
_LABEL_1035_TEXT: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character"
)
# More would keep one look at the cluster busy for minutes; a real API server takes any number.
MOST_REPLICAS: Final = 5_000
_ACCESS: Final = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")


def check_metadata(kind: Kind, meta: Obj, causes: Causes) -> None:
    """Name, labels and annotations."""
    name = str(meta["name"])
    if kind in (NAMESPACES,):
        fits, text = _LABEL.match(name), _LABEL_TEXT
    elif kind in (SERVICES, LEADER_WORKER_SETS):
        fits, text = _LABEL_1035.match(name), _LABEL_1035_TEXT
    elif kind.group == "rbac.authorization.k8s.io":
        fits, text = not set(name) & set("/%") and name not in (".", ".."), "may not contain '/'"
    else:
        fits, text = len(name) <= 253 and _SUBDOMAIN.match(name), _SUBDOMAIN_TEXT
    if not fits:
        causes.invalid("metadata.name", name, text)
    check_labels(meta.get("labels"), "metadata.labels", causes)
    annotations = meta.get("annotations") or {}
    if sum(len(k) + len(v) for k, v in annotations.items()) > 256 * 1024:
        text = "must have at most 262144 bytes"
        causes.invalid("metadata.annotations", "...", text)
    for index, reference in enumerate(meta.get("ownerReferences") or ()):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(key):
                causes.required(f"metadata.ownerReferences[{index}].{key}")


def check(state: ClusterState, kind: Kind, body: Obj, causes: Causes) -> None:
    """The rules of the object's kind."""
    test = _RULES.get(kind)
    if test is not None:
        test(body, causes)
    elif kind is DEFINITIONS:
        check_definition(state, body, causes)


def _replicas(spec: Obj, causes: Causes, path: str = "spec.replicas") -> None:
    count = spec.get("replicas", 1)
    if count < 0:
        causes.invalid(path, count, "must be greater than or equal to 0")
    elif count > MOST_REPLICAS:
        causes.invalid(path, count, f"the emulator takes at most {MOST_REPLICAS}")


def check_selector(selector: Any, path: str, causes: Causes) -> None:
    """A LabelSelector."""
    check_labels(selector.get("matchLabels"), f"{path}.matchLabels", causes)
    expressions: list[Obj] = selector.get("matchExpressions") or []
    for index, one in enumerate(expressions):
        where, values = f"{path}.matchExpressions[{index}]", one.get("values") or []
        match one.get("operator"):
            case "In" | "NotIn":
                if not values:
                    text = "must be specified when `operator` is 'In' or 'NotIn'"
                    causes.required(f"{where}.values", text)
            case "Exists" | "DoesNotExist":
                if values:
                    text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                    causes.forbidden(f"{where}.values", text)
            case other:
                causes.invalid(f"{where}.operator", other, "not a valid selector operator")


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector chooses what has those labels."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions") or ():
        value, wanted = labels.get(one["key"]), one.get("values") or []
        fits = {
            "In": value in wanted, "NotIn": value not in wanted,
            "Exists": value is not None, "DoesNotExist": value is None,
        }.get(one["operator"], False)  # fmt: skip
        if not fits:
            return False
    return True


def _workload(body: Obj, causes: Causes) -> None:
    spec = body["spec"]
    _replicas(spec, causes)
    selector, labels = spec["selector"], (spec["template"].get("metadata") or {}).get("labels")
    check_selector(selector, "spec.selector", causes)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.invalid("spec.selector", selector, "empty selector is invalid for deployment")
    elif not causes.found and not selects(selector, labels or {}):
        text = "`selector` does not match template `labels`"
        causes.invalid("spec.template.metadata.labels", labels or {}, text)
    # A StatefulSet's pods mount its claims by the templates' names.
    claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates") or ()]
    check_template(spec["template"], "spec.template", causes, ("Always",), claims)
    strategy = spec.get("strategy") or {}
    if strategy.get("type") not in (None, "RollingUpdate", "Recreate"):
        legal = ("Recreate", "RollingUpdate")
        causes.unsupported("spec.strategy.type", strategy["type"], legal)
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate"):
        text = "may not be specified when strategy `type` is 'Recreate'"
        causes.forbidden("spec.strategy.rollingUpdate", text)
    _surge(strategy.get("rollingUpdate") or {}, "spec.strategy.rollingUpdate", causes)


def _surge(rolling: Obj, path: str, causes: Causes) -> None:
    zero = 0
    for key in ("maxUnavailable", "maxSurge"):
        value = rolling.get(key)
        if isinstance(value, str) and not re.match(r"^\d{1,5}%$", value):
            text = "a valid percent string must be a numeric string followed by an ending '%'"
            causes.invalid(f"{path}.{key}", value, text)
        elif isinstance(value, int) and value < 0:
            causes.invalid(f"{path}.{key}", value, "must be greater than or equal to 0")
        zero += value in (0, "0%")
    if zero == 2:
        text = "may not be 0 when `maxSurge` is 0"
        causes.invalid(f"{path}.maxUnavailable", 0, text)


def _group_set(body: Obj, causes: Causes) -> None:
    spec = body["spec"]
    _replicas(spec, causes)
    template = spec["leaderWorkerTemplate"]
    pods = int(spec.get("replicas", 1)) * int(template.get("size", 1))
    if pods > MOST_REPLICAS:
        text = f"the emulator takes at most {MOST_REPLICAS} pods"
        causes.invalid("spec.leaderWorkerTemplate.size", template.get("size", 1), text)
    for key in ("leaderTemplate", "workerTemplate"):
        if key in template:
            path = f"spec.leaderWorkerTemplate.{key}"
            check_template(template[key], path, causes, ("Always", "", "OnFailure", "Never"))


def _job(body: Obj, causes: Causes) -> None:
    spec = body["spec"]
    for key in ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished"):
        value = spec.get(key, 0)
        if value < 0:
            causes.invalid(f"spec.{key}", value, "must be greater than or equal to 0")
        elif value > MOST_REPLICAS and key in ("parallelism", "completions"):
            causes.invalid(f"spec.{key}", value, f"the emulator takes at most {MOST_REPLICAS}")
    check_template(spec["template"], "spec.template", causes, ("OnFailure", "Never"))


def _service(body: Obj, causes: Causes) -> None:
    spec = body.get("spec") or {}
    kinds = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
    if spec.get("type") not in kinds:
        causes.unsupported("spec.type", spec.get("type"), kinds)
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        causes.required("spec.ports")
    if spec.get("type") == "ExternalName" and not spec.get("externalName"):
        causes.required("spec.externalName")
    check_labels(spec.get("selector"), "spec.selector", causes)
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        if not 1 <= port["port"] <= 65535:
            causes.invalid(f"{where}.port", port["port"], "must be between 1 and 65535, inclusive")
        target = port.get("targetPort", 1)
        if isinstance(target, int) and not 1 <= target <= 65535:
            causes.invalid(f"{where}.targetPort", target, "must be between 1 and 65535, inclusive")
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            legal = ("SCTP", "TCP", "UDP")
            causes.unsupported(f"{where}.protocol", port.get("protocol"), legal)
        if len(ports) > 1 and not port.get("name"):
            causes.required(f"{where}.name")
        key = (port["port"], port.get("protocol"))
        if key in seen:
            causes.duplicate(where, {"port": key[0], "protocol": key[1]})
        seen.add(key)


def _claim(body: Obj, causes: Causes) -> None:
    spec = body.get("spec") or {}
    _access_modes(spec, causes)
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        causes.required("spec.resources[storage]")
    elif str(requests["storage"]).startswith(("-", "0")) and float(
        re.sub(r"[^\d.]", "", str(requests["storage"])) or 0
    ) in (0.0,):
        text = "must be greater than zero"
        causes.invalid("spec.resources[storage]", requests["storage"], text)


def _access_modes(spec: Obj, causes: Causes) -> None:
    modes = spec.get("accessModes") or []
    if not modes:
        causes.required("spec.accessModes", "at least 1 access mode is required")
    for index, mode in enumerate(modes):
        if mode not in _ACCESS:
            causes.unsupported(f"spec.accessModes[{index}]", mode, _ACCESS)


def _volume(body: Obj, causes: Causes) -> None:
    spec = body.get("spec") or {}
    _access_modes(spec, causes)
    if not (spec.get("capacity") or {}).get("storage"):
        causes.required("spec.capacity")
    reclaim = spec.get("persistentVolumeReclaimPolicy")
    if reclaim not in ("Retain", "Delete", "Recycle"):
        legal = ("Delete", "Recycle", "Retain")
        causes.unsupported("spec.persistentVolumeReclaimPolicy", reclaim, legal)


def _keys(body: Obj, causes: Causes) -> None:
    for part in ("data", "binaryData", "stringData"):
        for key in body.get(part) or {}:
            if not _KEY.match(key):
                text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
                causes.invalid(f"{part}[{key}]", key, text)
    size = sum(len(v) for p in ("data", "binaryData") for v in (body.get(p) or {}).values())
    if size > 1024 * 1024 * 4 // 3:
        causes.invalid("data", "...", "must have at most 1048576 bytes")


def _autoscaler(body: Obj, causes: Causes) -> None:
    spec = body.get("spec") or {}
    least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
    if most < 1:
        causes.invalid("spec.maxReplicas", most, "must be greater than 0")
    if least < 0:
        causes.invalid("spec.minReplicas", least, "must be greater than or equal to 0")
    elif most < least:
        text = "must be greater than or equal to `minReplicas`"
        causes.invalid("spec.maxReplicas", most, text)
    if most > MOST_REPLICAS:
        causes.invalid("spec.maxReplicas", most, f"the emulator takes at most {MOST_REPLICAS}")
    for way, rules in (spec.get("behavior") or {}).items():
        _behaviour(f"spec.behavior.{way}", rules or {}, causes)


def _behaviour(at: str, rules: Obj, causes: Causes) -> None:
    """The rules of one direction: their bounds are those of autoscaling/v2."""
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and not 0 <= window <= 3600:
        text = "must be greater than or equal to zero and less than or equal to 3600"
        causes.invalid(f"{at}.stabilizationWindowSeconds", window, text)
    if (chosen := rules.get("selectPolicy")) not in (None, "Max", "Min", "Disabled"):
        causes.unsupported(f"{at}.selectPolicy", chosen, ("Disabled", "Max", "Min"))
    for index, policy in enumerate(rules.get("policies") or ()):
        if policy["type"] not in ("Percent", "Pods"):
            causes.unsupported(f"{at}.policies[{index}].type", policy["type"], ("Percent", "Pods"))
        if policy["value"] <= 0:
            text = "must be greater than zero"
            causes.invalid(f"{at}.policies[{index}].value", policy["value"], text)
        if not 1 <= policy["periodSeconds"] <= 1800:
            text = "must be greater than zero and less than or equal to 1800"
            causes.invalid(f"{at}.policies[{index}].periodSeconds", policy["periodSeconds"], text)


def _storage_class(body: Obj, causes: Causes) -> None:
    if not body.get("provisioner"):
        causes.required("provisioner")
    for key, legal in (
        ("reclaimPolicy", ("Delete", "Retain")),
        ("volumeBindingMode", ("Immediate", "WaitForFirstConsumer")),
    ):
        if body.get(key) not in legal:
            causes.unsupported(key, body.get(key), legal)


def _pod(body: Obj, causes: Causes) -> None:
    check_pod_spec(body["spec"], "spec", causes, ("Always", "OnFailure", "Never"))


_RULES: Final[Mapping[Kind, Callable[[Obj, Causes], None]]] = {
    PODS: _pod,
    DEPLOYMENTS: _workload,
    REPLICA_SETS: _workload,
    STATEFUL_SETS: _workload,
    LEADER_WORKER_SETS: _group_set,
    JOBS: _job,
    SERVICES: _service,
    CLAIMS: _claim,
    VOLUMES: _volume,
    CONFIG_MAPS: _keys,
    SECRETS: _keys,
    AUTOSCALERS: _autoscaler,
    STORAGE_CLASSES: _storage_class,
    ROUTES: check_route,
    POOLS: check_pool,
}
