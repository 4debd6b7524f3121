"""Where settings are read from: a TOML file and HEARTWOOD_* variables; which key came whence.

Which keys exist and what they may be is `control/settings.py`'s and `control/tier_settings.py`'s.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from core.errors import ConfigError

PREFIX: Final = "HEARTWOOD_"
CONFIG_VARIABLE: Final = "HEARTWOOD_CONFIG"
# The short names that the emulator and the inference server honour too.
SHORT_NAMES: Final = {
    "HEARTWOOD_CONSOLE_PORT": "ports.console",
    "HEARTWOOD_SERVING_PORT": "ports.serving",
    "HEARTWOOD_EMULATOR_PORT": "ports.emulator",
    "HEARTWOOD_EMULATOR_GRPC_PORT": "ports.emulator_grpc",
    "HEARTWOOD_SERVING_API_KEY": "playground.api_key",
    "HEARTWOOD_ROUTER_API_KEY": "router.api_key",
    "HEARTWOOD_LB_PORT": "ports.lb",
    "HEARTWOOD_DATA_DIR": "data.dir",
    "HEARTWOOD_DATABASE_URL": "data.database_url",
}
# Read by the other processes that `control/run.py` starts; the console's environment has them too.
CHILDREN_ONLY: Final = frozenset({"HEARTWOOD_EMULATOR_HOST", "HEARTWOOD_SERVING_HOST"})
# Variables that other processes of ours define; a near miss of one of ours is refused all the same.
FOREIGN_PREFIXES: Final = (
    "HEARTWOOD_SERVING_",
    "HEARTWOOD_EMULATOR_",
    "HEARTWOOD_CACHE_DIR",
    "HEARTWOOD_TEST_",
)

Tree = dict[str, Any]


class TreeSource(PydanticBaseSettingsSource):
    """A settings source that holds an already read tree."""

    def __init__(self, settings_cls: type[BaseSettings], tree: Tree) -> None:
        super().__init__(settings_cls)
        self._tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One top-level section."""
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> Tree:
        """The whole tree, unknown keys too, so that they can be refused."""
        return self._tree


def read_file(path: Path) -> Tree:
    """The TOML file as a tree.

    Raises:
        ConfigError: it cannot be read, or is not TOML (with line and column).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"{path}: cannot be read ({reason}); {CONFIG_VARIABLE} names another file",
            resource=str(path),
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}", resource=str(path)) from error


def read_environ(environ: Mapping[str, str], sections: tuple[str, ...]) -> dict[str, str]:
    """HEARTWOOD_* variables as dotted path → variable name.

    Raises:
        ConfigError: a variable names no section, or two variables set one key.
    """
    found: dict[str, str] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        path = SHORT_NAMES.get(name) or name.removeprefix(PREFIX).lower().replace("__", ".")
        if name not in SHORT_NAMES and path.split(".")[0] not in sections:
            _check_foreign(name, environ[name], sections)
            continue
        if path in found and environ[found[path]] != environ[name]:
            raise ConfigError(
                f"{name} and {found[path]} both set {path}, to different values; keep one",
                resource=name,
            )
        found[path] = name
    return found


def _check_foreign(name: str, value: str, sections: tuple[str, ...]) -> None:
    if name in CHILDREN_ONLY:
        return
    near = difflib.get_close_matches(name, [*SHORT_NAMES, CONFIG_VARIABLE], n=1, cutoff=0.9)
    if name.startswith(FOREIGN_PREFIXES) and not near:
        return
    meant = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"{name} = {value!r}: there is no such setting; {meant}"
        f"Variables are {PREFIX}SECTION__KEY with a section of {', '.join(sections)}, "
        f"or {', '.join([*SHORT_NAMES, CONFIG_VARIABLE])}",
        resource=name,
    )


def overlay(tree: Tree, paths: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Set each path of `paths` in the tree to its variable's value, in place.

    Entries of a list are found by index or, as tiers are, by their name ("-" written "_").
    Returns the paths as `leaves` spells them → variable.

    Raises:
        ConfigError: the path leads to no entry, or through a value that has no keys.
    """
    placed: dict[str, str] = {}
    for path, variable in paths.items():
        node: Any = tree
        names: list[str] = []
        keys = path.split(".")
        for depth, key in enumerate(keys):
            place, name = _place(node, key, variable)
            names.append(name)
            if depth == len(keys) - 1:
                node[place] = parse(environ[variable], variable)
            elif isinstance(node, dict):
                node = cast("Tree", node).setdefault(key, [] if key == "tiers" else {})
            else:
                node = node[place]
        placed[".".join(names)] = variable
    return placed


def _place(node: Any, key: str, variable: str) -> tuple[str | int, str]:
    """Index of an entry of that name in a list, or the key itself; and the name in a path."""
    if isinstance(node, dict):
        return key, key
    if not isinstance(node, list):
        raise ConfigError(f"{variable}: {key} stands below a single value", resource=variable)
    names = [_entry_name(entry, i) for i, entry in enumerate(cast("list[Any]", node))]
    for index, name in enumerate(names):
        if key in (str(index), name.lower().replace("-", "_")):
            return index, name
    known = ", ".join(names) or "none"
    raise ConfigError(
        f"{variable}: there is no entry {key!r}; there are: {known}", resource=variable
    )


def _entry_name(entry: Any, index: int) -> str:
    return str(cast("Tree", entry).get("name", index)) if isinstance(entry, dict) else str(index)


def parse(text: str, variable: str) -> Any:
    """A variable's value: JSON where it starts as a list or a table, else the text itself.

    Raises:
        ConfigError: it starts as JSON and is none.
    """
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{variable} = {text!r}: is not valid JSON: {error}", resource=variable
        ) from error


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted path of a tree with its value; list entries go by name, else by index."""
    if isinstance(tree, dict) and tree:
        for key, value in cast("Tree", tree).items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list | tuple) and tree:
        for index, value in enumerate(cast("list[Any]", tree)):
            yield from leaves(value, f"{path}.{_entry_name(value, index)}")
    else:
        yield path, tree
