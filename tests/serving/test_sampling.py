"""Choosing tokens: exact filters, right frequencies, and a seed that nothing else touches."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from serving.adjustment import Adjustment
from serving.request import SamplingParams
from serving.sampling import BEST, adjust, pick_by_share, rank, restrict, sample, stack_params

ROWS, VOCABULARY = 4, 300
ONES, ZEROS = np.ones(ROWS, np.float32), np.zeros(ROWS, np.float32)


@pytest.fixture
def logits() -> np.ndarray:
    """Random logits [rows vocabulary]."""
    return np.random.default_rng(0).normal(0, 3, (ROWS, VOCABULARY)).astype(np.float32)


def draw(logits: np.ndarray, params: list[SamplingParams], position: int = 0) -> np.ndarray:
    """Sample one token per row."""
    places = np.full(len(params), position, np.int32)
    return np.asarray(sample(jnp.asarray(logits), stack_params(params), places))


@pytest.mark.parametrize("top_k", [1, 2, 17, 299, 300, 10**6])
def test_top_k_keeps_the_largest(logits: np.ndarray, top_k: int) -> None:
    """Exactly the k largest logits stay."""
    limit = np.full(ROWS, top_k, np.int32)
    kept = np.isfinite(restrict(jnp.asarray(logits), limit, ONES, ZEROS))
    largest = np.argsort(-logits, axis=-1)[:, : min(top_k, VOCABULARY)]
    for row in range(ROWS):
        assert set(np.flatnonzero(kept[row])) == set(largest[row])


@pytest.mark.parametrize("top_p", [1e-6, 0.1, 0.5, 0.9, 0.99])
def test_top_p_keeps_the_nucleus(logits: np.ndarray, top_p: float) -> None:
    """The fewest most likely tokens that reach the probability stay (Holtzman et al. 2020)."""
    kept = np.isfinite(
        restrict(jnp.asarray(logits), ZEROS.astype(np.int32), ONES * np.float32(top_p), ZEROS)
    )
    exact = np.exp(logits.astype(np.float64))
    exact /= exact.sum(-1, keepdims=True)
    for row in range(ROWS):
        order = np.argsort(-exact[row])
        count = int(np.searchsorted(np.cumsum(exact[row][order]), top_p)) + 1
        assert set(np.flatnonzero(kept[row])) == set(order[:count])


@pytest.mark.parametrize("min_p", [1e-4, 0.05, 0.5, 1.0])
def test_min_p_keeps_what_is_likely_enough(logits: np.ndarray, min_p: float) -> None:
    """Tokens with at least that share of the most likely one's probability stay."""
    everything = (ZEROS.astype(np.int32), ONES, ONES * np.float32(min_p))
    kept = np.isfinite(restrict(jnp.asarray(logits), *everything))
    exact = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    assert (kept == (exact >= min_p)).all()


def test_penalties_follow_their_formulas(logits: np.ndarray) -> None:
    """Repetition divides or multiplies what prompt and answer have; the others count the answer."""
    params = SamplingParams(
        repetition_penalty=1.3,
        presence_penalty=0.5,
        frequency_penalty=0.25,
        logit_bias=((7, -4.0), (9, 2.0)),
    )
    adjustment = Adjustment(params, VOCABULARY, prompt=(1, 2, 2, 7))
    for token in (5, 5, 2):
        adjustment.push(token)
    expected = logits[0].copy()
    for token in (1, 2, 5, 7):
        expected[token] *= 1.3 if expected[token] < 0 else 1 / 1.3
    expected[5] -= 0.5 + 2 * 0.25
    expected[2] -= 0.5 + 0.25
    expected[7] -= 4
    expected[9] += 2
    found = adjust(jnp.asarray(logits[:1]), adjustment.repeat[None], adjustment.bias[None])
    np.testing.assert_allclose(np.asarray(found)[0], expected, rtol=1e-6)


def test_ranks_are_log_probabilities(logits: np.ndarray) -> None:
    """The chosen token's and the best ones' logarithms of the softmax, best first."""
    own, values, ids = (np.asarray(a) for a in rank(jnp.asarray(logits), np.arange(ROWS)))
    exact = logits.astype(np.float64)
    exact -= np.log(np.exp(exact).sum(-1, keepdims=True))
    for row in range(ROWS):
        order = np.argsort(-exact[row])[:BEST]
        assert ids[row].tolist() == order.tolist()
        np.testing.assert_allclose(values[row], exact[row][order], atol=1e-5)
        np.testing.assert_allclose(own[row], exact[row][row], atol=1e-5)


def test_cold_rows_are_greedy_beside_warm_ones(logits: np.ndarray) -> None:
    """Temperature 0 takes the largest logit, whatever the other rows do."""
    params = [SamplingParams(0.0), SamplingParams(1.0), SamplingParams(0.0), SamplingParams(2.0)]
    found = draw(logits, params)
    assert found[0] == logits[0].argmax()
    assert found[2] == logits[2].argmax()


def test_seed_ignores_row_and_company(logits: np.ndarray) -> None:
    """The same logits, seed and position give the same token in any row of any batch."""
    same = np.repeat(logits[:1], ROWS, axis=0)
    wanted = SamplingParams(1.0, seed=2**40 + 3)
    alone = draw(same[:1], [wanted], 9)[0]
    for row in range(ROWS):
        params = [SamplingParams(1.3, 5, 0.5, seed) for seed in range(ROWS)]
        params[row] = wanted
        assert draw(same, params, 9)[row] == alone


def test_position_and_both_halves_of_the_seed_matter(logits: np.ndarray) -> None:
    """Another position, and a seed that differs above 32 bits only, draw differently."""
    flat = np.zeros((1, VOCABULARY), np.float32)
    first = [draw(flat, [SamplingParams(seed=1)], place)[0] for place in range(8)]
    other = [draw(flat, [SamplingParams(seed=1 + 2**32)], place)[0] for place in range(8)]
    assert len(set(first)) > 4
    assert first != other


def test_frequencies_follow_the_softmax() -> None:
    """Over many draws, tokens come as often as temperature-scaled softmax says."""
    logits = np.array([[0.0, 1.0, 2.0, -1.0]], np.float32)
    count = 4000
    places = np.arange(count, dtype=np.int32)
    rows = stack_params([SamplingParams(0.7, seed=11)] * count)
    found = np.asarray(sample(jnp.asarray(np.repeat(logits, count, axis=0)), rows, places))
    expected = np.exp(logits[0] / 0.7) / np.exp(logits[0] / 0.7).sum()
    assert np.abs(np.bincount(found, minlength=4) / count - expected).max() < 0.03


@pytest.mark.parametrize("vocabulary", [3, 256, 1000, 49_152])
def test_a_share_falls_on_the_token_whose_part_it_lies_in(vocabulary: int) -> None:
    """As the running sum of probabilities says in float64, and never on one that is ruled out."""
    generator = np.random.default_rng(vocabulary)
    rows = 64
    logits = generator.normal(0, 4, (rows, vocabulary)).astype(np.float32)
    logits[generator.random(logits.shape) < 0.5] = -np.inf
    logits[:, 1] = 0.0
    share = generator.random(rows).astype(np.float32)
    share[:3] = 0.0, np.nextafter(np.float32(1), np.float32(0)), 0.5
    found = np.asarray(pick_by_share(jnp.asarray(share), jnp.asarray(logits)))
    exact = np.exp(logits.astype(np.float64))
    ends = np.cumsum(exact, axis=-1) / exact.sum(-1, keepdims=True)
    own = np.arange(rows), found
    assert np.isfinite(logits[own]).all()
    # f32 sums may be off by some of their last places.
    assert (ends[own] >= share - 1e-5).all()
    assert (ends[own] - exact[own] / exact.sum(-1) <= share + 1e-5).all()
