"""From settings to something that can run: picks the precision, reads the checkpoint, compiles.

Importing this module imports JAX, which takes a second or more; the server does so in the
engine's thread, after its port is open. What does not live here: serving requests.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from serving import processes
from serving.assembly import place_rope
from serving.bucket import fetch, is_bucket_url
from serving.config import Config
from serving.gguf_checkpoint import GgufCheckpoint, digest_file
from serving.hf_checkpoint import HfCheckpoint
from serving.kernels import library as kernels
from serving.kv_cache import LANES, AnyCache, BitsCache, KVCache, PagedCache
from serving.memory import trim_memory
from serving.model import Precision, Weights
from serving.prefix_cache import BLOCK
from serving.runner import Runner
from serving.settings import Settings
from serving.sharding import Devices, make_mesh
from serving.start_cache import StartCache, machine_key
from serving.step import Limits, make_layouts
from serving.tokenizer import Tokenizer
from serving.vocabulary import CheckpointError, Vocabulary
from serving.work import Cost

log = logging.getLogger("serving")

Progress = Callable[[str, int, int], None]  # what is being done, how many done, of how many

CHUNK_SIZES = (8, 32, 128)  # tokens of a prompt that are computed at once
LARGEST_KEPT_BYTES = 2**30  # weights that a cache folder can be asked to hold once more
CHUNK_ROWS = 4  # chunks of short prompts that are computed at once
DRAFT_WIDTH = 8  # a token and a guess of seven: on CPU a fifth slower than the token alone


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to run, and what is worth telling about it."""

    runner: Runner | processes.LeadingRunner
    tokenizer: Tokenizer
    precision: Precision
    revision: str  # 12 hex digits that tell checkpoints apart
    parameters: int
    cost: Cost
    backend: str
    devices: tuple[str, ...]
    links: tuple[socket.socket, ...] = ()  # to the followers, or to the leader


def pick_precision(wanted: str, backend: str) -> Precision:
    """The precision that `auto` means: W8A8 on CPU (where it is twice as fast), else bf16."""
    if wanted == "auto":
        return "w8a8" if backend == "cpu" else "bf16"
    return wanted  # type: ignore[return-value]  # the settings allow no other words


def pick_cache(wanted: str, backend: str, head_width: int, ours: bool = False) -> type[AnyCache]:
    """The kind of cache that goes with `--attention`: `auto` is one that has a kernel, if any has.

    `ours` says that keys and values are bf16 on a CPU that runs our kernels. CheckpointError when
    pages are asked for wider heads: the TPU's kernel loads single vectors of lanes, and its
    compiler refuses it for more (libtpu 0.0.42).
    """
    if wanted == "paged" and backend != "tpu":
        log.warning("attention over pages has no kernel on %s and is slow there", backend)
    elif wanted == "paged" and head_width > LANES:
        raise CheckpointError(
            f"--attention paged: the TPU's kernel takes heads of at most {LANES} numbers, "
            f"this model's have {head_width}; use --attention spans."
        )
    if wanted == "auto" and ours and kernels.can_attend(head_width):
        return BitsCache
    paged = wanted == "auto" and backend == "tpu" and head_width <= LANES
    return PagedCache if paged or wanted == "paged" else KVCache


def use_compilation_cache(folder: Path) -> None:
    """Let JAX keep compiled programs in `folder`, apart by jaxlib version and CPU."""
    place = folder / "xla" / f"jaxlib-{jaxlib.__version__}-{machine_key()}"
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def open_checkpoint(path: Path) -> GgufCheckpoint | HfCheckpoint:
    """The GGUF file or Hugging Face folder at `path`; CheckpointError when it cannot be served."""
    return HfCheckpoint(path) if path.is_dir() else GgufCheckpoint(path)


def share_out(config: Config, settings: Settings) -> Devices:
    """The devices that share the model; CheckpointError when there are fewer."""
    try:
        devices = Devices(config, make_mesh(settings.devices), settings.kernels)
    except ValueError as error:
        raise CheckpointError(f"--devices {settings.devices}: {error}") from error
    if devices.mesh is not None:
        whole = f"; whole on each: {', '.join(devices.whole_axes)}" if devices.whole_axes else ""
        log.info("the model is shared by %d devices%s", devices.mesh.size, whole)
    return devices


def make_limits(settings: Settings, config: Config) -> Limits:
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
        chunk_rows=CHUNK_ROWS,
    )


def make_cost(config: Config, weights: Weights, position_bytes: int) -> Cost:
    """What a token, a position and a call cost this model."""
    matrices = [
        linear.values
        for layer in weights.layers
        for linear in (layer.qkv, layer.output, layer.gate_up, layer.down)
    ]
    head = weights.head.values
    return Cost(
        layer_weights=sum(matrix.size for matrix in matrices),
        layer_bytes=sum(matrix.nbytes for matrix in matrices),
        head_weights=head.size,
        head_bytes=head.nbytes,
        attention_flops=4 * config.layers * config.query_heads * config.head_width,
        position_bytes=position_bytes,
    )


def check_context(path: Path, config: Config, context: int) -> None:
    """CheckpointError when requests could be longer than the model was trained for."""
    if context > config.context:
        raise CheckpointError(
            f"{path} was trained for {config.context} tokens of context; "
            f"--max-tokens-context {context} is more."
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Model:
    """A checkpoint in memory, its weights on the devices."""

    config: Config
    tokenizer: Tokenizer
    weights: Weights
    devices: Devices
    parameters: int
    revision: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    """What a start has made of a GGUF file for the next one; weights in NumPy, without `rope`."""

    config: Config
    vocabulary: Vocabulary
    weights: Weights
    parameters: int


def _read(path: Path, precision: Precision, settings: Settings, report: Progress) -> _Model:
    """Open a checkpoint and read all of it."""
    report("opening the model file", 0, 1)
    checkpoint = open_checkpoint(path)
    config, context = checkpoint.config, settings.max_tokens_context
    check_context(path, config, context)
    tokenizer = checkpoint.read_tokenizer()
    devices = share_out(config, settings)
    weights = checkpoint.read_weights(
        precision, context, lambda done, total: report("loading weights", done, total), devices
    )
    parameters, revision = checkpoint.parameters, checkpoint.revision()
    # The reader holds an array per vocabulary entry: a quarter of a gigabyte.
    del checkpoint
    gc.collect()
    return _Model(config, tokenizer, weights, devices, parameters, revision)


def _read_gguf(
    path: Path, precision: Precision, settings: Settings, report: Progress, cache: StartCache
) -> _Model:
    """A GGUF file by way of the cache: opening it takes seconds, for an object per token."""
    report("opening the model file", 0, 1)
    digest = digest_file(path)
    what = (digest, precision, settings.kernels and kernels.ready())
    kept = cache.load("weights", what)
    if kept is None:
        model = _read(path, precision, settings, report)
        arrays = jax.tree.map(np.asarray, dataclasses.replace(model.weights, rope=None))
        if sum(array.nbytes for array in jax.tree.leaves(arrays)) <= LARGEST_KEPT_BYTES:
            kept = _Kept(model.config, model.tokenizer.vocabulary, arrays, model.parameters)
            cache.save("weights", what, kept)
        return model
    config, context = kept.config, settings.max_tokens_context
    check_context(path, config, context)
    devices = share_out(config, settings)
    rope = place_rope(config, context, devices.put)
    weights = dataclasses.replace(jax.tree.map(jnp.asarray, kept.weights), rope=rope)
    tokenizer = Tokenizer(kept.vocabulary)
    return _Model(config, tokenizer, weights, devices, kept.parameters, digest[:12])


def load(path: Path, settings: Settings, report: Progress) -> Loaded:
    """Read and compile everything; CheckpointError when the model cannot be served."""
    if settings.processes > 1:
        report("waiting for the other processes", 0, settings.processes)
    processes.join(settings)
    links = processes.meet(settings)
    backend = jax.default_backend()
    precision = pick_precision(settings.precision, backend)
    if is_bucket_url(settings.model):
        path = fetch(str(settings.model), settings.cache_dir, report)
    alone = settings.processes == 1 and (settings.devices or jax.device_count()) == 1
    if alone:
        # What JAX takes from its own cache cannot be kept once more: functions would be missing.
        jax.config.update("jax_enable_compilation_cache", False)
    else:
        use_compilation_cache(settings.cache_dir)
    kept = settings.cache_dir / "start"
    if alone and path.is_file():
        model = _read_gguf(path, precision, settings, report, StartCache(kept, __name__))
    else:
        model = _read(path, precision, settings, report)
    trim_memory()
    places = settings.prefix_cache_tokens // BLOCK
    limits = make_limits(settings, model.config)
    ours = model.devices.kernels and precision != "f32"
    kind = pick_cache(settings.attention, backend, model.config.head_width, ours)
    runner = Runner(model.config, model.weights, limits, places, model.devices, kind)
    cache = StartCache(kept, "serving.programs") if alone else None
    runner.compile(lambda done, total: report("preparing programs", done, total), cache)
    if links:
        report("waiting for the other processes", 0, settings.processes)
        processes.wait_for_all(settings, links)
    if links and settings.process == 0:
        runner = processes.LeadingRunner(runner, links)
    gc.collect()
    trim_memory()
    names = tuple(f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices())
    return Loaded(
        runner=runner,
        tokenizer=model.tokenizer,
        precision=precision,
        revision=model.revision,
        parameters=model.parameters,
        cost=make_cost(model.config, model.weights, runner.position_bytes),
        backend=backend,
        devices=names,
        links=links,
    )
