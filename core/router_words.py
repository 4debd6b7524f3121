"""The router's rules in words, with the thresholds in force; their order is `core/router.py`'s."""

from __future__ import annotations

from collections.abc import Mapping

from core.router import Rule
from core.router_limits import RouterLimits

Words = Mapping[Rule, str]


def rules_in_words(limits: RouterLimits) -> Words:
    """Each rule, in the order in which they are tried; the first that finds a tier decides."""
    weak = f"{limits.simple_parameters / 1e9:g}B"
    middle = f"{limits.moderate_parameters / 1e9:g}B"
    strong = f"{limits.complex_parameters / 1e9:g}B"
    edge = (
        f"A simple request with up to {limits.edge_prompt_tokens:,} prompt tokens that asks for up"
        f" to {limits.edge_requested_tokens:,} goes to this machine, unless that is busy."
        if limits.edge_first
        else "Switched off: this machine does not come first."
    )
    return {
        Rule.NAMED: "The request's model is a tier's name: that tier, busy or not, if it serves.",
        Rule.EDGE: edge,
        Rule.SIMPLE: f"Score below {limits.simple_score:g}, and below {limits.simple_tokens:,}"
        f" tokens in all: the cheapest free tier whose model has {weak} parameters or more.",
        Rule.MODERATE: f"In between: the cheapest free tier whose model has {middle} parameters or"
        " more.",
        Rule.COMPLEX: f"Score from {limits.complex_score:g}, or {limits.complex_tokens:,} tokens in"
        f" all or more: the cheapest free tier whose model has {strong} parameters or more.",
        Rule.OVERFLOW: "No free tier is strong enough: the strongest free one that is weaker.",
        Rule.LEAST_BUSY: "Every tier is busy: the one with the fewest waiting requests per slice.",
        Rule.LAST_RESORT: "No other tier serves: this machine, if the request fits its context.",
        Rule.NONE: "Nobody can take it: the request is refused, and told why.",
    }  # fmt: skip


def busy_in_words(limits: RouterLimits) -> str:
    """What makes a tier busy."""
    share = "" if limits.slo_ratio == 1 else f"{limits.slo_ratio:.0%} of "
    return (
        "A tier is busy when the router's own requests take all slots that its server has, more"
        f" than {limits.waiting_per_slice:g} requests wait per ready slice, its TensorCores are"
        f" above {limits.utilisation_ratio:.0%}, its KV cache above"
        f" {limits.kv_cache_ratio:.0%}, more than {limits.error_ratio:.0%} of its requests fail, or"
        f" a 95th percentile is above {share}its objective. What is unknown"
        " makes no tier busy, and is told beside the decision. A tier that is not for production"
        " takes what names it, and the rest only when no other tier serves."
    )
