"""What a fault rule may hold, and a clear refusal of what it may not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Final

import grpc

from emulator.faults.asked import Asked
from emulator.faults.presets import PRESETS

CODES: Final = tuple(c.name for c in grpc.StatusCode if c is not grpc.StatusCode.OK)
CUTS: Final = ("truncate", "reset")
OPERATIONS: Final = ("stuck", "fail")
STATES: Final = ("preempt", "unhealthy", "bad-model")
MOST_LATENCY_S: Final = 3600.0


class RuleError(Exception):
    """A rule that cannot be taken; the message names the key and what it may be."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key


@dataclass(slots=True)
class Rule:
    """One rule.

    Attributes:
        service, method, resource: globs for the calls that it is for, several separated by "|";
            "*" matches slashes too.
        code, message, reason, metadata: the refusal; of an operation that fails, its error.
        latency_s, jitter_s: wait before the answer, in seconds; the jitter follows from the seed.
        cut: "truncate" breaks off the answer's body, "reset" the connection before the call.
        operation: "stuck" or "fail" for the operations that matching calls begin.
        state: "preempt" or "unhealthy" for slices of `tier`, `pool` or `node`; "bad-model" for the
            newest model on the Vertex endpoint of `tier`, whose id is then `model`.
        times: how many calls it is for; 0: no limit.
        probability: share of the calls that it hits, decided by the seed.
        begin_at, end_at: Unix seconds between which it holds.
        seen, hits: matching calls, and those that it hit.
    """

    id: str
    service: str = "*"
    method: str = "*"
    resource: str = "*"
    preset: str = ""
    code: str = ""
    message: str = ""
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    latency_s: float = 0.0
    jitter_s: float = 0.0
    cut: str = ""
    operation: str = ""
    state: str = ""
    tier: str = ""
    pool: str = ""
    node: str = ""
    slice: int | None = None
    count: int = 1
    times: int = 0
    probability: float = 1.0
    begin_at: float = 0.0
    end_at: float = math.inf
    seen: int = 0
    hits: int = 0
    targets: tuple[tuple[str, int], ...] = ()
    model: str = ""

    def matches(self, asked: Asked) -> bool:
        """Whether the rule is for such a call."""
        if self.state or not fits(self.service, (asked.service,)):
            return False
        if not fits(self.method, asked.methods):
            return False
        return self.resource == "*" or fits(self.resource, asked.resources)

    def active(self, now: float) -> bool:
        """Whether it holds at that time and has hits left."""
        return self.begin_at <= now < self.end_at and not (self.times and self.hits >= self.times)


def fits(patterns: str, names: Iterable[str]) -> bool:
    """Whether a name fits one of the globs, which "|" separates; case makes no difference."""
    wanted = patterns.casefold().split("|")
    return any(fnmatchcase(name.casefold(), p) for name in names for p in wanted)


_TEXTS: Final = ("service", "method", "resource", "message", "reason", "tier", "pool", "node")
_NUMBERS: Final = ("latency_s", "jitter_s", "probability", "after_s", "for_s")
_COUNTS: Final = ("times", "count", "slice")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "code": CODES, "cut": CUTS, "operation": OPERATIONS, "state": STATES,
    "preset": tuple(PRESETS),
}  # fmt: skip
KEYS: Final = ("id", *_TEXTS, *_NUMBERS, *_COUNTS, *_CHOICES, "metadata")


def parse_rule(
    given: Any, default_id: str, now: float, services: Mapping[str, frozenset[str] | None]
) -> Rule:
    """The rule that somebody wrote, its preset filled in.

    Args:
        default_id: its id, where it has none.
        services: the services that there are; with the names of their methods, where known.

    Raises:
        RuleError: a key or a value that cannot be.
    """
    if not isinstance(given, Mapping):
        raise RuleError("rule", f"must be an object with some of the keys {', '.join(KEYS)}")
    for key in given:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise RuleError(str(key), f"no such key; the keys are {', '.join(KEYS)}.{hint}")
    for key, value in given.items():
        _check_value(key, value)
    whole: dict[str, Any] = {**PRESETS.get(given.get("preset", ""), {}), **given}
    after_s, for_s = whole.pop("after_s", 0.0), whole.pop("for_s", math.inf)
    whole.setdefault("id", default_id)
    whole["service"] = str(whole.get("service", "*")).removesuffix(".googleapis.com")
    rule = Rule(**whole, begin_at=now + after_s, end_at=now + after_s + for_s)
    _check_whole(rule)
    _check_names(rule, services)
    return rule


def _check_value(key: str, value: Any) -> None:
    if key in _CHOICES and value not in _CHOICES[key]:
        raise RuleError(key, f"must be one of {', '.join(_CHOICES[key])}; it is {value!r}")
    if (key in _TEXTS or key == "id") and not (isinstance(value, str) and value):
        raise RuleError(key, f"must be a text that is not empty; it is {value!r}")
    if key in _COUNTS:
        least = 0 if key == "slice" else 1
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 10**9:
            raise RuleError(key, f"must be a whole number from {least} on; it is {value!r}")
    if key in _NUMBERS:
        number = float(value) if type(value) in (int, float) else math.nan
        most = 1.0 if key == "probability" else MOST_LATENCY_S if key != "for_s" else 1e9
        if not 0 <= number <= most:
            raise RuleError(key, f"must be a number from 0 to {most:g}; it is {value!r}")
    if key == "metadata" and not (
        isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())
    ):
        raise RuleError(key, f"must be an object of texts; it is {value!r}")


def _check_whole(rule: Rule) -> None:
    if not (rule.code or rule.latency_s or rule.cut or rule.operation or rule.state):
        raise RuleError(
            "rule", "does nothing; give preset, code, latency_s, cut, operation or state"
        )
    if rule.state:
        if not (rule.tier or rule.pool or rule.node):
            raise RuleError("tier", "a state needs a tier, a pool or a node")
        if rule.state == "bad-model" and (rule.pool or rule.node or rule.slice is not None):
            raise RuleError(
                "tier", "a bad model is that of a tier; pool, node and slice are none's"
            )
        for key in ("code", "cut", "operation"):
            if getattr(rule, key):
                raise RuleError(key, "a rule with a state answers no calls; make a second rule")
    elif rule.tier or rule.pool or rule.node or rule.slice is not None:
        raise RuleError("tier", "tier, pool, node and slice are for rules with a state")
    if rule.operation == "fail" and not rule.code:
        raise RuleError("code", f"an operation that fails needs one of {', '.join(CODES)}")
    if rule.operation and rule.cut:
        raise RuleError("cut", "cut and operation exclude each other; make a second rule")


def _check_names(rule: Rule, services: Mapping[str, frozenset[str] | None]) -> None:
    fitting = [s for s in services if fits(rule.service, (s,))]
    if not fitting:
        known = ", ".join(sorted(services))
        raise RuleError("service", f"fits none of {known}; it is {rule.service!r}")
    if rule.state or rule.method == "*" or any(services[s] is None for s in fitting):
        return
    names = {m for s in fitting for m in services[s] or ()}
    if not fits(rule.method, names):
        near = get_close_matches(rule.method, names, 5, 0.5) or sorted(names)[:8]
        raise RuleError(
            "method", f"fits no method of {', '.join(fitting)}; it is {rule.method!r}. Methods "
            f"are, for example, {', '.join(near)}",
        )  # fmt: skip
