"""The matmul "heartbeat": 128 x 4096 times 4096 x 16384, timed so that the figure can be trusted.

`python -m serving.heartbeat` prints TFLOP/s and GB/s beside what the device can do at most, and
refuses a figure above that, naming the likely mistake. What makes a naive measurement wrong, and
what is done about it here:

- JAX returns before the device has computed: the clock stops when the result is there;
- compiling is timed: every program runs once before the clock starts;
- a compiler drops work that nobody uses, or moves it out of the loop: each product is folded (a
  maximum, which no algebra undoes) into the next one's input, and the last is checked;
- the same input again may lie in a cache: activations differ each time, the weights take turns;
- f32 may be multiplied in bf16 or TF32: full precision is asked for, and the result compared with
  NumPy's in float64.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from serving.peaks import Dtype, Peak, find_peak

ROWS, INNER, OUTER = 128, 4096, 16384
FLOPS = 2 * ROWS * INNER * OUTER
ITERATIONS = 100
_FOLDS = OUTER // INNER
_PIECES = 5
_READ_BYTES, _READ_ROWS = 512 << 20, 64
_WEIGHTS = {"cpu": 2}  # matrices that take turns; elsewhere more, so that no cache holds them
_DTYPES: dict[Dtype, jnp.dtype] = {"f32": jnp.dtype(jnp.float32), "bf16": jnp.dtype(jnp.bfloat16)}
# A fold is the largest of four standard normals; its mean square keeps the next product's at 1.
_FOLD_SQUARE = 1.5514


class Stopped(Exception):
    """The measurement was asked to stop before its end."""


class Wrong(Exception):
    """The device computed something else than NumPy does."""


@dataclasses.dataclass(frozen=True, slots=True)
class Beat:
    """One measurement, or why it is refused."""

    device: str
    dtype: Dtype
    iterations: int
    ms: float  # median of one product
    spread_ms: float  # between the quickest and the slowest piece, per product
    tflops: float
    gb_per_s: float
    peak_tflops: float | None
    peak_gb_per_s: float | None
    peak_published: bool
    refused: str | None = None  # the likely mistake behind an impossible figure


def bytes_moved(dtype: Dtype) -> int:
    """The least that a product must move: the weights once, the activations in and out."""
    return (INNER * OUTER + 2 * ROWS * INNER) * _DTYPES[dtype].itemsize


def find_mistake(dtype: Dtype, elapsed_s: float, peak: Peak) -> str | None:
    """Why one product cannot have taken `elapsed_s` on that device; None when it can."""
    flops, rate = FLOPS / elapsed_s, bytes_moved(dtype) / elapsed_s
    most, most_bytes = peak.flops(dtype), peak.bytes_per_s
    if most is not None and flops > most:
        said = f"{flops / 1e12:.0f} TFLOP/s is {flops / most:.1f} times what {peak.device} can do"
        if dtype == "f32" and peak.bf16_flops and flops <= peak.bf16_flops:
            return f"{said}: f32 was probably multiplied in bf16 or TF32."
        return (
            f"{said}: the clock was probably stopped when the call returned, not when the device "
            "was done (block_until_ready), or the compiler dropped work whose result is unused."
        )
    if most_bytes is not None and rate > most_bytes:
        return (
            f"{rate / 1e9:.0f} GB/s is {rate / most_bytes:.1f} times the memory's bandwidth: the "
            "operands probably stayed in a cache because every iteration had the same ones."
        )
    return None


def _step(x: jax.Array, w: jax.Array) -> jax.Array:
    """One product, folded into the next input: [ROWS INNER] to [ROWS INNER]."""
    exact = jax.lax.Precision.HIGHEST if x.dtype == jnp.float32 else None
    y = jnp.dot(x, w, precision=exact, preferred_element_type=jnp.float32)  # ROWS OUTER
    return y.reshape(ROWS, _FOLDS, INNER).max(axis=1).astype(x.dtype)


@jax.jit
def _run(x: jax.Array, weights: tuple[jax.Array, ...], rounds: jax.Array) -> jax.Array:
    """`rounds` times through all weights, each product's input made of the one before."""

    def turn(_: jax.Array, x: jax.Array) -> jax.Array:
        return functools.reduce(_step, weights, x)

    return jax.lax.fori_loop(0, rounds, turn, x)


def _make_inputs(dtype: Dtype, device: jax.Device) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Activations and weights on the device, from a fixed seed."""
    width = (3 / (INNER * _FOLD_SQUARE)) ** 0.5

    @functools.partial(jax.jit, static_argnums=(1, 2))
    def draw(key: jax.Array, shape: tuple[int, int], reach: float) -> jax.Array:
        # Drawn in f32: bf16's few random bits would have a mean, which grows along the chain.
        return jax.random.uniform(key, shape, minval=-reach, maxval=reach).astype(_DTYPES[dtype])

    with jax.default_device(device):
        count = _WEIGHTS.get(device.platform, 4)
        keys = jax.random.split(jax.random.key(7), count + 1)
        x = draw(keys[0], (ROWS, INNER), (3 * _FOLD_SQUARE) ** 0.5)
        return x, tuple(draw(key, (INNER, OUTER), width) for key in keys[1:])


def _check(x: jax.Array, w: jax.Array, last: jax.Array) -> None:
    """Wrong unless one step agrees with float64 on some outputs and the last result is sane."""
    columns = np.arange(0, INNER, 257)
    rows = np.asarray(x[:4], np.float64)
    wanted = np.stack([np.asarray(w[:, columns + fold * INNER]) for fold in range(_FOLDS)])
    expected = (rows @ wanted.astype(np.float64)).max(axis=0)
    found = np.asarray(jax.jit(_step)(x, w)[:4][:, columns], np.float64)
    allowed = 1e-3 if x.dtype == jnp.float32 else 5e-2
    if not np.abs(found - expected).max() < allowed:
        raise Wrong(f"a product differs from NumPy's by {np.abs(found - expected).max():.3g}")
    final = np.asarray(last, np.float64)
    if not np.isfinite(final).all() or not 0.01 < final.std() < 100:
        raise Wrong("the last product is not what a chain of such products comes to")


def measure_reading(device: jax.Device | None = None) -> float:
    """Bytes per second at which the device reads memory: the best of five sums over 512 MiB."""
    with jax.default_device(device or jax.devices()[0]):
        # Rows, so that a CPU's cores share the sum.
        values = jax.block_until_ready(jnp.ones((_READ_ROWS, _READ_BYTES // 4 // _READ_ROWS)))
        total = jax.jit(lambda array: array.sum(axis=1)).lower(values).compile()
        jax.block_until_ready(total(values))
        times = []
        for _ in range(_PIECES):
            began = time.perf_counter()
            jax.block_until_ready(total(values))
            times.append(time.perf_counter() - began)
    return _READ_BYTES / min(times)


def measure(
    dtype: Dtype,
    iterations: int = ITERATIONS,
    device: jax.Device | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Beat:
    """Warm up, time `iterations` products in five pieces, check the result.

    Stopped when `should_stop` says so between two pieces; Wrong when the arithmetic is.
    """
    device = device or jax.devices()[0]
    x, weights = _make_inputs(dtype, device)
    rounds = max(1, round(iterations / len(weights) / _PIECES))
    done = rounds * len(weights)
    last = jax.block_until_ready(_run(x, weights, 1))
    times = []
    for _ in range(_PIECES):
        if should_stop():
            raise Stopped
        start = time.perf_counter()
        last = jax.block_until_ready(_run(last, weights, rounds))
        times.append((time.perf_counter() - start) / done)
    _check(x, weights[0], last)
    return judge(dtype, times, done * _PIECES, find_peak(device.platform, device.device_kind))


def judge(dtype: Dtype, times_s: list[float], iterations: int, peak: Peak) -> Beat:
    """The figures of some pieces' times per product, beside the peak, or refused."""
    elapsed_s = statistics.median(times_s)
    most = peak.flops(dtype)
    return Beat(
        device=peak.device,
        dtype=dtype,
        iterations=iterations,
        ms=elapsed_s * 1e3,
        spread_ms=(max(times_s) - min(times_s)) * 1e3,
        tflops=FLOPS / elapsed_s / 1e12,
        gb_per_s=bytes_moved(dtype) / elapsed_s / 1e9,
        peak_tflops=None if most is None else most / 1e12,
        peak_gb_per_s=None if peak.bytes_per_s is None else peak.bytes_per_s / 1e9,
        peak_published=peak.published,
        refused=find_mistake(dtype, min(times_s), peak),
    )


def render(beat: Beat) -> str:
    """One measurement for people."""
    if beat.refused:
        return f"{beat.dtype:5} REFUSED ({beat.ms:.4f} ms): {beat.refused}"
    kind = "peak" if beat.peak_published else "upper bound"

    def beside(found: float, most: float | None, unit: str) -> str:
        if most is None:
            return f"{found:.3g} {unit} ({kind} unknown)"
        return f"{found:.3g} {unit} ({found / most:.1%} of the {kind} {most:.4g})"

    return (
        f"{beat.dtype:5} {beat.ms:.4f} ms ± {beat.spread_ms / 2:.4f}: "
        f"{beside(beat.tflops, beat.peak_tflops, 'TFLOP/s')}, "
        f"{beside(beat.gb_per_s, beat.peak_gb_per_s, 'GB/s')}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 when a figure is refused or the arithmetic is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.heartbeat",
        description=f"Times {ROWS} x {INNER} times {INNER} x {OUTER} on one device.",
    )
    parser.add_argument("--dtype", choices=["f32", "bf16"], action="append", help="default: both")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="default %(default)s")
    parser.add_argument("--device", type=int, default=0, help="index in jax.devices(), default 0")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    chosen = parser.parse_args(arguments)
    devices = jax.local_devices()
    if not 0 <= chosen.device < len(devices) or chosen.iterations < 1:
        parser.error(f"--device goes from 0 to {len(devices) - 1}, --iterations from 1")
    device, status = devices[chosen.device], 0
    if not chosen.json:
        print(f"{device.device_kind} ({device.platform}:{device.id}), jax {jax.__version__}")
    for dtype in chosen.dtype or ["f32", "bf16"]:
        try:
            beat = measure(dtype, chosen.iterations, device)
        except Wrong as error:
            print(f"{dtype}: {error}", file=sys.stderr)
            status = 1
            continue
        print(json.dumps(dataclasses.asdict(beat)) if chosen.json else render(beat), flush=True)
        status = 1 if beat.refused else status
    return status


if __name__ == "__main__":
    sys.exit(main())
