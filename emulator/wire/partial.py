"""Partial answers: what `fields=` leaves of a JSON body, as every Google API does it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from emulator.wire.errors import ApiError


def asked_for(query: Mapping[str, str]) -> Callable[[Any], Any]:
    """What leaves of an answer the parts that the parameter `fields` names; asked before a change
    is made, since a wrong one is refused.

    Raises:
        ApiError: INVALID_ARGUMENT: not of the form items(name,size),nextPageToken.
    """
    fields = query.get("fields") or query.get("$fields") or ""
    if not fields:
        return lambda body: body
    tree, rest = _field_tree(fields, 0)
    if rest or not tree:
        raise ApiError(
            "INVALID_ARGUMENT", f"Invalid field selection {fields}",
            legacy_reason="invalidParameter",
        )  # fmt: skip
    return lambda body: _cut(body, tree)


def _field_tree(text: str, depth: int) -> tuple[dict[str, Any], str]:
    tree: dict[str, Any] = {}
    while text and depth < 20:
        found = re.match(r"\s*([\w./*-]+)\s*", text)
        if found is None:
            break
        text = text[found.end() :]
        branch = tree
        for part in re.split(r"[/.]", found[1].strip("/.")):
            leaf, branch = branch, branch.setdefault(part, {})
        if text.startswith("("):
            inner, text = _field_tree(text[1:], depth + 1)
            if not text.startswith(")"):
                return tree, text or "("
            leaf[part].update(inner)
            text = text[1:]
        if not text.startswith(","):
            break
        text = text[1:]
    return tree, text


def _cut(value: Any, tree: Mapping[str, Any]) -> Any:
    if not tree or "*" in tree:
        return value
    if isinstance(value, list):
        return [_cut(v, tree) for v in value]
    if isinstance(value, Mapping):
        return {k: _cut(v, tree[k]) for k, v in value.items() if k in tree}
    return value
