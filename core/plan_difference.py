"""What differs between two plans for the same wish: told when one is made again.

Making a plan is `core/actions/`'s; what applying refuses to overlook is the executor's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.plans import CostChange, Plan, Step


def differences(old: Plan, new: Plan) -> tuple[str, ...]:
    """Sentences about all in which the newer plan differs; none: they have the same digest."""
    if old.digest == new.digest:
        return ()
    found = [
        *_steps(old, new),
        *_facts("Rests on", old.observed, new.observed),
        *_cost(old.cost, new.cost),
        *_sentences("Effect", old.affected, new.affected),
        *_sentences("Cannot be undone", old.irreversible, new.irreversible),
        *_sentences("Leaves behind", old.leaves, new.leaves),
        *_sentences("Permission", old.permissions, new.permissions),
    ]
    if old.request != new.request:
        found.insert(0, "It was asked for otherwise")
    return tuple(found) or ("What is sent differs in parts that no sentence names",)


def _steps(old: Plan, new: Plan) -> Iterable[str]:
    before, after = _by_name(old.steps), _by_name(new.steps)
    for name in before.keys() - after.keys():
        yield f"No longer: {before[name].title}"
    for name, step in after.items():
        if name not in before:
            yield f"New: {step.title}"
            continue
        was = before[name]
        yield from _facts(f"{step.title}, before:", was.before, step.before)
        yield from _facts(f"{step.title}, after:", was.after, step.after)


def _by_name(steps: Iterable[Step]) -> dict[tuple[str, str, str], Step]:
    return {(step.verb, step.resource, step.key): step for step in steps}


def _facts(what: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterable[str]:
    for name in sorted(old.keys() | new.keys()):
        was, now = _word(old.get(name)), _word(new.get(name))
        if was != now:
            yield f"{what} {name.replace('_', ' ')} {was} → {now}"


def _word(value: object) -> str:
    return "nothing" if value is None else str(value)


def _cost(old: CostChange, new: CostChange) -> Iterable[str]:
    figures = (
        ("Cost before", old.before_usd_per_hour, new.before_usd_per_hour),
        ("Cost after", old.after_usd_per_hour, new.after_usd_per_hour),
    )
    for what, was, now in figures:
        if was != now:
            yield f"{what}: {_dollars(was)} → {_dollars(now)}"


def _dollars(usd_per_hour: float | None) -> str:
    return "unknown" if usd_per_hour is None else f"${usd_per_hour:,.2f}/h"


def _sentences(what: str, old: tuple[str, ...], new: tuple[str, ...]) -> Iterable[str]:
    yield from (f"{what}, no longer: {line}" for line in old if line not in new)
    yield from (f"{what}, new: {line}" for line in new if line not in old)
