"""Loads the kernels and calls them from JAX.

What does not live here: compiling them (`build`), where they are used (`serving.model`,
`serving.attention`).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import platform
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

log = logging.getLogger("serving")

HERE = Path(__file__).parent
BUILT_FOR = ("Linux", "x86_64")
LANES, DEPTH = 16, 4  # outputs and inputs of a matrix that lie together, as in linear.h
WIDEST_HEAD = 256  # as in attention.h
# What the kernels need of a CPU, as Linux calls it.
FEATURES = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"})


def _cpu_features() -> set[str]:
    """What this machine's CPU can do, in Linux's words; nothing where they are not built for."""
    if (platform.system(), platform.machine()) != BUILT_FOR:
        return set()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split())
    return set()


def library_path() -> Path:
    """Where the library of these sources, for this jaxlib, lies once it is built.

    One of others has another name and is not taken.
    """
    sources = [*sorted(HERE.glob("*.[ch]")), HERE / "build.py"]
    made_of = jaxlib.__version__.encode() + b"".join(path.read_bytes() for path in sources)
    return HERE / f"kernels-{hashlib.sha256(made_of).hexdigest()[:12]}.so"


@functools.cache
def ready() -> bool:
    """Whether the kernels can be called; they are loaded by the first question.

    Says in the log why not, where there is a CPU to speak of.
    """
    if jax.default_backend() != "cpu":
        return False
    missing = FEATURES - _cpu_features()
    if missing:
        log.info("no kernels for this CPU (it lacks %s); XLA computes", ", ".join(sorted(missing)))
        return False
    path = library_path()
    if not path.exists():
        log.warning("the kernels are not built (`make kernels`); XLA computes, more slowly")
        return False
    try:
        library = ctypes.CDLL(str(path))
        for name in ("heartwood_linear", "heartwood_attention"):
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(library[name]), platform="cpu")
    except (OSError, jax.errors.JaxRuntimeError) as error:
        log.warning("%s cannot be loaded (%s); XLA computes, more slowly", path, error)
        return False
    return True


def can_multiply(values: np.ndarray) -> bool:
    """Whether an int8 matrix `[*out, in]` has a shape that `linear` takes."""
    inputs = values.shape[-1]
    return inputs % LANES == 0 and values.size // inputs % LANES == 0


def pack(values: np.ndarray) -> np.ndarray:
    """An int8 matrix `[*out, in]` as `linear` reads it: `[out/16, in/4, 16, 4]` of uint8."""
    tiles = values.reshape(-1, LANES, values.shape[-1] // DEPTH, DEPTH)
    return np.ascontiguousarray(tiles.swapaxes(1, 2)).view(np.uint8) ^ np.uint8(128)


def unpack_rows(packed: jax.Array, rows: jax.Array) -> jax.Array:
    """Some outputs' weights of a packed matrix, `[*rows in]` of int8."""
    found = packed[rows // LANES, :, rows % LANES]  # *rows in/4 4
    return (found ^ np.uint8(128)).view(jnp.int8).reshape(*rows.shape, -1)


def linear(x: jax.Array, packed: jax.Array, scale: jax.Array) -> jax.Array:
    """`x` [N in] times a packed matrix, `[N out]` in f32; x is quantised by row, `scale` is [out].

    The same to the bit for a row, whichever rows are beside it.
    """
    out = jax.ShapeDtypeStruct((x.shape[0], scale.shape[0]), jnp.float32)
    return jax.ffi.ffi_call("heartwood_linear", out)(x, packed, scale)


def can_attend(width: int) -> bool:
    """Whether query heads of this width are ones that `attend` takes."""
    return width % LANES == 0 and width <= WIDEST_HEAD


def attend(
    query: jax.Array,  # R K G*T E f32
    new: tuple[jax.Array, jax.Array],  # keys and values R K T E f32
    cache: tuple[jax.Array, jax.Array],  # S K L E, bf16 by its bits as uint16
    slots: jax.Array,  # R
    start: jax.Array,  # R
    oldest: jax.Array,  # R G*T
    scale: float,
    cap: float | None,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Writes the new keys and values into the cache, then attends: (as `query`, the cache)."""
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in (query, *cache)]
    call = jax.ffi.ffi_call("heartwood_attention", shapes, input_output_aliases={3: 1, 4: 2})
    out, keys, values = call(
        query, *new, *cache, slots, start, oldest, scale=np.float32(scale), cap=np.float32(cap or 0)
    )
    return out, (keys, values)
