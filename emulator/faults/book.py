"""The fault rules there are: added, listed, removed; which of them hits a call."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.faults.asked import Asked
from emulator.faults.rules import Rule, RuleError, parse_rule
from emulator.faults.states import StateFaults

if TYPE_CHECKING:
    from emulator.context import Cloud

Services = Mapping[str, frozenset[str] | None]


@dataclass(frozen=True, slots=True)
class Struck:
    """What rules do to one call: wait, then refuse, cut off or let its operation go wrong.

    `counted` are those that this hit brings nearer to their end.
    """

    wait_s: float = 0.0
    refusal: Rule | None = None
    cut: str = ""
    operation: Rule | None = None
    counted: tuple[Rule, ...] = ()


class FaultBook:
    """All rules of one emulator, in the order given; safe for threads.

    Attributes:
        from_file: ids of those that the start's file gave.
    """

    def __init__(self, cloud: Cloud, services: Callable[[], Services]) -> None:
        self._cloud = cloud
        self._services = services
        self._rules: dict[str, Rule] = {}
        self._made: Counter[str] = Counter()
        self._states = StateFaults(cloud)
        self.from_file: list[str] = []

    def add(self, given: Any, kind: str = "fault") -> Rule:
        """Enter a rule; one with the id of another replaces it. `kind` begins the ids given.

        Raises:
            RuleError: it cannot be taken.
        """
        with self._cloud.lock:
            default_id = f"{kind}-{self._made[kind] + 1}"
            rule = parse_rule(given, default_id, self._cloud.clock.now(), self._services())
            if rule.state:
                self._states.begin(rule)
            if rule.id in self._rules:
                self._drop(self._rules[rule.id])
            self._made[kind] += 1
            self._rules[rule.id] = rule
            if rule.operation == "stuck" and rule.end_at < math.inf:
                self._cloud.operations.at(rule.end_at, partial(self._over, rule))
            return rule

    def _over(self, rule: Rule) -> None:
        """A rule's time has come to its end, unless another has taken its place."""
        if self._rules.get(rule.id) is rule:
            self._cloud.operations.release(rule.id)

    def add_all(self, given: Any, kind: str = "fault") -> list[Rule]:
        """Enter one rule, a list of rules or an object with a list "faults"; all or none.

        Raises:
            RuleError: one of them cannot be taken; the message says which.
        """
        several = given.get("faults") if isinstance(given, Mapping) else None
        items = several if several is not None else given
        if not isinstance(items, list):
            if several is not None:
                raise RuleError("faults", "must be a list of rules")
            return [self.add(given, kind)]
        with self._cloud.lock:
            added: list[Rule] = []
            for place, item in enumerate(items):
                try:
                    added.append(self.add(item, kind))
                except RuleError as error:
                    for rule in added:
                        self.remove(rule.id)
                    raise RuleError(f"faults[{place}].{error.key}", str(error)) from error
            return added

    def parse(self, path: Path) -> list[Any]:
        """What a file gives, TOML or (with the ending .json) JSON.

        Raises:
            RuleError: it cannot be read.
        """
        try:
            text = path.read_text()
            given = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise RuleError(str(path), f"cannot be read: {error}") from error
        several = given.get("faults") if isinstance(given, Mapping) else given
        return several if isinstance(several, list) else [given]

    def replace_file(self, given: list[Any]) -> None:
        """Enter a file's rules in place of an earlier start's.

        Whatever is the same goes on counting; what operations the earlier ones hold stays held.

        Raises:
            RuleError: one of them cannot be taken.
        """
        with self._cloud.lock:
            before = {i: r for i in self.from_file if (r := self._rules.pop(i, None))}
            for rule in before.values():
                if rule.state:
                    self._states.end(rule)
            self._made["file"] = 0
            self.from_file = []
            added = self.add_all(given, "file")
            self.from_file = [rule.id for rule in added]
            for rule in added:
                past = before.get(rule.id)
                if past and _wanted(past) == _wanted(rule):
                    rule.seen, rule.hits = past.seen, past.hits

    def remove(self, rule_id: str) -> bool:
        """Take a rule out; what it held or broke goes on."""
        with self._cloud.lock:
            rule = self._rules.pop(rule_id, None)
            if rule is not None:
                self._drop(rule)
            return rule is not None

    def clear(self) -> int:
        """Take all out; how many there were."""
        with self._cloud.lock:
            found = list(self._rules)
            for rule_id in found:
                self.remove(rule_id)
            return len(found)

    def _drop(self, rule: Rule) -> None:
        if rule.state:
            self._states.end(rule)
        if rule.operation == "stuck":
            self._cloud.operations.release(rule.id)

    def rules(self) -> list[Rule]:
        """Every rule, in the order given."""
        with self._cloud.lock:
            return list(self._rules.values())

    def strike(self, asked: Asked, *, begins: bool = False) -> Struck | None:
        """What the rules do to a call; None when no rule hits it. Counts the hit.

        Rules for operations are for calls that may begin one; `claim` counts those that do.
        """
        if not self._rules:
            return None
        now = self._cloud.clock.now()
        wait_s, refusal, cut, operation = 0.0, None, "", None
        counted: list[Rule] = []
        with self._cloud.lock:
            for rule in self._rules.values():
                if refusal or not (rule.active(now) and rule.matches(asked)):
                    continue
                if rule.operation and not begins:
                    continue
                rule.seen += 1
                if self._chance(rule, "hit") >= rule.probability:
                    continue
                rule.hits += not rule.operation
                if rule.times and not rule.operation:
                    counted.append(rule)
                wait_s += rule.latency_s + rule.jitter_s * self._chance(rule, "jitter")
                cut = cut or rule.cut
                if rule.operation:
                    operation = operation or rule
                elif rule.code:
                    refusal = rule
        return Struck(wait_s, refusal, cut, operation, tuple(counted))

    def claim(self, rule: Rule) -> bool:
        """Count a call that begins an operation; whether the rule is still for it."""
        with self._cloud.lock:
            if self._rules.get(rule.id) is not rule or not rule.active(self._cloud.clock.now()):
                return False
            rule.hits += 1
            return True

    def holds(self, rule: Rule) -> bool:
        """Whether it is still there, and no other in its place."""
        return self._rules.get(rule.id) is rule

    def went_on(self, rule_id: str, seen: int, hits: int) -> None:
        """So far a rule had counted in an earlier process."""
        with self._cloud.lock:
            if (rule := self._rules.get(rule_id)) is not None:
                rule.seen, rule.hits = max(rule.seen, seen), max(rule.hits, hits)

    def struck(self, rule_id: str) -> None:
        """Count a call that is made again, and whose operations went wrong then."""
        with self._cloud.lock:
            if (rule := self._rules.get(rule_id)) is not None:
                rule.seen += 1
                rule.hits += 1

    def _chance(self, rule: Rule, what: str) -> float:
        """0 ≤ x < 1 for the rule's n-th matching call, from the seed."""
        text = f"{self._cloud.seed}/{rule.id}/{rule.seen}/{what}".encode()
        return int.from_bytes(hashlib.blake2s(text, digest_size=7).digest()) / 2**56


def _wanted(rule: Rule) -> Rule:
    """The rule without what differs from start to start."""
    return replace(rule, begin_at=0.0, end_at=0.0, seen=0, hits=0, targets=(), model="")


def shown(rule: Rule, now: float) -> dict[str, Any]:
    """A rule as the control call shows it: what is set, its counts, whether it holds."""
    from dataclasses import asdict

    default = Rule("")
    body = {
        k: v for k, v in asdict(rule).items()
        if k in ("id", "service", "method", "resource") or v != getattr(default, k)
    }  # fmt: skip
    body.pop("begin_at")
    body.pop("targets", None)
    if (end := body.pop("end_at", math.inf)) < math.inf:
        body["ends_in_s"] = round(max(end - now, 0.0), 3)
    if rule.begin_at > now:
        body["begins_in_s"] = round(rule.begin_at - now, 3)
    if rule.targets:
        body["slices"] = [{"tier": part.split("/")[0], "slice": n} for part, n in rule.targets]
    return {**body, "seen": rule.seen, "hits": rule.hits, "active": rule.active(now)}
