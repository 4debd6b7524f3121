"""The kernels in C against what they stand for."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serving import attention
from serving.assembly import make_linear, quantise
from serving.config import Config
from serving.kernels import library
from serving.kv_cache import BitsCache, KVCache, cache_specs, make_cache
from serving.model import embed, project

pytestmark = pytest.mark.skipif(
    not library.ready(), reason="the kernels are not built, or this CPU cannot run them"
)


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (48, 80), (576, 960), (1536, 576)])
def test_product(inputs: int, outputs: int) -> None:
    """A product is the whole numbers' product, rounded once by each scale, for any row count."""
    random = np.random.default_rng(inputs)
    matrix = random.standard_normal((inputs, outputs)).astype(np.float32)
    linear = make_linear(matrix, "w8a8", packed=True)
    assert linear.values.dtype == jnp.uint8
    values, scale = quantise(matrix.T)
    for rows in (1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 40):
        x = random.standard_normal((rows, inputs)).astype(np.float32)
        x[0] = 0  # a row of zeros has no scale of its own
        unit = np.maximum(np.abs(x).max(axis=1), np.float32(1e-12)) / np.float32(127)
        whole = np.rint(x / unit[:, None]).astype(np.int64) @ values.T.astype(np.int64)
        expected = whole.astype(np.float32) * unit[:, None] * scale
        np.testing.assert_allclose(project(jnp.asarray(x), linear), expected, rtol=3e-7)


def test_rows_stand_alone() -> None:
    """A row's product is the same to the bit whichever rows are beside it, its bias included."""
    random = np.random.default_rng(1)
    matrix = random.standard_normal((64, 2, 160)).astype(np.float32)
    bias = random.standard_normal((2, 160)).astype(np.float32)
    linear = make_linear(matrix, "w8a8", bias=bias, packed=True)
    x = jnp.asarray(random.standard_normal((21, 64)), jnp.float32)
    together = project(x, linear)
    for row in (0, 7, 20):
        assert (project(x[row : row + 1], linear) == together[row : row + 1]).all()


def test_what_is_no_number_stays_in_its_row() -> None:
    """A row with a NaN gives NaN alone, as in JAX; the rows beside it do not know of it."""
    linear = make_linear(np.eye(32, dtype=np.float32), "w8a8", packed=True)
    x = np.ones((3, 32), np.float32)
    x[1, 20] = np.nan
    found = np.asarray(project(jnp.asarray(x), linear))
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()


def test_rows_of_the_embedding() -> None:
    """A packed table gives the rows that the plain one gives; others stay plain."""
    table = np.random.default_rng(2).standard_normal((96, 32)).astype(np.float32)
    plain, packed = (make_linear(table, "w8a8", axis=1, packed=flag) for flag in (False, True))
    tokens = jnp.asarray([[0, 95, 17], [16, 15, 31]])
    assert (embed(plain, tokens) == embed(packed, tokens)).all()
    odd = make_linear(table[:, :24], "w8a8", axis=1, packed=True)
    assert odd.values.dtype == jnp.int8


CASES = {
    "decode": {"rows": 4, "tokens": 1},
    "prefill": {"rows": 1, "tokens": 37},
    "one head for each query": {"group": 1, "tokens": 5},
    "window": {"window": 7, "tokens": 9},
    "soft cap": {"cap": 3.0, "group": 7, "width": 128},
    "wide": {"width": 256, "group": 2, "window": 9},
    "odd width": {"width": 80, "tokens": 3},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_attention(case: dict) -> None:
    """It is the loop over spans of the same numbers in f32; the caches are equal to the bit."""
    wanted = {"rows": 2, "tokens": 1, "group": 3, "width": 64, "cap": None, "window": None} | case
    rows, tokens, group, width = (wanted[n] for n in ("rows", "tokens", "group", "width"))
    heads, slots, length = 2, 6, 128
    config = Config(
        layers=1, width=64, ffn_width=64, query_heads=heads * group, kv_heads=heads,
        head_width=width, vocabulary=64, context=length, rope_base=1e4, norm_epsilon=1e-5,
        attention_softcap=wanted["cap"], window=wanted["window"],
    )  # fmt: skip
    random = np.random.default_rng(3)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(random.standard_normal(shape), jnp.float32)

    query = draw(rows, tokens, heads, group, width)
    new = draw(rows, tokens, heads, width), draw(rows, tokens, heads, width)
    start = jnp.asarray(random.integers(0, length - tokens, rows), jnp.int32)
    newest = jnp.tile(start[:, None] + jnp.arange(tokens), (1, group))
    oldest = jnp.maximum(newest - (wanted["window"] or length) + 1, 0)
    slot = jnp.asarray(random.permutation(slots)[:rows], jnp.int32)
    place = attention.Place(
        slot, start, None, None, oldest, newest, jnp.min(oldest), jnp.max(start) + tokens, None
    )
    specs = cache_specs(config, 1, slots, length, jnp.dtype(jnp.uint16), BitsCache)
    held = [_round(draw(slots, heads, length, width)) for _ in "kv"]
    bits = BitsCache(*((_bits(leaf),) for leaf in held))
    assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, bits, make_cache(specs)))
    plain = KVCache((held[0],), (held[1],))
    rounded = tuple(_round(x) for x in new)
    expected, kept = attention.attend(config, query, *rounded, plain, place)
    found, cache = jax.jit(attention.attend, static_argnums=0)(config, query, *new, bits, place)
    np.testing.assert_allclose(found, expected, atol=5e-6)
    for ours, theirs in zip(jax.tree.leaves(cache), jax.tree.leaves(kept), strict=True):
        assert (ours == _bits(theirs)).all()


def _round(x: jax.Array) -> jax.Array:
    return x.astype(jnp.bfloat16).astype(jnp.float32)


def _bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x.astype(jnp.bfloat16), jnp.uint16)


def test_another_version_is_not_loaded(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that other sources were compiled to has another name."""
    built = library.library_path()
    for source in (*library.HERE.glob("*.[ch]"), library.HERE / "build.py"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(library, "HERE", tmp_path)
    assert library.library_path().name == built.name
    (tmp_path / "linear.h").write_text("// changed\n")
    assert library.library_path().name != built.name


def test_building_again_does_nothing() -> None:
    """What is built is not compiled again: no compiler is asked."""
    path = library.library_path()
    before = path.stat().st_mtime_ns
    done = subprocess.run(
        [sys.executable, "-m", "serving.kernels.build"], check=True, capture_output=True, text=True
    )
    assert path.name in done.stderr
    assert path.stat().st_mtime_ns == before
