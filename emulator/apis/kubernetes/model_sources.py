"""Fields, types and descriptions of the Kubernetes client's models, read from their source text.

Importing the models would build 300 pydantic classes, which takes seconds and 50 MB in every
emulator; what is wanted of them stands at the top of each file as plain literals.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

_ENTRY: Final = re.compile(r'^ {8}"(\w+)": "\.(\w+)",$', re.MULTILINE)
_CLASS: Final = re.compile(r"^class \w+\(BaseModel\):\n(.*?)^    @classmethod", re.M | re.S)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its JSON name, its type as the client writes it, whether it must be there."""

    name: str
    type_name: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Model:
    """One model."""

    description: str
    fields: tuple[Field, ...]


@lru_cache(maxsize=1)
def _files() -> tuple[Path, dict[str, str]]:
    found = importlib.util.find_spec("kubernetes")
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "client" / "models"
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    return folder, dict(_ENTRY.findall(text))


def read_model(name: str) -> Model:
    """What the client says of a model.

    Raises:
        KeyError: there is no such model.
    """
    folder, modules = _files()
    text = (folder / f"{modules[name]}.py").read_text(encoding="utf-8")
    found = _CLASS.search(text)
    assert found is not None
    body = ast.parse("class Model:\n" + found[1]).body[0]
    assert isinstance(body, ast.ClassDef)
    literals: dict[str, dict[str, str]] = {}
    told: dict[str, tuple[bool, str]] = {}
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if isinstance(node.value, ast.Dict):
                literals[node.target.id] = ast.literal_eval(node.value)
            else:
                told[node.target.id] = _told(node.value)
    names = literals["attribute_map"]
    fields = (
        Field(names[key], type_name, *told.get(key, (False, "")))
        for key, type_name in literals["openapi_types"].items()
    )
    return Model(" ".join((ast.get_docstring(body) or "").split()), tuple(fields))


def _told(value: Any) -> tuple[bool, str]:
    """Whether a field must be there, and its description."""
    if value is None:
        return True, ""
    if not isinstance(value, ast.Call):
        return False, ""
    given = {k.arg: k.value for k in value.keywords}
    text = given.get("description")
    shown = str(ast.literal_eval(text)) if text is not None else ""
    first = value.args[0] if value.args else given.get("default")
    needed = first is None or (isinstance(first, ast.Constant) and first.value is Ellipsis)
    return needed, shown
