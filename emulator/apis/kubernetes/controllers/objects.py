"""Reading and making Kubernetes' JSON objects: owners, selectors, conditions, quantities; pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.naming import suffix

# What Kubernetes draws generated names from.
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("0.001"), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "E": Decimal(10**18),
}  # fmt: skip
Key = tuple[str, str]


def name_of(obj: Obj) -> str:
    """metadata.name."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Obj) -> str:
    """metadata.namespace; "" without."""
    return str(obj["metadata"].get("namespace", ""))


def key_of(obj: Obj) -> Key:
    """(namespace, name)."""
    return namespace_of(obj), name_of(obj)


def uid_of(obj: Obj) -> str:
    """metadata.uid."""
    return str(obj["metadata"].get("uid", ""))


def labels_of(obj: Obj) -> Mapping[str, str]:
    """metadata.labels."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Obj) -> Mapping[str, str]:
    """metadata.annotations."""
    return obj["metadata"].get("annotations") or {}


def generation_of(obj: Obj) -> int:
    """metadata.generation; 1 where none is kept."""
    return int(obj["metadata"].get("generation", 1))


def going(obj: Obj) -> bool:
    """Whether it is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def copy_of(obj: Obj) -> Obj:
    """A copy to change."""
    return deepcopy(obj)


def annotated(obj: Obj, changes: Mapping[str, str | None]) -> Obj:
    """A copy with annotations set, or removed where None."""
    made = copy_of(obj)
    kept = {**annotations_of(made), **changes}
    made["metadata"]["annotations"] = {k: v for k, v in kept.items() if v is not None}
    if not made["metadata"]["annotations"]:
        del made["metadata"]["annotations"]
    return made


def controller_of(obj: Obj) -> Mapping[str, Any] | None:
    """The owner that controls it."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((o for o in owners if o.get("controller")), None)


def owner_reference(owner: Obj) -> Obj:
    """The reference by which a controller's object names its owner."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches; none or an empty one selects nothing here."""
    if not selector:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(k) != v for k, v in wanted.items()):
        return False
    return all(meets(e, labels) for e in selector.get("matchExpressions") or ())


def meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One requirement of a label or node selector."""
    value = labels.get(expression["key"])
    values = expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as way:
            if value is None or not values or not (_whole(value) and _whole(str(values[0]))):
                return False
            return int(value) > int(values[0]) if way == "Gt" else int(value) < int(values[0])
        case _:
            return False


def _whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def milli(quantity: Any) -> int:
    """A quantity ("250m", "4Gi", 2) in thousandths, rounded up; 0 for what is none."""
    return _milli(str(quantity).strip())


@lru_cache(maxsize=4096)
def _milli(text: str) -> int:
    factor = Decimal(1)
    if text[-2:] in _BINARY:
        factor, text = Decimal(_BINARY[text[-2:]]), text[:-2]
    elif text[-1:] in _DECIMAL:
        factor, text = _DECIMAL[text[-1:]], text[:-1]
    try:
        return math.ceil(Decimal(text) * factor * 1000)
    except (InvalidOperation, OverflowError, ValueError):
        return 0


def scaled(value: Any, total: int, *, up: bool) -> int:
    """An int or a percentage of a total ("25%"), rounded up or down."""
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    part = total * int(text[:-1]) / 100
    return math.ceil(part) if up else math.floor(part)


def template_digest(template: Any) -> str:
    """The hash of a pod template in names and labels: equal for equal templates."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    value = int.from_bytes(hashlib.blake2s(text.encode(), digest_size=8).digest())
    return "".join(_ALPHABET[value // len(_ALPHABET) ** i % len(_ALPHABET)] for i in range(10))


def generated(base: str, *parts: object) -> str:
    """A name as generateName makes it: the base and five characters that follow from the parts."""
    return f"{base[:58]}-{suffix('/'.join(map(str, parts)))}"


def conditions_of(obj: Obj) -> Sequence[Mapping[str, Any]]:
    """status.conditions."""
    return (obj.get("status") or {}).get("conditions") or ()


def condition_of(obj: Obj, kind: str) -> Mapping[str, Any] | None:
    """The condition of a type."""
    return next((c for c in conditions_of(obj) if c["type"] == kind), None)


def holds(obj: Obj, kind: str) -> bool:
    """Whether a condition is True."""
    found = condition_of(obj, kind)
    return found is not None and found.get("status") == "True"


def condition(kind: str, status: bool | str, reason: str = "", message: str = "") -> Obj:
    """A condition without its times."""
    told = status if isinstance(status, str) else "True" if status else "False"
    made = {"type": kind, "status": told, "reason": reason, "message": message}
    return {k: v for k, v in made.items() if v}


def with_conditions(
    before: Iterable[Mapping[str, Any]], news: Iterable[Obj], at: str, *, updates: bool = False
) -> list[Obj]:
    """Conditions after news; the time of transition moves with the status alone.

    With `updates` they bear lastUpdateTime, which moves with any change.
    """
    kept = {c["type"]: dict(c) for c in before}
    for new in news:
        old = kept.get(new["type"], {})
        times = {"lastTransitionTime": at}
        if old.get("status") == new["status"]:
            times = {"lastTransitionTime": old.get("lastTransitionTime", at)}
        if updates:
            same = all(old.get(k) == new.get(k) for k in ("status", "reason", "message"))
            times["lastUpdateTime"] = old.get("lastUpdateTime", at) if same else at
        kept[new["type"]] = {**new, **times}
    return list(kept.values())


def without(conditions: Iterable[Mapping[str, Any]], *kinds: str) -> list[Mapping[str, Any]]:
    """Conditions but for some types."""
    return [c for c in conditions if c["type"] not in kinds]
