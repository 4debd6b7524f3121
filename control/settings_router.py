"""The table [router] of `heartwood.toml`: the router's thresholds, weights and key."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, model_validator

from control.settings_sections import Seconds, Section
from control.tier_settings import refuse
from core.router_limits import RequestLimits, RouterLimits, ScoreWeights

Points = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(ge=1)]
Ratio = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Parameters = Annotated[float, Field(ge=0)]

_REASONING_WORDS = (
    "prove", "derive", "step by step", "explain why", "compare", "analyse", "analyze", "trade-off",
    "design", "optimise", "optimize", "refactor", "debug", "root cause",
)  # fmt: skip


class RouterWeights(Section):
    """[router.weights]: most points of each sign of a hard request; the sum is cut at 1."""

    reasoning: Points = 0.3
    code: Points = 0.25
    maths: Points = 0.25
    tasks: Points = 0.15
    turns: Points = 0.1
    structure: Points = 0.1


class RouterSettings(Section):
    """[router]: what its rules ask of requests and of tiers, and who may use its endpoint."""

    api_key: SecretStr = Field(
        default=SecretStr(""),
        description="bearer key of the router's endpoint; empty: the local tier's server's, and "
        "where there is none either, this machine alone may use it",
    )
    edge_first: bool = True
    edge_prompt_tokens: Tokens = 512
    edge_requested_tokens: Tokens = 256
    simple_score: Points = 0.2
    simple_tokens: Tokens = 2000
    complex_score: Points = 0.5
    complex_tokens: Tokens = 16_000
    simple_parameters: Parameters = 1e9
    moderate_parameters: Parameters = 30e9
    complex_parameters: Parameters = 100e9
    waiting_per_slice: float = Field(default=4, ge=0)
    utilisation_ratio: Share = 0.95
    kv_cache_ratio: Share = 0.95
    error_ratio: Share = 0.05
    slo_ratio: Ratio = Field(
        default=1, description="share of its objective that a tier's 95th percentile may take"
    )
    stale_after_s: Seconds = Field(default=120, description="older load figures are unknown")
    bytes_per_token: Ratio = 4
    assumed_tokens: Tokens = Field(
        default=256, description="of an answer whose request names no limit"
    )
    silence_s: Seconds = Field(
        default=300, description="how long a tier may send nothing before it counts as broken"
    )
    kept_decisions: int = Field(default=500, ge=1, le=100_000)
    reasoning_words: tuple[str, ...] = _REASONING_WORDS
    weights: RouterWeights = RouterWeights()

    @model_validator(mode="after")
    def _ordered(self) -> RouterSettings:
        for low, high in (
            ("simple_score", "complex_score"),
            ("simple_tokens", "complex_tokens"),
            ("simple_parameters", "moderate_parameters"),
            ("moderate_parameters", "complex_parameters"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise refuse(f"{low} is at most {high}", low, getattr(self, low))
        return self

    @property
    def limits(self) -> RouterLimits:
        """As the router knows them."""
        own = self.model_dump(exclude={
            "api_key", "bytes_per_token", "assumed_tokens", "silence_s", "kept_decisions",
            "reasoning_words", "weights",
        })  # fmt: skip
        request = RequestLimits(
            bytes_per_token=self.bytes_per_token,
            assumed_tokens=self.assumed_tokens,
            reasoning_words=self.reasoning_words,
            weights=ScoreWeights(**self.weights.model_dump()),
        )
        return RouterLimits(request=request, **own)
