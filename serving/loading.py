"""From settings to something that can run: picks the precision, reads the checkpoint, compiles.

Importing this module imports JAX, which takes a second or more; the server does so in the
engine's thread, after its port is open. What does not live here: serving requests.
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import logging
import platform
import socket
from collections.abc import Callable
from pathlib import Path

import jax
import jaxlib

from serving import processes
from serving.bucket import fetch, is_bucket_url
from serving.gguf_checkpoint import GgufCheckpoint
from serving.hf_checkpoint import HfCheckpoint
from serving.memory import trim_memory
from serving.model import Config, Precision
from serving.prefix_cache import BLOCK
from serving.runner import Runner
from serving.settings import Settings
from serving.sharding import Devices, make_mesh
from serving.step import Limits, make_layouts
from serving.tokenizer import Tokenizer
from serving.vocabulary import CheckpointError

log = logging.getLogger("serving")

Progress = Callable[[str, int, int], None]  # what is being done, how many done, of how many

CHUNK_SIZES = (8, 32, 128)  # tokens of a prompt that are computed at once
DRAFT_WIDTH = 8  # a token and a guess of seven: on CPU a fifth slower than the token alone


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to run, and what is worth telling about it."""

    runner: Runner | processes.LeadingRunner
    tokenizer: Tokenizer
    precision: Precision
    revision: str  # 12 hex digits that tell checkpoints apart
    parameters: int
    backend: str
    devices: tuple[str, ...]
    links: tuple[socket.socket, ...] = ()  # to the followers, or to the leader


def pick_precision(wanted: str, backend: str) -> Precision:
    """The precision that `auto` means: W8A8 on CPU (where it is twice as fast), else bf16."""
    if wanted == "auto":
        return "w8a8" if backend == "cpu" else "bf16"
    return wanted  # type: ignore[return-value]  # the settings allow no other words


def use_compilation_cache(folder: Path) -> None:
    """Keep compiled programs in `folder`, apart by jaxlib version and CPU.

    Code compiled for one CPU's instruction set may crash on another, hence the hash of its flags.
    """
    cpu = platform.processor() + platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        cpu += "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))
    key = hashlib.sha256(cpu.encode()).hexdigest()[:8]
    place = folder / "xla" / f"jaxlib-{jaxlib.__version__}-{key}"
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def open_checkpoint(path: Path) -> GgufCheckpoint | HfCheckpoint:
    """The GGUF file or Hugging Face folder at `path`; CheckpointError when it cannot be served."""
    return HfCheckpoint(path) if path.is_dir() else GgufCheckpoint(path)


def share_out(config: Config, count: int) -> Devices:
    """The devices that share the model; CheckpointError when there are fewer."""
    try:
        devices = Devices(config, make_mesh(count))
    except ValueError as error:
        raise CheckpointError(f"--devices {count}: {error}") from error
    if devices.mesh is not None:
        whole = f"; whole on each: {', '.join(devices.whole_axes)}" if devices.whole_axes else ""
        log.info("the model is shared by %d devices%s", devices.mesh.size, whole)
    return devices


def make_limits(settings: Settings) -> Limits:
    """What steps are planned under; the budget is raised where a step would not fit it."""
    slots, context = settings.slots, settings.max_tokens_context
    everything = settings.cache_tokens or slots * context
    rows = min(settings.speculation_rows, slots)
    least = max(slots + CHUNK_SIZES[0], rows * DRAFT_WIDTH)
    return Limits(
        layouts=make_layouts(slots, context, everything),
        queue=settings.queue_limit,
        chunk_sizes=CHUNK_SIZES,
        budget=max(settings.step_tokens, least),
        draft_rows=rows,
        draft_width=DRAFT_WIDTH if rows else 1,
    )


def load(path: Path, settings: Settings, report: Progress) -> Loaded:
    """Read and compile everything; CheckpointError when the model cannot be served."""
    use_compilation_cache(settings.cache_dir)
    if settings.processes > 1:
        report("waiting for the other processes", 0, settings.processes)
    processes.join(settings)
    links = processes.meet(settings)
    backend = jax.default_backend()
    precision = pick_precision(settings.precision, backend)
    if is_bucket_url(settings.model):
        path = fetch(str(settings.model), settings.cache_dir, report)
    report("opening the model file", 0, 1)
    checkpoint = open_checkpoint(path)
    context = settings.max_tokens_context
    if context > checkpoint.config.context:
        raise CheckpointError(
            f"{path} was trained for {checkpoint.config.context} tokens of context; "
            f"--max-tokens-context {context} is more."
        )
    tokenizer = checkpoint.read_tokenizer()
    config = checkpoint.config
    devices = share_out(config, settings.devices)
    weights = checkpoint.read_weights(
        precision, context, lambda done, total: report("loading weights", done, total), devices
    )
    parameters, revision = checkpoint.parameters, checkpoint.revision()
    # The reader holds an array per vocabulary entry: a quarter of a gigabyte.
    del checkpoint
    gc.collect()
    trim_memory()
    places = settings.prefix_cache_tokens // BLOCK
    runner = Runner(config, weights, make_limits(settings), places, devices)
    runner.compile(lambda done, total: report("compiling programs", done, total))
    if links and settings.process == 0:
        runner = processes.LeadingRunner(runner, links)
    gc.collect()
    trim_memory()
    names = tuple(f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices())
    return Loaded(runner, tokenizer, precision, revision, parameters, backend, names, links)
