"""The router's thresholds and weights, as the settings give them.

Defaults and what each may be are `control/settings_router.py`'s, the rules that they bound are
`core/router.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoreWeights:
    """Most points that each sign of a hard request gives; see `core.router_request`."""

    reasoning: float
    code: float
    maths: float
    tasks: float
    turns: float
    structure: float


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How a request is measured.

    Attributes:
        bytes_per_token: UTF-8 bytes of one token, for the estimate.
        assumed_tokens: of an answer whose request names no limit.
        reasoning_words: words and phrases of hard questions, in any language.
    """

    bytes_per_token: float
    assumed_tokens: int
    reasoning_words: tuple[str, ...]
    weights: ScoreWeights


@dataclass(frozen=True, slots=True)
class RouterLimits:
    """What the rules ask of requests and tiers.

    Attributes:
        edge_first: whether the tier of this machine comes first at all.
        edge_prompt_tokens, edge_requested_tokens: most that it is given.
        simple_score, simple_tokens: below both, a request is simple.
        complex_score, complex_tokens: from either on, it is complex. Else it is moderate.
        simple_parameters, moderate_parameters, complex_parameters: least weights of a model that is
            strong enough for such a request.
        waiting_per_slice: a tier with more waiting requests per ready slice is busy.
        utilisation_ratio, kv_cache_ratio, error_ratio: so is one above any of these.
        slo_ratio: so is one whose 95th percentile is above this share of its objective.
        stale_after_s: load figures older than this are unknown.
    """

    request: RequestLimits
    edge_first: bool
    edge_prompt_tokens: int
    edge_requested_tokens: int
    simple_score: float
    simple_tokens: int
    complex_score: float
    complex_tokens: int
    simple_parameters: float
    moderate_parameters: float
    complex_parameters: float
    waiting_per_slice: float
    utilisation_ratio: float
    kv_cache_ratio: float
    error_ratio: float
    slo_ratio: float
    stale_after_s: float
