"""Keeps what a start has made for the next one: values in files, each with a key and a checksum.

A file is a line with both in hexadecimal, and a pickle. The key stands for all that the value
follows from, our code that makes it and the machine included; the checksum is the pickle's. What
does not fit is told of in one line and made anew, and nothing of it is unpickled. A pickle can hold
code, as compiled programs do, so the folder must be its user's own.
What does not live here: what is worth keeping (`loading`, `programs`).
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import logging
import os
import pickle
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

log = logging.getLogger("serving")

_HEX = 64  # digits of a SHA-256
_HEADER = 2 * _HEX + 2
_MAKERS = ("jax", "jaxlib", "numpy", "gguf")


def machine_key() -> str:
    """Tells CPUs apart whose compiled code may crash on one another, by their instruction sets."""
    cpu = platform.processor() + platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        cpu += "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))
    return hashlib.sha256(cpu.encode()).hexdigest()[:8]


def _find_code(module: str) -> dict[str, bytes]:
    """The sources of a module of ours and of all that it imports of ours, by name."""
    root, found, todo = Path(__file__).parents[1], {}, {module}
    while todo:
        name = todo.pop()
        path = root / f"{name.replace('.', '/')}.py"
        if name in found or not path.is_file():
            continue
        found[name] = path.read_bytes()
        for node in ast.walk(ast.parse(found[name])):
            if isinstance(node, ast.ImportFrom) and node.module:
                todo |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                todo |= {alias.name for alias in node.names}
    return found


def _maker_key(module: str) -> str:
    """Tells apart what values are made by: our code, the packages, the machine, XLA's flags."""
    told = [hashlib.sha256(code).hexdigest() for _, code in sorted(_find_code(module).items())]
    told += [f"{name} {version(name)}" for name in _MAKERS]
    told += [platform.python_version(), machine_key(), os.environ.get("XLA_FLAGS", "")]
    return hashlib.sha256(repr(told).encode()).hexdigest()


class StartCache:
    """The values in one folder that one module makes."""

    def __init__(self, folder: Path, module: str) -> None:
        """The folder is made when the first value is kept."""
        self._folder, self._module, self._maker = folder, module, _maker_key(module)
        self._told_version = self._takes_nothing = False

    def _place(self, name: str, what: object) -> tuple[Path, str]:
        """The file of a value, and the key that it must have now."""
        told = repr(what).encode()
        path = self._folder / f"{name}-{hashlib.sha256(told).hexdigest()[:16]}"
        return path, hashlib.sha256(self._maker.encode() + told).hexdigest()

    def load(self, name: str, what: object) -> Any | None:
        """The value that `save` was given with equal arguments; None when there is none."""
        path, key = self._place(name, what)
        try:
            with path.open("rb") as file:
                header = file.read(_HEADER).decode("ascii", "replace").split()
                if len(header) == 2 and header[0] != key:
                    self._tell_version()
                    return None
                if header != [key, hashlib.file_digest(file, "sha256").hexdigest()]:
                    log.warning("%s is damaged; made anew", path)
                    return None
                file.seek(_HEADER)
                return pickle.load(file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            log.warning("%s cannot be read (%s); made anew", path, error.strerror)
            return None

    def _tell_version(self) -> None:
        if not self._told_version:
            self._told_version = True
            where = f"{self._folder} holds what another version of {self._module} made"
            log.info("%s; made anew", where)

    def save(self, name: str, what: object, value: object) -> None:
        """Keep a value in place of an older one; a folder that takes none is told of once."""
        if self._takes_nothing:
            return
        path, key = self._place(name, what)
        part = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w+b", dir=path.parent, delete=False) as file:
                part = Path(file.name)
                file.write(bytes(_HEADER))
                pickle.dump(value, file, protocol=5)
                file.seek(_HEADER)
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
                file.seek(0)
                file.write(f"{key} {checksum}\n".encode())
            part.replace(path)
        except OSError as error:
            self._takes_nothing = True
            log.warning("%s cannot be kept for the next start: %s", path, error.strerror)
            if part is not None:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
