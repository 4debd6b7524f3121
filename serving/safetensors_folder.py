"""Reads tensors by name from a folder of safetensors files, one file or sharded with an index.

A file is eight bytes (the header's length, little-endian), a JSON header that gives each tensor's
dtype, shape and place, and the data. Everything is checked when the folder is opened, so that a
truncated download is found at start and not in the middle of loading. What does not live here:
which tensors a model needs (`hf_checkpoint`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from serving.vocabulary import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_LONGEST_HEADER = 100_000_000  # the format's own limit in bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """Where one tensor lies; `begin` counts from the start of its file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    size_bytes: int


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"There is no {path.name} in {path.parent}.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; CheckpointError when there is none."""
    found = _read_json(path)
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds no JSON object.")
    return found


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """A file's header, and where its data begins."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_LONGEST_HEADER, size - 8):
            raise CheckpointError(
                f"{path} is not a whole safetensors file: its header of {length} bytes does not "
                f"fit into {size} bytes."
            )
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise CheckpointError(f"{path} has a header that is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} has a header that is no JSON object.")
    return header, 8 + length


def _place(path: Path, name: str, entry: Any, data: int, size: int) -> Tensor:
    """One entry of a header, checked against the file's size."""
    try:
        dtype, shape = str(entry["dtype"]), tuple(int(n) for n in entry["shape"])
        first, last = (int(n) for n in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the entry of {name} is broken ({error!r}).") from error
    if dtype in _DTYPES:
        expected = math.prod(shape) * _DTYPES[dtype].itemsize
        if last - first != expected:
            raise CheckpointError(
                f"{path}: {name} {dtype} {shape} needs {expected} bytes, its entry gives "
                f"{last - first}."
            )
    if first < 0 or data + last > size:
        raise CheckpointError(
            f"{path} is truncated: {name} {dtype} {shape} needs the bytes {data + first} to "
            f"{data + last}, the file has {size}."
        )
    return Tensor(path, dtype, shape, data + first, last - first)


def _read_file(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        header, data = _read_header(path)
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    for name, entry in header.items():
        if name != "__metadata__":
            yield name, _place(path, name, entry, data, size)


class SafetensorsFolder:
    """The tensors of a folder, by name."""

    def __init__(self, folder: Path) -> None:
        """Read all headers; CheckpointError for a missing, broken or truncated file."""
        self.folder = folder
        self._taken: set[str] = set()
        if (folder / INDEX).is_file():
            self.tensors = self._read_shards(read_object(folder / INDEX))
        elif (folder / SINGLE).is_file():
            self.tensors = dict(_read_file(folder / SINGLE))
        else:
            raise CheckpointError(f"{folder} has neither {INDEX} nor {SINGLE}.")

    def _read_shards(self, index: dict[str, Any]) -> dict[str, Tensor]:
        where = index.get("weight_map")
        if not isinstance(where, dict) or not where:
            raise CheckpointError(f"{self.folder / INDEX} has no weight_map.")
        found: dict[str, Tensor] = {}
        for file in sorted({str(name) for name in where.values()}):
            if Path(file).name != file:
                raise CheckpointError(f"{self.folder / INDEX} names {file!r}, outside the folder.")
            if not (self.folder / file).is_file():
                names = [name for name, place in where.items() if place == file]
                raise CheckpointError(
                    f"{self.folder} lacks {file}, which holds {names[0]} and "
                    f"{len(names) - 1} more tensors."
                )
            found.update(_read_file(self.folder / file))
        for name, file in where.items():
            if name not in found or found[name].file.name != file:
                raise CheckpointError(f"{self.folder / file} lacks the tensor {name}.")
        return found

    @property
    def parameters(self) -> int:
        """How many weights the folder holds."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A tensor as f32; CheckpointError when absent, misshapen or of a dtype not served."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise CheckpointError(f"{self.folder} lacks the tensor {name}, expected {shape}.")
        if tensor.shape != shape:
            raise CheckpointError(
                f"{tensor.file}: {name} has shape {tensor.shape}, expected {shape}."
            )
        if tensor.dtype not in _DTYPES:
            raise CheckpointError(
                f"{tensor.file}: {name} is {tensor.dtype}; only {', '.join(_DTYPES)} are served."
            )
        self._taken.add(name)
        dtype = _DTYPES[tensor.dtype].newbyteorder("<")
        flat = np.memmap(
            tensor.file, dtype=np.uint8, mode="r", offset=tensor.begin, shape=(tensor.size_bytes,)
        )
        return flat.view(dtype).reshape(shape).astype(np.float32)

    def untaken(self) -> list[str]:
        """Names of the tensors that nobody has read."""
        return sorted(self.tensors.keys() - self._taken)
