"""Change the amount and the thresholds of a tier's monthly budget in Cloud Billing.

A budget stops no spending: it notifies, and our guards go by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from core.actions.context import PlanContext
from core.actions.tier_lookup import same_cost, spec_of, usual
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.forecast import find_budget, forecast_month
from core.plans import Facts, Plan, Request, Step
from core.pricing import tier_rate
from core.records import Budget, Snapshot, Source
from core.specs import TierSpec

ACTION: Final = "change_budget"
VERB: Final = "budgets.change"
FACTS: Final = "budget"
_MAX_USD: Final = 1e12
_MAX_RATIO: Final = 10.0  # a threshold at ten times the budget is a slip of the hand


def plan_change_budget(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that sets `amount_usd` and `thresholds` ("50, 90, 100", in percent; either).

    Raises:
        PlanError: the tier has no budget in Cloud Billing, or a value is none that is allowed.
    """
    spec = spec_of(snapshot, request)
    budget = _budget(snapshot, spec)
    amount = _amount(request, budget)
    ratios = _ratios(request, budget)
    before, after = (
        values(budget),
        values(replace(budget, amount_usd=amount, threshold_ratios=ratios)),
    )
    if before == after:
        raise PlanError(f"{budget.display_name} is so already.", resource=budget.id)
    step = budget_step(context, budget, before, after)
    return Plan(
        request=request,
        title=f"Change the budget of {spec.title}: {_money(budget.amount_usd)} → {_money(amount)}"
        " a month",
        steps=(step,),
        observed=observe((budget,)),
        cost=same_cost(snapshot, assemble_fleet(snapshot).tier(spec.name)),
        affected=(
            *_about_silence(budget, ratios),
            *_affected(snapshot, spec, replace(budget, amount_usd=amount), ratios, now),
        ),
        irreversible=(),
        permissions=("billing.budgets.get", "billing.budgets.update"),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=0,
        chip_delta=0,
        sources=(Source.COSTS.value,),
    )


def values(budget: Budget) -> dict[str, str | int | float | bool | None]:
    """What a step changes of a budget, as it stands in before and after."""
    return {"amount_usd": budget.amount_usd, "thresholds": told_ratios(budget.threshold_ratios)}


def told_ratios(ratios: Iterable[float]) -> str:
    """Ratios as people write them: "50%, 90%, 100%", ascending."""
    return ", ".join(f"{ratio * 100:g}%" for ratio in sorted(ratios))


def read_ratios(text: str) -> tuple[float, ...]:
    """The ratios that "50, 90, 100" or "50%, 90%" names, ascending, each once.

    Raises:
        ValueError: one of them is no percentage from above 0 to 1000.
    """
    found: set[float] = set()
    for word in text.replace("%", " ").replace(";", ",").split(","):
        if not word.strip():
            continue
        try:
            ratio = round(float(word) / 100, 6)
        except ValueError as error:
            raise ValueError(f"{word.strip()} is no number") from error
        if not 0 < ratio <= _MAX_RATIO:
            raise ValueError(f"{word.strip()}%")
        found.add(ratio)
    return tuple(sorted(found))


def observe(budgets: Iterable[Budget]) -> Facts:
    """The facts of these budgets that a plan rests on."""
    facts: dict[str, str | int | float | bool | None] = {}
    for budget in budgets:
        for name, value in values(budget).items():
            facts[f"{FACTS}: {budget.id} {name}"] = value
    return facts


def observe_again(observed: Facts, budgets: Iterable[Budget]) -> Facts:
    """The same facts from a fresh read; a budget that is gone has None for each."""
    fresh = observe(budgets)
    return {key: fresh.get(key) for key in observed}


def _budget(snapshot: Snapshot, spec: TierSpec) -> Budget:
    if snapshot.budgets is None:
        raise PlanError(
            "The budgets have not been read yet.",
            resource=spec.name,
            retryable=True,
            hint="See Connections for the state of budgets",
        )
    found = find_budget(spec, snapshot.budgets)
    if found is None:
        raise PlanError(
            f"{spec.title} has no monthly budget in Cloud Billing.",
            resource=spec.name,
            hint="One that is set in heartwood.toml is changed there (monthly_budget_usd)",
        )
    return found


def _amount(request: Request, budget: Budget) -> float:
    value = request.parameters.get("amount_usd", budget.amount_usd or 0.0)
    valid = isinstance(value, int | float) and not isinstance(value, bool)
    if not valid or not 0 < float(value) <= _MAX_USD:
        raise PlanError(
            f"The parameter amount_usd is {value!r}.",
            resource=budget.id,
            hint=f"amount_usd is US dollars a month, above 0 and at most {_MAX_USD:,.0f}",
        )
    return round(float(value), 2)


def _ratios(request: Request, budget: Budget) -> tuple[float, ...]:
    text = request.parameters.get("thresholds")
    if text is None:
        return budget.threshold_ratios
    try:
        return read_ratios(str(text))
    except ValueError as error:
        raise PlanError(
            f"The thresholds {text!r} cannot be read: {error}.",
            resource=budget.id,
            hint="Percentages of the budget, above 0 to 1000, e.g. 50, 90, 100",
        ) from error


def budget_step(context: PlanContext, budget: Budget, before: Facts, after: Facts) -> Step:
    """The step that writes a budget; before and after as `values` has them."""
    expected_s, source = usual(context, VERB)
    command = (
        f"gcloud billing budgets update {context.billing_account}/budgets/{budget.id}"
        f" --budget-amount={after['amount_usd']:.2f}USD"
    )
    if after["thresholds"] != before["thresholds"]:
        command += " --clear-threshold-rules"
        for ratio in read_ratios(str(after["thresholds"])):
            command += f" --add-threshold-rule=percent={ratio:g}"
    return Step(
        verb=VERB,
        resource=f"{context.billing_account}/budgets/{budget.id}",
        title=f"Write the budget {budget.display_name}",
        before=before,
        after=after,
        expected_s=expected_s,
        expected_source=source,
        command=command,
        undo="write the amount and the thresholds that were there before",
    )


def _about_silence(budget: Budget, ratios: Sequence[float]) -> tuple[str, ...]:
    """What is said first where no threshold is left."""
    if ratios:
        return ()
    if not budget.threshold_ratios:
        return ("It has no threshold: nobody is told how much of it is spent",)
    gone = told_ratios(budget.threshold_ratios)
    return (f"All thresholds are removed ({gone}): nobody is told any more how much is spent",)


def _affected(
    snapshot: Snapshot, spec: TierSpec, budget: Budget, ratios: Sequence[float], now: datetime
) -> tuple[str, ...]:
    rate = tier_rate(assemble_fleet(snapshot).tier(spec.name), snapshot.prices)
    found = forecast_month(spec, snapshot.costs, now, rate.usd_per_hour, (budget,))
    sentences = ["No request and no slice is affected: a budget stops no spending, it notifies"]
    amount = budget.amount_usd or 0.0
    if found.spent_usd is None or found.month_end_usd is None:
        sentences.append(f"How much of it is spent is not known: {found.method}")
        return tuple(sentences)
    sentences.append(
        f"Spent this month {_money(found.spent_usd)} ({found.spent_usd / amount:.0%} of it), left"
        f" {_money(max(0.0, amount - found.spent_usd))}; expected at the month's end"
        f" {_money(found.month_end_usd)}"
    )
    if found.spent_usd >= amount:
        sentences.append("It is spent already: guards block whatever raises the tier's cost")
    elif found.reached_on is not None:
        sentences.append(f"It will be spent on {found.reached_on:%d %B} at the rate of now")
    else:
        sentences.append("It lasts until the month's end at the rate of now")
    passed = [r for r in ratios if found.spent_usd >= r * amount]
    if passed:
        sentences.append(f"Thresholds passed already: {told_ratios(passed)}")
    return tuple(sentences)


def _money(usd: float | None) -> str:
    return "unknown" if usd is None else f"${usd:,.2f}".removesuffix(".00")
