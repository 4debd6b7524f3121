"""JSON ↔ protobuf as Google's front end does it: camelCase, int64 as strings, strict fields."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from google.protobuf import json_format, message
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from emulator.wire.errors import ApiError, invalid
from emulator.wire.http_rules import Match

# Parameters that every Google API takes beside its own.
SYSTEM_PARAMETERS: Final = frozenset(
    {
        "$.xgafv", "$alt", "$prettyPrint", "$fields", "$key", "$httpMethod", "$ct",
        "access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint",
        "quotaUser", "uploadType", "upload_protocol", "userIp", "userProject",
    }
)  # fmt: skip
# Parameters that gcloud sends and the Python library's messages lack; they change nothing here.
NEWER_PARAMETERS: Final = frozenset({"returnPartialSuccess"})
# Fields that gcloud sends under v1beta1 and v1 lacks; they change nothing here either.
BETA_FIELDS: Final = frozenset({"enableContainerLogging"})

_NO_FIELD: Final = re.compile(r'has no field named "(?P<name>[^"]*)"(?: at "(?P<path>[^"]*)")?')
_TRUE_FALSE: Final = {"true": True, "false": False, "1": True, "0": False}


def new_message(message_class: type[Any]) -> tuple[Any, message.Message]:
    """An empty instance, and the plain protobuf message in it (the same for plain classes)."""
    instance = message_class()
    return instance, plain(instance)


def plain(instance: Any) -> message.Message:
    """The protobuf message of a proto-plus or plain instance."""
    if isinstance(instance, message.Message):
        return instance
    return cast(message.Message, type(instance).pb(instance))


def decode_request(
    match: Match, query: Iterable[tuple[str, str]], body: bytes, content_type: str = ""
) -> Any:
    """The request message of a REST call; a body of any kind goes into an HttpBody as it is.

    Raises:
        ApiError: INVALID_ARGUMENT: not JSON, an unknown field, enum value or query parameter, a
            value of the wrong type.
    """
    method, rule = match.route.method, match.route.rule
    instance, target = new_message(method.request)
    payload = _body_as_it_is(target, body, content_type) or _load(body)
    if rule.uri.startswith("/v1beta1/"):
        payload = _without_beta(payload)
    tree: dict[str, Any] = {}
    if rule.body == "*":
        tree.update(_object(payload))
    elif rule.body:
        tree[_json_name(target.DESCRIPTOR, rule.body)] = _object(payload)
    for name, value in query:
        newer = name in NEWER_PARAMETERS and _field(target.DESCRIPTOR, name) is None
        if name not in SYSTEM_PARAMETERS and not newer:
            _put(tree, target.DESCRIPTOR, name.split("."), value, name)
    for name, value in match.path_fields.items():
        _put(tree, target.DESCRIPTOR, name.split("."), value, name, replace=True)
    try:
        json_format.ParseDict(tree, target)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _payload_error(_in_googles_words(str(error))) from error
    return instance


def _in_googles_words(said: str) -> str:
    """protobuf's sentence about an unknown field as Google's front end has it."""
    found = _NO_FIELD.search(said)
    if found is None:
        return said
    inside = found["path"].partition(".")[2]
    place = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: f"_{m[1].lower()}", inside)
    return f'Unknown name "{found["name"]}"{f" at {place!r}" if place else ""}: Cannot find field.'


def encode_response(
    response: Any, query: Mapping[str, str], keep: Callable[[Any], Any] | None = None
) -> bytes:
    """The JSON body of a response, or what `keep` leaves of it; enums as integers on demand."""
    alt = f"{query.get('$alt', '')};{query.get('alt', '')}"
    as_dict = json_format.MessageToDict(
        plain(response), use_integers_for_enums="enum-encoding=int" in alt
    )
    return json.dumps(
        keep(as_dict) if keep else as_dict, ensure_ascii=False, separators=(",", ":")
    ).encode()


def _body_as_it_is(target: message.Message, body: bytes, content_type: str) -> Any:
    """The fields of a request that takes any body (google.api.HttpBody); {} for others.

    Google's client library writes such a body as the message that it is, other clients as it is.
    """
    field = target.DESCRIPTOR.fields_by_name.get("http_body")
    if field is None or field.message_type.full_name != "google.api.HttpBody":
        return {}
    if body.lstrip()[:1] == b"{" and b'"httpBody"' in body[:4096]:
        return {}
    data = base64.b64encode(body).decode()
    return {"httpBody": {"contentType": content_type, "data": data}}


def _payload_error(text: str) -> ApiError:
    return invalid(f"Invalid JSON payload received. {text.rstrip('.')}.", field="")


def _load(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _payload_error(f"Parse error: {error}") from error


def _without_beta(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_beta(item) for item in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    found = cast(dict[str, Any], node)
    return {k: _without_beta(v) for k, v in found.items() if k not in BETA_FIELDS}


def _object(payload: Any) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise _payload_error("Root element must be a message.")
    return cast(dict[str, Any], payload)


def _field(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    for field in descriptor.fields:
        if name in (field.name, field.json_name):
            return field
    return None


def _json_name(descriptor: Descriptor, name: str) -> str:
    field = _field(descriptor, name)
    return field.json_name if field else name


def _put(
    tree: dict[str, Any],
    descriptor: Descriptor,
    parts: list[str],
    value: str,
    whole: str,
    *,
    replace: bool = False,
) -> None:
    field = _field(descriptor, parts[0])
    if field is None:
        raise _payload_error(
            f"Unknown name \"{whole}\": Cannot bind query parameter. Field '{whole}' could not be "
            "found in request message."
        )
    name = field.json_name
    if len(parts) > 1:
        if field.message_type is None:
            raise _payload_error(f'Unknown name "{whole}": {parts[0]} has no fields.')
        branch = tree.setdefault(name, {})
        _put(_object(branch), field.message_type, parts[1:], value, whole, replace=replace)
    elif field.is_repeated:
        existing = tree.setdefault(name, [])
        if isinstance(existing, list):
            cast(list[Any], existing).append(_scalar(field, value, whole))
    elif replace or name not in tree:
        tree[name] = _scalar(field, value, whole)
    else:
        raise _payload_error(f'"{whole}" is given twice.')


def _scalar(field: FieldDescriptor, value: str, whole: str) -> Any:
    if field.type == FieldDescriptor.TYPE_BOOL or _wraps(field, "BoolValue"):
        if value.lower() not in _TRUE_FALSE:
            raise _payload_error(f'Invalid value at "{whole}" (TYPE_BOOL), "{value}"')
        return _TRUE_FALSE[value.lower()]
    if field.type == FieldDescriptor.TYPE_ENUM and value.lstrip("-").isdigit():
        return int(value)
    if _wraps(field, "FieldMask"):
        # gcloud sends snake_case, which Google takes and protobuf's JSON does not.
        return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), value)
    return value


def _wraps(field: FieldDescriptor, name: str) -> bool:
    return field.message_type is not None and (
        field.message_type.full_name == f"google.protobuf.{name}"
    )
