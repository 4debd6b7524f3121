"""What is wrong with the settings, in words: where, which key, its value, what is allowed.

Only wording; the checks themselves are `control/settings.py`'s and `control/tier_settings.py`'s.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from control.settings_sources import Tree
from control.tier_settings import TierSettings
from core.errors import ConfigError
from core.specs import TierSpec

_SHOWN_CHARS = 120
_SECRET = re.compile(r"//[^/\s]*@")  # user and password of an address
_LIST = 'a list; in a variable as JSON, for example ["a", "b"]'
# What pydantic calls a mistake → what is allowed instead.
_WORDS = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "something: it is empty",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "tuple_type": _LIST,
    "list_type": _LIST,
}


def in_words(
    error: ValidationError,
    tree: Tree,
    origins: Mapping[str, str],
    file: str,
    model: type[BaseModel],
) -> ConfigError:
    """One `ConfigError` for all that is wrong; its message is a block of lines."""
    found = error.errors(include_url=False)
    blocks: list[str] = []
    first = ""
    for details in found:
        path = _path(details, tree)
        origin = _origin(path, origins, file)
        first = first or f"{origin}: {path}"
        blocks.append(
            f"  {path}{_value(details, model)}   ({origin})\n    {_reason(details, model)}"
        )
    count = "One setting is" if len(found) == 1 else f"{len(found)} settings are"
    return ConfigError(
        f"{count} wrong:\n" + "\n".join(blocks),
        resource=first,
        hint="README, Configuration, lists every key",
    )


def _location(details: ErrorDetails) -> list[str | int]:
    below = str(details.get("ctx", {}).get("at", ""))
    added = [int(k) if k.isdigit() else k for k in below.split(".") if k]
    return [*details["loc"], *added]


def _path(details: ErrorDetails, tree: Tree) -> str:
    """Dotted path, list entries by name where they have one."""
    names: list[str] = []
    node: Any = tree
    for key in _location(details):
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            node = None
        name = cast("Tree", node).get("name") if isinstance(node, dict) else None
        names.append(str(name) if isinstance(key, int) and name else str(key))
    return ".".join(names)


def _origin(path: str, origins: Mapping[str, str], file: str) -> str:
    if path in origins:
        return origins[path]
    above = path
    while above:
        variable = origins.get(above, "")
        if variable.startswith("HEARTWOOD_"):
            return variable
        above = above.rpartition(".")[0]
    below = [o for p, o in origins.items() if p.startswith(f"{path}.")]
    return below[0] if below and len(set(below)) == 1 else file


def _value(details: ErrorDetails, model: type[BaseModel]) -> str:
    context = details.get("ctx", {})
    field = _field(details["loc"], model)
    if details["type"] == "missing" or (field is not None and field.annotation is SecretStr):
        return ""
    value = context["value"] if context.get("at") else details["input"]
    if isinstance(value, BaseModel | dict) or (
        isinstance(value, list | tuple) and details["type"] == "heartwood"
    ):
        return ""  # a whole table says less than the reason below it
    text = json.dumps(value, default=str, ensure_ascii=False)
    text = _SECRET.sub("//***@", text)
    return f" = {text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + '…'}"


def _reason(details: ErrorDetails, model: type[BaseModel]) -> str:
    kind = details["type"]
    if kind == "missing":
        return "this key is needed and not there"
    if kind == "extra_forbidden":
        key = str(details["loc"][-1])
        known = _known_keys(details["loc"][:-1], model)
        near = difflib.get_close_matches(key, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        return f"there is no such key; {meant}known here: {', '.join(known)}"
    if kind == "string_pattern_mismatch":
        told = _description(details["loc"], model)
        return f"must be {told or 'like ' + str(details.get('ctx', {}).get('pattern'))}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        known = ", ".join(_known_keys(details["loc"], model))
        return f"must be a table, with the keys {known} (a variable sets one key: SECTION__KEY)"
    words = _WORDS.get(kind)
    if words is None:
        return details["msg"].removeprefix("Value error, ")
    return "must be " + words.format(**details.get("ctx", {}))


def _description(location: tuple[str | int, ...], model: type[BaseModel]) -> str:
    field = _field(location, model)
    return (field.description or "") if field else ""


def _field(location: tuple[str | int, ...], model: type[BaseModel]) -> FieldInfo | None:
    """The setting at that place; None: it is none, or the place is the whole file."""
    here = _model_at(location[:-1], model)
    return here.model_fields.get(str(location[-1])) if location else None


def _known_keys(location: tuple[str | int, ...], model: type[BaseModel]) -> list[str]:
    return list(_model_at(location, model).model_fields)


def _model_at(location: tuple[str | int, ...], model: type[BaseModel]) -> type[BaseModel]:
    here = model
    for key in location:
        if isinstance(key, str) and key in here.model_fields:
            here = _model_in(here.model_fields[key].annotation) or here
    return here


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings model inside an annotation such as tuple[PartSettings, ...]."""
    if annotation is TierSpec:
        return TierSettings
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    for inner in typing.get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
