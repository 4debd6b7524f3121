"""The model's arithmetic against an independent float64 reference, and W8A8's loss of quality."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serving import assembly, kv_cache, model
from serving.gguf_checkpoint import GgufCheckpoint
from serving.model import Weights
from serving.tokenizer import Tokenizer
from tests.serving.numpy_llama import NumpyLlama

# From "The Voyage of the Beagle" by Charles Darwin, 1839, in the public domain.
TEXT = (
    "The day has passed delightfully. Delight itself, however, is a weak term to express the "
    "feelings of a naturalist who, for the first time, has wandered by himself in a Brazilian "
    "forest. The elegance of the grasses, the novelty of the parasitical plants, the beauty of "
    "the flowers, the glossy green of the foliage, but above all the general luxuriance of the "
    "vegetation, filled me with admiration. A most paradoxical mixture of sound and silence "
    "pervades the shady parts of the wood."
)
SLOTS, LENGTH = 3, 256


@pytest.fixture(scope="module")
def tokens(tokenizer: Tokenizer) -> list[int]:
    """The tokens of TEXT."""
    return tokenizer.encode(TEXT)


@pytest.fixture(scope="module")
def expected(checkpoint: GgufCheckpoint, tokens: list[int]) -> np.ndarray:
    """The reference's logits after every token of TEXT."""
    # The opened file alone is shared: opening it takes seconds.
    return NumpyLlama(checkpoint._reader).logits(tokens)


@pytest.fixture(scope="module")
def weights(checkpoint: GgufCheckpoint) -> Weights:
    """The weights in f32."""
    return checkpoint.read_weights("f32", LENGTH, lambda *_: None)


def make_cache(checkpoint: GgufCheckpoint) -> kv_cache.KVCache:
    """An empty cache of all layers."""
    config = checkpoint.config
    return kv_cache.make_cache(
        kv_cache.cache_specs(config, config.layers, SLOTS, LENGTH, jnp.dtype(jnp.float32))
    )


def all_logits(checkpoint: GgufCheckpoint, weights: Weights, tokens: list[int]) -> np.ndarray:
    """Logits after every token of one prefill, in slot 1."""
    config = checkpoint.config

    @jax.jit
    def run(weights: Weights, cache: kv_cache.KVCache, tokens: jax.Array) -> jax.Array:
        x = model.embed(weights.embedding, tokens)
        one = jnp.ones(1, jnp.int32)
        x, _ = model.run_layers(
            config, weights.layers, weights.rope, cache, x, one, jnp.zeros(1, jnp.int32)
        )
        x = model.rms_norm(x[0], weights.final_norm, config.norm_epsilon)
        return model.project(x, weights.embedding, contract=1)

    return np.asarray(run(weights, make_cache(checkpoint), jnp.asarray([tokens])))


def perplexity(logits: np.ndarray, tokens: list[int]) -> float:
    """exp of the mean negative log-likelihood of each token after those before it."""
    logits = logits[:-1].astype(np.float64)
    top = logits.max(-1, keepdims=True)
    norm = np.log(np.exp(logits - top).sum(-1)) + top[:, 0]
    chosen = logits[np.arange(len(logits)), tokens[1:]]
    return float(np.exp((norm - chosen).mean()))


def test_prefill_agrees_with_float64(
    checkpoint: GgufCheckpoint, weights: Weights, tokens: list[int], expected: np.ndarray
) -> None:
    """Every logit at every position is within 1e-3 of the reference in f32."""
    found = all_logits(checkpoint, weights, tokens)
    assert np.abs(found - expected).max() < 1e-3


def test_chunks_and_steps_agree_with_float64(
    checkpoint: GgufCheckpoint, weights: Weights, tokens: list[int], expected: np.ndarray
) -> None:
    """A prompt in padded chunks, then single steps beside another row, give the same logits."""
    config = checkpoint.config
    forward = jax.jit(functools.partial(model.forward, config), donate_argnums=1)
    cache = make_cache(checkpoint)

    def chunk(cache: kv_cache.KVCache, slot: int, start: int, count: int) -> tuple:
        padded = np.zeros((1, 32), np.int32)
        padded[0, :count] = tokens[start : start + count]
        place = [np.array([value], np.int32) for value in (slot, start, count - 1)]
        return forward(weights, cache, padded, *place)

    logits, cache = chunk(cache, 2, 0, 32)
    assert np.abs(np.asarray(logits)[0] - expected[31]).max() < 1e-3
    logits, cache = chunk(cache, 2, 32, 20)
    assert np.abs(np.asarray(logits)[0] - expected[51]).max() < 1e-3
    logits, cache = chunk(cache, 0, 0, 10)
    for step in range(3):
        at = np.array([52 + step, 10 + step], np.int32)
        newest = np.array(tokens, np.int32)[at][:, None]
        slots = np.array([2, 0], np.int32)
        logits, cache = forward(weights, cache, newest, slots, at, np.zeros(2, np.int32))
        assert np.abs(np.asarray(logits) - expected[at]).max() < 1e-3


def test_w8a8_keeps_the_quality(
    checkpoint: GgufCheckpoint, tokens: list[int], expected: np.ndarray
) -> None:
    """The default precision on CPU stays within 1.5% of the reference's perplexity."""
    small = checkpoint.read_weights("w8a8", LENGTH, lambda *_: None)
    found = perplexity(all_logits(checkpoint, small, tokens), tokens)
    assert found == pytest.approx(perplexity(expected, tokens), rel=0.015)


@pytest.mark.parametrize("precision", ["bf16", "w8a8"])
def test_one_row_is_never_multiplied_alone(precision: model.Precision) -> None:
    """A single row in bf16 or int8 is doubled, since XLA:CPU is 15 times slower on one."""
    linear = assembly.make_linear(np.eye(8, dtype=np.float32), precision)
    text = jax.jit(model.project).lower(jnp.ones((1, 8)), linear).as_text()
    (dot,) = [line for line in text.splitlines() if "dot_general" in line]
    assert "tensor<2x8x" in dot
