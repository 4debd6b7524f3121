"""What an object must be before it is stored: its form, its defaults, its rules, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.apis.kubernetes import defaults, rules, rules_updates, structure
from emulator.apis.kubernetes.causes import Causes
from emulator.apis.kubernetes.kind_schemas import is_custom, schema_of
from emulator.apis.kubernetes.resources import Kind
from emulator.apis.kubernetes.status import bad_request, invalid

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState

Obj = dict[str, Any]
_MOST: int = 20  # unknown fields and causes that one answer tells


def check_form(kind: Kind, body: Obj, validation: str, warnings: list[str]) -> None:
    """Take out unknown fields and nulls; refuse wrong types, and unknown fields if Strict.

    Raises:
        StatusError: 400; 422 for the types of a custom resource.
    """
    found = structure.Findings()
    built = structure.walk(schema_of(kind), body, "", found)
    if found.wrong:
        _refuse_types(kind, body, found.wrong)
    if is_custom(kind) and found.broken:
        raise invalid(kind, str(body["metadata"].get("name", "")), found.broken[:_MOST])
    unknown = found.unknown[:_MOST]
    if unknown and validation == "Strict":
        told = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise bad_request(f"{_head(kind)}: strict decoding error: {told}")
    if validation == "Warn":
        warnings += [f'unknown field "{path}"' for path in unknown]
    body.clear()
    body.update(built)


def _head(kind: Kind) -> str:
    return f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}'


def _refuse_types(kind: Kind, body: Obj, wrong: list[tuple[str, str, str]]) -> None:
    if is_custom(kind) and not wrong[0][0].startswith("metadata"):
        causes = [
            {
                "reason": "FieldValueTypeInvalid",
                "message": f"Invalid value: {value}: {path} in body must be of type {wanted}",
                "field": path,
            }
            for path, wanted, value in wrong[:_MOST]
        ]
        raise invalid(kind, str(body["metadata"].get("name", "")), causes)
    path, wanted, value = wrong[0]
    raise bad_request(
        f"{_head(kind)}: json: cannot unmarshal {value} into Go struct field {kind.name}.{path} "
        f"of type {wanted}"
    )


def admit(state: ClusterState, kind: Kind, body: Obj, old: Obj | None, sub: str = "") -> None:
    """Fill in defaults and check the rules; `old` is what the object replaces.

    Raises:
        StatusError: 422 with a cause for each broken rule; 403 by an immutable part.
    """
    defaults.fill(state, kind, body, old)
    causes = Causes()
    rules.check_metadata(kind, body["metadata"], causes)
    if sub != "status":
        _check_required(kind, body, causes)
        if not causes.found:
            rules.check(state, kind, body, causes)
        if old is not None and not causes.found:
            rules_updates.check(kind, body, old, causes)
    if causes.found:
        raise invalid(kind, str(body["metadata"]["name"]), causes.found[:_MOST])


def _check_required(kind: Kind, body: Obj, causes: Causes) -> None:
    found = structure.Findings()
    structure.missing(schema_of(kind), {k: v for k, v in body.items() if k != "status"}, "", found)
    causes.found += found.broken
