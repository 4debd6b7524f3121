"""Attention over a cache in pages: JAX's kernel for TPUs, and the same in plain JAX elsewhere.

The kernel takes rows of any length at once and reads of each only the pages that it has
(`jax.experimental.pallas.ops.tpu.ragged_paged_attention`). It is chosen where a program is lowered
for TPUs. What does not live here: how the pages lie (`kv_cache`), attention in spans (`attention`).
"""

from __future__ import annotations

import contextlib
import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from serving.attention import Place, attention_scale, exact_products, softcap
from serving.config import Config
from serving.kv_cache import PagedCache, write

PAGE = 128  # positions; each length of the cache is a multiple of it
BLOCK_PAGES = 4  # that the kernel reads at once, and ...
BLOCK_BYTES = 4 * 2**20  # ... their size at most, twice in the 16 MiB of VMEM that a kernel gets
BLOCK_QUERIES = 32  # tokens that the kernel computes at once


def attend(
    config: Config,
    query: jax.Array,  # R T K G E
    key: jax.Array,  # R T K E
    value: jax.Array,  # R T K E
    cache: PagedCache,  # of one layer
    place: Place,
) -> tuple[jax.Array, PagedCache]:
    """What each query sees [R T K G E], and the cache with these tokens in it.

    XLA cannot cut the kernel by itself, so each device computes its own heads, or all of them where
    they cannot be cut.
    """
    (pages,) = cache.pages
    attend_here = functools.partial(_attend_here, config)
    if cache.sharding is not None:
        heads = PartitionSpec(None, None, cache.sharding.spec[2])
        whole = PartitionSpec()
        attend_here = jax.shard_map(
            attend_here,
            mesh=cache.sharding.mesh,
            in_specs=(heads, heads, heads, cache.sharding.spec, whole, whole, whole),
            out_specs=(heads, cache.sharding.spec),
            check_vma=False,
        )
    out, pages = attend_here(query, key, value, pages, place.slots, place.start, place.local)
    return out, PagedCache((pages,), cache.sharding)


def _pad(x: jax.Array, heads: int, width: int) -> jax.Array:
    """`x` [R T K ... E] with zeros for further heads and a wider head."""
    sizes = [(0, 0)] * x.ndim
    sizes[2], sizes[-1] = (0, heads - x.shape[2]), (0, width - x.shape[-1])
    return jnp.pad(x, sizes)


def _attend_here(
    config: Config,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    pages: jax.Array,  # S L 2K' E'
    slots: jax.Array,
    start: jax.Array,
    local: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """The heads of one device: what they see, and its pages."""
    rows, tokens, k, g, e = query.shape
    spots, length, pairs, width = pages.shape
    heads = pairs // 2
    new = jnp.stack([_pad(key, heads, width), _pad(value, heads, width)], axis=3)  # R T K' 2 E'
    new = new.reshape(rows, tokens, pairs, width).astype(pages.dtype)
    pages = write(pages, new, PagedCache.AXES, slots, start)
    query = _pad(query, heads, width).reshape(rows * tokens, heads * g, width)
    each = length // PAGE
    arguments = (
        query.astype(pages.dtype),
        pages.reshape(spots * each, PAGE, pairs, width),
        start + tokens,
        slots[:, None] * each + jnp.arange(each, dtype=jnp.int32),  # a slot's pages are its own
        jnp.arange(rows + 1, dtype=jnp.int32) * tokens,
        jnp.array([rows], jnp.int32),
    )

    def attend_from(window: int | None, *arguments: jax.Array) -> jax.Array:
        options = {
            "sm_scale": attention_scale(config),
            "sliding_window": window,
            "soft_cap": config.attention_softcap,
        }
        return jax.lax.platform_dependent(
            *arguments,
            tpu=functools.partial(_attend_on_tpu, **options),
            default=functools.partial(attend_plainly, **options),
        )

    whole = functools.partial(attend_from, None)
    if local is None:
        out = whole(*arguments)
    else:
        out = jax.lax.cond(local, functools.partial(attend_from, config.window), whole, *arguments)
    out = out.reshape(rows, tokens, heads, g, width)[:, :, :k, :, :e]
    return out.astype(jnp.float32), pages


def _attend_on_tpu(query: jax.Array, pages: jax.Array, *arguments: jax.Array, **options):
    """JAX's kernel, with blocks that fit into VMEM; f32 is multiplied as f32."""
    # Pallas takes long to import and is needed here alone.
    from jax.experimental.pallas.ops.tpu.ragged_paged_attention import ragged_paged_attention

    page_bytes = 2 * pages[0].size * pages.dtype.itemsize
    exact = exact_products(query.dtype) is not None
    with jax.default_matmul_precision("highest") if exact else contextlib.nullcontext():
        return ragged_paged_attention(
            query,
            pages,
            *arguments,
            num_kv_pages_per_block=min(
                arguments[1].shape[1], BLOCK_PAGES, max(1, BLOCK_BYTES // page_bytes)
            ),
            num_queries_per_block=min(query.shape[0], BLOCK_QUERIES),
            **options,
        )


def attend_plainly(
    query: jax.Array,  # N K*G E
    pages: jax.Array,  # P PAGE 2K E
    seen: jax.Array,  # R: positions of each row, its new tokens included
    table: jax.Array,  # R L/PAGE: its pages
    starts: jax.Array,  # R+1: where its tokens begin in N; all rows have equally many
    count: jax.Array,  # 1: rows
    *,
    sm_scale: float,
    sliding_window: int | None,
    soft_cap: float | None,
) -> jax.Array:
    """What the kernel computes, [N K*G E], in plain JAX: every page of each row is read.

    `starts` and `count` say nothing more for rows of one length; the kernel needs them.
    """
    del starts, count
    rows, heads = seen.shape[0], pages.shape[2] // 2
    tokens = query.shape[0] // rows
    exact = exact_products(query.dtype)
    held = pages[table].reshape(rows, -1, heads, 2, pages.shape[3])  # R L K 2 E
    queries = query.reshape(rows, tokens, heads, -1, query.shape[2])  # R T K G E
    scores = jnp.einsum(
        "rtkge,rlke->rkgtl",
        queries,
        held[:, :, :, 0],
        precision=exact,
        preferred_element_type=jnp.float32,
    )
    scores = softcap(scores * sm_scale, soft_cap)
    own = seen[:, None] - tokens + jnp.arange(tokens)  # R T
    behind = own[:, :, None] - jnp.arange(held.shape[1])  # R T L
    sees = behind >= 0
    if sliding_window is not None:
        sees &= behind < sliding_window
    weights = jax.nn.softmax(jnp.where(sees[:, None, None], scores, -1e30), axis=-1)
    out = jnp.einsum(
        "rkgtl,rlke->rtkge",
        weights.astype(held.dtype),
        held[:, :, :, 1],
        precision=exact,
        preferred_element_type=jnp.float32,
    )
    return out.reshape(query.shape).astype(query.dtype)
