"""Rules of pods, alone and in the templates of workloads; and of labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from emulator.apis.kubernetes.causes import Causes

Obj = dict[str, Any]
_VALUE: Final = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
_QUALIFIED: Final = re.compile(
    r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
_NAME: Final = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_ENV: Final = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")
_AMOUNT: Final = re.compile(r"^([+-]?[\d.]+)(.*)$")
_FACTORS: Final = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
    "Ei": 2.0**60,
}  # fmt: skip
_OPERATORS: Final = ("Exists", "Equal", "Lt", "Gt", "")
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute", "")


def check_labels(labels: Any, path: str, causes: Causes) -> None:
    """A map of labels, or of what selects them."""
    for key, value in (labels or {}).items():
        if not _QUALIFIED.match(key):
            text = "name part must consist of alphanumeric characters, '-', '_' or '.'"
            causes.invalid(path, key, text)
        if not _VALUE.match(value):
            text = (
                "a valid label must be an empty string or consist of alphanumeric characters, "
                "'-', '_' or '.', and must start and end with an alphanumeric character"
            )
            causes.invalid(path, value, text)


def check_template(
    template: Obj, path: str, causes: Causes, restart: tuple[str, ...], claims: Iterable[str] = ()
) -> None:
    """A PodTemplateSpec; `claims` name volumes that its owner gives each pod."""
    check_labels((template.get("metadata") or {}).get("labels"), f"{path}.labels", causes)
    spec = template.get("spec")
    if not spec:
        causes.required(f"{path}.spec.containers")
        return
    check_pod_spec(spec, f"{path}.spec", causes, restart, claims)


def check_pod_spec(
    spec: Obj, path: str, causes: Causes, restart: tuple[str, ...], claims: Iterable[str] = ()
) -> None:
    """A PodSpec; `restart` are the restart policies that its owner allows."""
    if spec.get("restartPolicy", restart[0]) not in restart:
        causes.unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), restart)
    volumes = _volumes(spec, path, causes).union(claims)
    if not spec.get("containers"):
        causes.required(f"{path}.containers")
    names: set[str] = set()
    for part in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(part) or ()):
            where = f"{path}.{part}[{index}]"
            _container(container, where, volumes, causes)
            if container["name"] in names:
                causes.duplicate(f"{where}.name", container["name"])
            names.add(container["name"])
    check_labels(spec.get("nodeSelector"), f"{path}.nodeSelector", causes)
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        where = f"{path}.tolerations[{index}]"
        if toleration.get("operator", "") not in _OPERATORS:
            causes.unsupported(f"{where}.operator", toleration["operator"], ("Equal", "Exists"))
        if toleration.get("effect", "") not in _EFFECTS:
            causes.unsupported(f"{where}.effect", toleration["effect"], _EFFECTS[:3])
        if not toleration.get("key") and toleration.get("operator") != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values"'
            causes.invalid(f"{where}.operator", toleration.get("operator", ""), text)
    grace = spec.get("terminationGracePeriodSeconds", 30)
    if grace < 0:
        causes.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be >= 0")


def _volumes(spec: Obj, path: str, causes: Causes) -> set[str]:
    names: set[str] = set()
    volumes: list[Obj] = spec.get("volumes") or []
    for index, volume in enumerate(volumes):
        where = f"{path}.volumes[{index}]"
        if not _NAME.match(volume["name"]):
            causes.invalid(f"{where}.name", volume["name"], "must be an RFC 1123 label")
        if volume["name"] in names:
            causes.duplicate(f"{where}.name", volume["name"])
        names.add(volume["name"])
        sources = [key for key in volume if key != "name"]
        if len(sources) > 1:
            text = "may not specify more than 1 volume type"
            causes.forbidden(f"{where}.{sources[1]}", text)
        claim = volume.get("persistentVolumeClaim")
        if claim is not None and not claim.get("claimName"):
            causes.required(f"{where}.persistentVolumeClaim.claimName")
    return names


def _container(container: Obj, path: str, volumes: set[str], causes: Causes) -> None:
    if not _NAME.match(container["name"]):
        causes.invalid(f"{path}.name", container["name"], "must be an RFC 1123 label")
    image = container.get("image")
    if not image:
        causes.required(f"{path}.image")
    elif image != image.strip():
        causes.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    if container.get("imagePullPolicy", "Always") not in ("Always", "IfNotPresent", "Never"):
        legal = ("Always", "IfNotPresent", "Never")
        causes.unsupported(f"{path}.imagePullPolicy", container["imagePullPolicy"], legal)
    for index, port in enumerate(container.get("ports") or ()):
        where = f"{path}.ports[{index}]"
        if not 1 <= port["containerPort"] <= 65535:
            text = "must be between 1 and 65535, inclusive"
            causes.invalid(f"{where}.containerPort", port["containerPort"], text)
        if port.get("protocol", "TCP") not in ("TCP", "UDP", "SCTP"):
            causes.unsupported(f"{where}.protocol", port["protocol"], ("SCTP", "TCP", "UDP"))
    for index, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}]"
        if not _ENV.match(variable["name"]):
            text = "a valid environment variable name must consist of alphabetic characters, ..."
            causes.invalid(f"{where}.name", variable["name"], text)
        if variable.get("value") and variable.get("valueFrom"):
            text = "may not be specified when `value` is not empty"
            causes.invalid(f"{where}.valueFrom", "", text)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount["name"] not in volumes:
            causes.not_found(f"{path}.volumeMounts[{index}].name", mount["name"])
    _resources(container.get("resources") or {}, f"{path}.resources", causes)


def _resources(resources: Obj, path: str, causes: Causes) -> None:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            if "/" in name and amount(value) % 1:
                causes.invalid(f"{path}.{part}[{name}]", value, "must be an integer")
            if amount(value) < 0:
                text = "must be greater than or equal to 0"
                causes.invalid(f"{path}.{part}[{name}]", value, text)
    for name, value in requests.items():
        extended = "/" in name
        if extended and name not in limits:
            causes.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        elif extended and amount(value) != amount(limits[name]):
            text = f"must be equal to {name} limit of {limits[name]}"
            causes.invalid(f"{path}.requests", value, text)
        elif name in limits and amount(value) > amount(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            causes.invalid(f"{path}.requests", value, text)


def amount(quantity: Any) -> float:
    """A quantity as a number."""
    found = _AMOUNT.match(str(quantity))
    if found is None:
        return 0.0
    unit = found[2]
    factor = _FACTORS.get(unit)
    if factor is None:
        factor = 10.0 ** int(unit[1:]) if unit[:1] in "eE" and unit[1:].lstrip("+-") else 1.0
    return float(found[1]) * factor
