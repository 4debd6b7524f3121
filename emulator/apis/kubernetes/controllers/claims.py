"""What a pod needs beside room: its claims, ConfigMaps, Secrets; read from the view, never changed.

Claims are bound by volumes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.fitting import ZONES
from emulator.apis.kubernetes.controllers.objects import annotations_of, going, name_of
from emulator.apis.kubernetes.controllers.view import View

DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
WAIT: Final = "WaitForFirstConsumer"


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a pod's claims let it go: a problem that no node solves, or zones (empty: any)."""

    problem: str = ""
    zones: frozenset[str] = frozenset()


def claim_names(spec: Mapping[str, Any], pod: str) -> list[str]:
    """Names of the claims that a pod mounts."""
    found: list[str] = []
    for volume in spec.get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            found.append(str(claim["claimName"]))
        elif volume.get("ephemeral"):
            found.append(f"{pod}-{volume['name']}")
    return found


def storage_class(view: View, claim: Obj) -> Obj | None:
    """The class that a claim asks for, or the default one."""
    named = class_name(view, claim)
    return view.get("StorageClass", "", named) if named else None


def class_name(view: View, claim: Obj) -> str:
    """Name of that class; "" for none at all."""
    asked = claim["spec"].get("storageClassName")
    if asked is not None:
        return str(asked)
    defaults = [
        c for c in view.all("StorageClass") if annotations_of(c).get(DEFAULT_CLASS) == "true"
    ]
    return name_of(defaults[-1]) if defaults else ""


def waits(found: Obj | None) -> bool:
    """Whether a class binds only when a pod comes."""
    return found is not None and found.get("volumeBindingMode") == WAIT


def zones_of(volume: Obj) -> frozenset[str]:
    """Zones that a volume can be reached from; empty: any."""
    required = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get(
        "nodeSelectorTerms"
    ) or ()
    return frozenset(
        str(value)
        for term in required
        for e in term.get("matchExpressions") or ()
        if e.get("key") in ZONES
        for value in e.get("values") or ()
    )


def allowed_zones(found: Obj | None) -> list[str]:
    """Zones to which a class keeps, in its order; empty: any."""
    return [
        str(value)
        for term in (found or {}).get("allowedTopologies") or ()
        for e in term.get("matchLabelExpressions") or ()
        if e.get("key") in ZONES
        for value in e.get("values") or ()
    ]


def reach_of(view: View, pod: Obj) -> Reach:
    """Where a pod may go for its claims."""
    namespace, zones = pod["metadata"]["namespace"], frozenset[str]()
    for name in claim_names(pod["spec"], name_of(pod)):
        claim = view.get("PersistentVolumeClaim", namespace, name)
        if claim is None:
            return Reach(f'persistentvolumeclaim "{name}" not found')
        if going(claim):
            return Reach(f'persistentvolumeclaim "{name}" is being deleted')
        found = storage_class(view, claim)
        if bound(claim):
            volume = view.get("PersistentVolume", "", claim["spec"].get("volumeName", ""))
            here = zones_of(volume) if volume else frozenset[str]()
        elif waits(found):
            here = frozenset(allowed_zones(found))
        else:
            return Reach("pod has unbound immediate PersistentVolumeClaims")
        if here:
            zones = zones & here if zones else here
    return Reach("", zones)


def bound(claim: Obj) -> bool:
    """Whether a claim has its volume."""
    return (claim.get("status") or {}).get("phase") == "Bound"


def unmounted(view: View, pod: Obj) -> tuple[str, str, str]:
    """What keeps a pod's volumes from being mounted: (event's reason, message, waiting reason)."""
    namespace = pod["metadata"]["namespace"]
    for name in claim_names(pod["spec"], name_of(pod)):
        claim = view.get("PersistentVolumeClaim", namespace, name)
        if claim is None or not bound(claim):
            return "", "", "ContainerCreating"
    for volume in pod["spec"].get("volumes") or ():
        for kind, name in _sources(volume):
            if view.get(kind, namespace, name) is None:
                text = (
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : '
                    f'{kind.lower()} "{name}" not found'
                )
                return "FailedMount", text, "ContainerCreating"
    return "", "", ""


def unconfigured(view: View, pod: Obj) -> tuple[str, str]:
    """A ConfigMap, Secret or image reference that keeps containers from being made."""
    namespace = pod["metadata"]["namespace"]
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        for kind, name in _references(container):
            if view.get(kind, namespace, name) is None:
                return "CreateContainerConfigError", f'{kind.lower()} "{name}" not found'
    return "", ""


def _sources(volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    config, secret = volume.get("configMap"), volume.get("secret")
    if config and not config.get("optional"):
        yield "ConfigMap", str(config.get("name"))
    if secret and not secret.get("optional"):
        yield "Secret", str(secret.get("secretName"))


def _references(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    sources = list(container.get("envFrom") or ())
    sources += [e["valueFrom"] for e in container.get("env") or () if e.get("valueFrom")]
    for source in sources:
        for kind, keys in (("ConfigMap", ("configMapRef", "configMapKeyRef")),
                           ("Secret", ("secretRef", "secretKeyRef"))):  # fmt: skip
            for key in keys:
                found = source.get(key)
                if found and not found.get("optional"):
                    yield kind, str(found.get("name"))
