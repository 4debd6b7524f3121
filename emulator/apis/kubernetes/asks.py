"""What a write asks for: its body and the options of its query, read and checked for form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from emulator.apis.kubernetes.protobuf_body import FORM, decode
from emulator.apis.kubernetes.requests import Target
from emulator.apis.kubernetes.resources import KINDS, Kind
from emulator.apis.kubernetes.status import StatusError, bad_request, unsupported

LIMIT_BYTES: Final = 3 * 1024 * 1024  # what the API server takes
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
PATCHES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
_DEEPEST: Final = 100
# What may come as protobuf, by apiVersion and kind.
_MODELS: Final = {
    **{(kind.api_version, kind.name): kind.model for kind in KINDS if kind.model},
    ("v1", "DeleteOptions"): "V1DeleteOptions",
    ("policy/v1", "Eviction"): "V1Eviction",
    ("authentication.k8s.io/v1", "TokenRequest"): "AuthenticationV1TokenRequest",
}
_VALIDATION: Final = ("Ignore", "Warn", "Strict")


@dataclass(frozen=True, slots=True)
class Ask:
    """One write.

    Attributes:
        body: parsed; None when there is none. form: its media type.
        dry: change nothing. validation: Ignore, Warn or Strict, for unknown fields.
        manager: who the fields are of. force: take fields from other managers.
        query: all options.
    """

    target: Target
    body: Any
    form: str
    dry: bool
    validation: str
    manager: str
    force: bool
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write answers: a code, an object, and warnings for the person at the terminal."""

    code: int
    body: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def read_ask(target: Target, query: Mapping[str, str], form: str, raw: bytes, agent: str) -> Ask:
    """The write of a request.

    Raises:
        StatusError: 400, 413 or 415.
    """
    dry = query.get("dryRun", "")
    if dry not in ("", "All"):
        raise _bad_option("dryRun", dry, ("All",))
    validation = query.get("fieldValidation") or "Warn"
    if validation not in _VALIDATION:
        raise _bad_option("fieldValidation", validation, _VALIDATION)
    if len(raw) > LIMIT_BYTES:
        text = f"Request entity too large: limit is {LIMIT_BYTES}"
        raise StatusError(413, "RequestEntityTooLarge", text)
    plain = form.split(";")[0].strip().lower()
    manager = query.get("fieldManager") or agent.split("/")[0] or "unknown"
    return Ask(
        target, read_body(plain, raw), plain, bool(dry), validation, manager[:128],
        query.get("force", "") in ("true", "1"), query,
    )  # fmt: skip


def read_body(form: str, raw: bytes) -> Any:
    """A body parsed; None for an empty one.

    Raises:
        StatusError: 400, it is not what it says it is; 415, a form that is not served.
    """
    if not raw.strip():
        return None
    try:
        if form == FORM:
            parsed = decode(raw, _MODELS)
        elif form in ("application/yaml", APPLY_PATCH) and not raw.lstrip().startswith(b"{"):
            parsed = yaml.safe_load(raw)
        elif form in ("", "application/json", "application/yaml", *PATCHES):
            parsed = json.loads(raw, parse_constant=_refuse)
        else:
            raise unsupported(
                f"the body of the request was in an unknown format - accepted media types "
                f"include: application/json, application/yaml: {form}"
            )
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    _check_form(parsed, 0)
    return parsed


def _refuse(constant: str) -> Any:
    raise ValueError(f"invalid character {constant!r} looking for beginning of value")


def _check_form(value: Any, depth: int) -> None:
    """Refuse what JSON cannot say (YAML's dates, other keys than strings) or says too deeply."""
    if depth > _DEEPEST:
        raise bad_request("json: exceeded max depth")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise bad_request(f"json: key {key!r} is no string")
            _check_form(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_form(inner, depth + 1)
    elif isinstance(value, str):
        if max(value, default="") >= "\ud800" and not value.isprintable():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise bad_request("json: invalid UTF-8 in a string") from error
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise bad_request(f"json: cannot unmarshal number {value}: out of range")
    elif not isinstance(value, (int, float, bool, type(None))):
        raise bad_request(f"json: cannot unmarshal {type(value).__name__}")


def _bad_option(name: str, value: str, legal: tuple[str, ...]) -> StatusError:
    shown = ", ".join(f'"{one}"' for one in legal)
    return StatusError(
        422, "Invalid", f'{name}: Unsupported value: "{value}": supported values: {shown}',
        causes=[{"reason": "FieldValueNotSupported", "message": f"unsupported value: {value!r}",
                 "field": name}],
    )  # fmt: skip


def object_of(ask: Ask, kind: Kind) -> dict[str, Any]:
    """The object in a body, of the kind and in the place that the path names.

    Raises:
        StatusError: 400, it is none, of another kind, or of another place.
    """
    body = ask.body
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    for key, wanted in (("apiVersion", kind.api_version), ("kind", kind.name)):
        given = body.setdefault(key, wanted)
        if given != wanted:
            raise bad_request(
                f"{body.get('kind')} in version {body.get('apiVersion')!r} cannot be handled as a "
                f"{kind.name}: expected {key} {wanted!r}"
            )
    meta = body.setdefault("metadata", {})
    if not isinstance(meta, dict):
        raise bad_request("json: cannot unmarshal into Go struct field .metadata of ObjectMeta")
    namespace, name = meta.get("namespace"), meta.get("name")
    if kind.namespaced:
        if namespace not in (None, "", ask.target.namespace):
            raise bad_request(
                f"the namespace of the provided object does not match the namespace sent on the "
                f"request ({namespace!s:.70} instead of {ask.target.namespace})"
            )
        meta["namespace"] = ask.target.namespace
    else:
        meta.pop("namespace", None)
    if ask.target.name:
        if name not in (None, "", ask.target.name):
            raise bad_request(
                f"the name of the object ({name!s:.70}) does not match the name on the URL "
                f"({ask.target.name})"
            )
        meta["name"] = ask.target.name
    return body
