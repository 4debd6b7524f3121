"""Bodies in Kubernetes' protobuf, which newer kubectl's imperative commands send.

Only what such commands write is known here (`kubectl create …`, `autoscale`, `auth can-i`, drain);
anything else is refused rather than lost. Types come from the schema, numbers of fields from here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from emulator.apis.kubernetes.schema import REF, Schema, definition, resolved
from emulator.apis.kubernetes.status import StatusError, unsupported

FORM: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
_ROLE: Final = "1 metadata 2 rules"
_BINDING: Final = "1 metadata 2 subjects 3 roleRef"
_OBJECT: Final = "1 metadata 2 spec 3 status"
_REVIEW: Final = "1 resourceAttributes 2 nonResourceAttributes"
# Model → numbers and names; "!" marks pointers, whose zero differs from nothing.
_NUMBERS: Final = {
    "V1ObjectMeta": "1 name 2 generateName 3 namespace 4 selfLink 5 uid 6 resourceVersion "
    "7 generation 8 creationTimestamp 9 deletionTimestamp 10 deletionGracePeriodSeconds 11 labels "
    "12 annotations 13 ownerReferences 14 finalizers 17 managedFields",
    "V1OwnerReference": "5 apiVersion 1 kind 3 name 4 uid 6 controller 7 blockOwnerDeletion",
    "V1LabelSelector": "1 matchLabels 2 matchExpressions",
    "V1LabelSelectorRequirement": "1 key 2 operator 3 values",
    "V1DeleteOptions": "1 gracePeriodSeconds! 2 preconditions 3 orphanDependents! "
    "4 propagationPolicy 5 dryRun",
    "V1Preconditions": "1 uid 2 resourceVersion",
    "V1Namespace": _OBJECT,
    "V1NamespaceSpec": "1 finalizers",
    "V1ConfigMap": "1 metadata 2 data 3 binaryData 4 immutable!",
    "V1Secret": "1 metadata 2 data 3 type 4 stringData 5 immutable!",
    "V1ServiceAccount": "1 metadata 2 secrets 3 imagePullSecrets 4 automountServiceAccountToken!",
    "V1LocalObjectReference": "1 name",
    "V1ObjectReference": "1 kind 2 namespace 3 name 4 uid 5 apiVersion 6 resourceVersion "
    "7 fieldPath",
    "V1Service": _OBJECT,
    "V1ServiceSpec": "1 ports 2 selector 3 clusterIP 4 type 5 externalIPs 7 sessionAffinity "
    "8 loadBalancerIP 9 loadBalancerSourceRanges 10 externalName 11 externalTrafficPolicy "
    "12 healthCheckNodePort 13 publishNotReadyAddresses 17 ipFamilyPolicy 18 clusterIPs "
    "19 ipFamilies 20 allocateLoadBalancerNodePorts! 21 loadBalancerClass "
    "22 internalTrafficPolicy",
    "V1ServicePort": "1 name 2 protocol 3 port 4 targetPort 5 nodePort 6 appProtocol",
    "V1Deployment": _OBJECT,
    "V1DeploymentSpec": "1 replicas! 2 selector 3 template 4 strategy 5 minReadySeconds "
    "6 revisionHistoryLimit! 7 paused 9 progressDeadlineSeconds!",
    "V1DeploymentStrategy": "1 type 2 rollingUpdate",
    "V1RollingUpdateDeployment": "1 maxUnavailable! 2 maxSurge!",
    "V1Job": _OBJECT,
    "V1JobSpec": "1 parallelism! 2 completions! 3 activeDeadlineSeconds 4 selector "
    "5 manualSelector! 6 template 7 backoffLimit! 8 ttlSecondsAfterFinished! 9 completionMode "
    "10 suspend!",
    "V1PodTemplateSpec": "1 metadata 2 spec",
    "V1PodSpec": "2 containers 3 restartPolicy 4 terminationGracePeriodSeconds! "
    "5 activeDeadlineSeconds! 6 dnsPolicy 7 nodeSelector 8 serviceAccountName 9 serviceAccount "
    "10 nodeName 11 hostNetwork 12 hostPID 13 hostIPC 15 imagePullSecrets 16 hostname "
    "17 subdomain 19 schedulerName 20 initContainers 22 tolerations 24 priorityClassName "
    "25 priority!",
    "V1Container": "1 name 2 image 3 command 4 args 5 workingDir 6 ports 7 env 8 resources "
    "9 volumeMounts 13 terminationMessagePath 14 imagePullPolicy 16 stdin 17 stdinOnce 18 tty "
    "20 terminationMessagePolicy",
    "V1ContainerPort": "1 name 2 hostPort 3 containerPort 4 protocol 5 hostIP",
    "V1EnvVar": "1 name 2 value",
    "V1ResourceRequirements": "1 limits 2 requests",
    "V1VolumeMount": "1 name 2 readOnly 3 mountPath 4 subPath",
    "V1Toleration": "1 key 2 operator 3 value 4 effect 5 tolerationSeconds!",
    "V1Role": _ROLE,
    "V1ClusterRole": _ROLE,
    "V1PolicyRule": "1 verbs 2 apiGroups 3 resources 4 resourceNames 5 nonResourceURLs",
    "V1RoleBinding": _BINDING,
    "V1ClusterRoleBinding": _BINDING,
    "RbacV1Subject": "1 kind 2 apiGroup 3 name 4 namespace",
    "V1RoleRef": "1 apiGroup 2 kind 3 name",
    "V1PodDisruptionBudget": _OBJECT,
    "V1PodDisruptionBudgetSpec": "1 minAvailable! 2 selector 3 maxUnavailable!",
    "V1Eviction": "1 metadata 2 deleteOptions",
    "V1HorizontalPodAutoscaler": _OBJECT,
    "V1HorizontalPodAutoscalerSpec": "1 scaleTargetRef 2 minReplicas! 3 maxReplicas "
    "4 targetCPUUtilizationPercentage!",
    "V1CrossVersionObjectReference": "1 kind 2 name 3 apiVersion",
    "V2HorizontalPodAutoscaler": _OBJECT,
    "V2HorizontalPodAutoscalerSpec": "1 scaleTargetRef 2 minReplicas! 3 maxReplicas 4 metrics",
    "V2CrossVersionObjectReference": "1 kind 2 name 3 apiVersion",
    "V2MetricSpec": "1 type 4 resource",
    "V2ResourceMetricSource": "1 name 2 target",
    "V2MetricTarget": "1 type 2 value 3 averageValue 4 averageUtilization!",
    "V1SelfSubjectAccessReview": _OBJECT,
    "V1SelfSubjectAccessReviewSpec": _REVIEW,
    "V1SubjectAccessReview": _OBJECT,
    "V1LocalSubjectAccessReview": _OBJECT,
    "V1SubjectAccessReviewSpec": f"{_REVIEW} 3 user 4 groups 6 uid",
    "V1ResourceAttributes": "1 namespace 2 verb 3 group 4 version 5 resource 6 subresource 7 name",
    "V1NonResourceAttributes": "1 path 2 verb",
    "V1SelfSubjectRulesReview": _OBJECT,
    "V1SelfSubjectRulesReviewSpec": "1 namespace",
    "V1SelfSubjectReview": "1 metadata 2 status",
    "AuthenticationV1TokenRequest": _OBJECT,
    "V1TokenRequestSpec": "1 audiences 4 expirationSeconds!",
}
_SKIPPED: Final = ("status", "creationTimestamp", "managedFields")


def decode(raw: bytes, models: dict[tuple[str, str], str]) -> dict[str, Any]:
    """The object in such a body; `models` are the models by (apiVersion, kind).

    Raises:
        StatusError: 400, it is no such body; 415, it holds what is not known here.
    """
    if not raw.startswith(_MAGIC):
        raise _broken("it has no magic number")
    outer = dict(_fields(raw[len(_MAGIC) :]))
    try:
        told = dict(_fields(outer.get(1, b"")))
        version, kind = told.get(1, b"").decode(), told.get(2, b"").decode()
        model = models.get((version, kind))
        if model is None:
            raise _unknown(f"{kind} in {version}")
        body = _message(model, outer.get(2, b""))
    except (AttributeError, TypeError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise _broken(str(error)[:80]) from error
    return {"apiVersion": version, "kind": kind, **body}


def _broken(why: str) -> StatusError:
    return StatusError(400, "BadRequest", f"the body is no Kubernetes protobuf: {why}")


def _unknown(what: str) -> StatusError:
    return unsupported(f"{what} is not taken as protobuf here; send application/json")


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of a message: bytes, or an int."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        match tag & 7:
            case 0:
                value, at = _varint(raw, at)
                yield tag >> 3, value
            case 2:
                size, at = _varint(raw, at)
                if at + size > len(raw):
                    raise _broken("it ends too early")
                yield tag >> 3, raw[at : at + size]
                at += size
            case other:
                raise _broken(f"wire type {other}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise _broken("it ends too early")
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _message(model: str, raw: bytes) -> dict[str, Any]:
    if model not in _NUMBERS:
        raise _unknown(model)
    parts = _NUMBERS[model].split()
    names = {int(number): name for number, name in zip(parts[::2], parts[1::2], strict=True)}
    properties = definition(model)["properties"]
    built: dict[str, Any] = {}
    for number, value in _fields(raw):
        name = names.get(number)
        if name is None:
            raise _unknown(f"field {number} of {model}")
        pointer, name = name.endswith("!"), name.rstrip("!")
        if name not in _SKIPPED:
            _put(built, name, properties[name], value, pointer)
    return built


def _put(built: dict[str, Any], name: str, schema: Schema, value: Any, pointer: bool) -> None:
    if schema.get("type") == "array":
        built.setdefault(name, []).append(_value(schema["items"], value))
    elif "additionalProperties" in schema:
        entry = dict(_fields(value))
        key = entry.get(1, b"").decode()
        built.setdefault(name, {})[key] = _value(schema["additionalProperties"], entry.get(2, b""))
    else:
        found = _value(schema, value)
        if pointer or found not in ("", 0, False, {}):
            built[name] = found


def _value(schema: Schema, value: Any) -> Any:
    if "allOf" in schema:
        schema = schema["allOf"][0]
    if ref := schema.get("$ref"):
        return _message(ref.removeprefix(REF), value)
    if schema.get("x-kubernetes-int-or-string"):
        parts = dict(_fields(value))
        return parts.get(3, b"").decode() if parts.get(1) else _signed(parts.get(2, 0))
    match resolved(schema).get("type"), schema.get("format"):
        case "string", "quantity":
            return dict(_fields(value)).get(1, b"").decode()
        case "string", "byte":
            return base64.b64encode(value).decode()
        case "string", "date-time":
            seconds = _signed(dict(_fields(value)).get(1, 0))
            return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
        case "string", _:
            return value.decode()
        case "boolean", _:
            return bool(value)
        case "integer", _:
            return _signed(value)
        case kind, _:
            raise _unknown(str(kind))


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
