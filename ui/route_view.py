"""The router as pages show it: a decision with every tier, recent ones, its rules, the checks.

The Playground draws a decision below its answer, the Traffic page all the rest. Deciding is
`core/router.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import streamlit as st

from control.route_checks import FAIL, PASS, UNCHECKED, CheckRun, RouteCheck
from control.router import Routed
from core.errors import Denied
from core.records import Source
from core.router import Considered, Decision
from core.router_words import busy_in_words, rules_in_words
from ui import access, formats, states, tables, view

_SOURCES: Final = (Source.GKE, Source.LOAD_BALANCER, Source.LOAD, Source.INFERENCE)
_VERDICTS: Final = {PASS: "green", FAIL: "red", UNCHECKED: "gray"}
_POLL_S: Final = 1.0


def draw_choice(routed: Routed) -> None:
    """One line: who was chosen, by which rule, why."""
    decision = routed.decision
    title = next((c.title for c in decision.considered if c.chosen), "no tier")
    st.markdown(
        f":small[:material/route: **{formats.plain(title)}** by the rule"
        f" [{formats.plain(decision.rule.value)}]({_link(routed)}):"
        f" {formats.plain(decision.reason)}]"
    )


def _link(routed: Routed) -> str:
    return "/traffic?" + urlencode({"decision": routed.id})


def seen_words(decision: Decision) -> str:
    """What the router saw in the request."""
    seen = decision.features
    assumed = ", as none were asked for" if seen.requested_assumed else ""
    parts = [
        f"about {seen.prompt_tokens:,} prompt tokens",
        f"up to {seen.requested_tokens:,} to generate{assumed}",
        f"score {seen.score:.2f}" + ("" if seen.points else " (no sign of a hard question)"),
        *(f"{p.why} (+{p.points:.2f})" for p in seen.points),
    ]
    if seen.unread_parts:
        parts.append(f"{formats.plural(seen.unread_parts, 'part')} that are no text, not counted")
    return f"A {decision.need} request: {'; '.join(parts)}."


def draw_tiers(decision: Decision, tokens: int | None) -> None:
    """Every tier with its reason and its price.

    `tokens`: of the answer that came of it, for what it would have cost elsewhere; None: unknown,
    so that the request's own estimate stands in.
    """
    st.markdown(f":small[{formats.plain(seen_words(decision))}]")
    shown: list[dict[str, str]] = []
    for tier in decision.considered:
        row = {name: formats.plain(cell) for name, cell in _tier_row(tier, tokens).items()}
        mark = {"Tier": f"→\u00a0**{row['Tier']}**"} if tier.chosen else {}
        shown.append(row | mark)
    st.table(shown, border="horizontal", alt="Every tier with its reason and its price")
    basis = "this answer's tokens × the price per token at each tier's load of now."
    if tokens is None:
        basis = "if it generates all that it may, at the price of a full tier."
    st.caption(
        f"Cost: {basis} The router compares the price of a full tier: the least that it can be, and"
        " the same at any load."
    )


def _tier_row(tier: Considered, tokens: int | None) -> Mapping[str, str]:
    per_million = tier.usd_per_million_now
    usd = tier.usd if tokens is None else per_million and per_million * tokens / 1e6
    word = formats.NOT_PRICED if tier.price_why.startswith("not priced") else formats.UNKNOWN
    unknown = f" (unknown: {', '.join(tier.unknown)})" if tier.unknown and tier.serves else ""
    return {
        "Tier": tier.title,
        "Why": tier.why + unknown,
        "Cost": formats.money(usd, word),
        "$/M tokens when full": formats.money(tier.usd_per_million, word),
        "$/M tokens now": formats.money(per_million, word),
    }


# --- the Traffic page ----------------------------------------------------------------------------


def rules() -> None:
    """The router's rules with the thresholds in force."""
    fresh = states.freshness(access.snapshot().sources, _SOURCES, access.now())
    with states.panel("Router", fresh, "which tier takes a request to the model “auto”"):
        limits = access.console().router.limits
        lines = [
            f"{number}. **{rule.value}**: {formats.plain(words)}"
            for number, (rule, words) in enumerate(rules_in_words(limits).items(), 1)
        ]
        st.markdown("\n".join(lines))
        st.caption(
            f"{busy_in_words(limits)} Thresholds: `[router]` in heartwood.toml. Endpoint: "
            "`POST /router/v1/chat/completions` of this console."
        )


def one() -> None:
    """The decision that the address asks for."""
    wanted = st.query_params.get("decision")
    if not wanted:
        return
    routed = access.console().router.find(wanted)
    with states.panel("One decision"):
        st.button(
            "Close", key="decision_close", icon=":material/close:", type="tertiary",
            on_click=_close_one,
        )  # fmt: skip
        if routed is None:
            states.show_empty(
                "This decision is not kept any more",
                "The newest are, until the console ends.",
            )
            return
        st.markdown(
            f":small[{formats.stamp(routed.at)} UTC · from {formats.plain(routed.origin)} ·"
            f" {formats.plain(_outcome(routed))}]"
        )
        draw_choice(routed)
        draw_tiers(routed.decision, None)


def _close_one() -> None:
    st.query_params.pop("decision", None)


def recent() -> None:
    """What the router decided lately, newest first."""
    routed = access.console().router.recent()
    chosen = view.current()
    with states.panel("Recent decisions", note="since the console started; no prompt is kept"):
        tables.table(
            [_row(r) for r in routed if chosen.tier in (None, r.decision.tier)],
            key="router-decisions",
            alt="What the router decided lately",
            empty="The router has decided nothing yet" if not routed else "None for this tier",
            why="The Playground's Auto, the endpoint and the checks below ask it.",
            config={
                "At (UTC)": tables.moment("At (UTC)"),
                "Open": st.column_config.LinkColumn("Open", display_text="details"),
                "Why": st.column_config.TextColumn("Why", width="medium"),
            },
        )


def _row(routed: Routed) -> tables.Row:
    decision = routed.decision
    seen = decision.features
    return {
        "Open": "/traffic?" + urlencode({**view.shared_parameters(), "decision": routed.id}),
        "At (UTC)": routed.at,
        "Tier": decision.tier or "–",
        "Rule": decision.rule.value,
        "Prompt tokens": seen.prompt_tokens,
        "Asked for": seen.requested_tokens,
        "Score": seen.score,
        "Why": decision.reason,
        "Outcome": _outcome(routed),
        "From": routed.origin,
    }


def _outcome(routed: Routed) -> str:
    elsewhere = routed.landed and routed.landed != routed.decision.tier
    return routed.outcome + (f", by {routed.landed}" if elsewhere else "")


def checks() -> None:
    """The validation suite: a button, its progress, what it found."""
    note = "one request per rule, by path through the load balancer and by request"
    with states.panel("Do requests land where the rules say?", note=note):
        suite = access.console().route_checks
        run = suite.latest()
        running = run is not None and run.ended_at is None
        why_not = access.console().actor().lacks()
        if st.button(
            "Send the requests", key="route_checks", icon=":material/play_arrow:",
            disabled=running or bool(why_not), help=why_not or "Each asks for one token",
        ):  # fmt: skip
            try:
                suite.start(access.console().actor())
            except Denied as error:
                states.show_problem("Nothing was sent", states.problem_of(error))
                return
            st.rerun()
        if running:
            _follow()
        elif run is None:
            states.show_empty("Not run yet", "Also as `python -m control route check`.")
        else:
            _results(run)


def _follow() -> None:
    """Progress, whatever the chosen refresh interval; at its end the whole page is drawn anew."""

    @st.fragment(run_every=_POLL_S)
    def poll() -> None:
        run = access.console().route_checks.latest()
        if run is None or run.ended_at is not None:
            st.rerun()
        share = len(run.results) / run.total if run.total else 0.0
        st.progress(min(share, 1.0), f"{len(run.results)} of {run.total or '…'} requests")
        if run.results:
            _results(run)

    poll()


def _results(run: CheckRun) -> None:
    tables.table(
        [_check_row(check) for check in run.results],
        key="route-checks-table",
        alt="Where the synthetic requests landed",
        config={
            "Verdict": tables.badges("Verdict", _VERDICTS),
            "Note": st.column_config.TextColumn("Note", width="large"),
        },
    )
    if run.ended_at is None:
        return
    passed = sum(check.verdict == PASS for check in run.results)
    words = f"{passed} passed, {run.failed} failed, ended {formats.stamp(run.ended_at)} UTC"
    if run.problem:
        words = f"Not whole: {run.problem}. {words}"
    st.caption(words)


def _check_row(check: RouteCheck) -> tables.Row:
    return {
        "Verdict": [check.verdict],
        "Way": check.way,
        "Rule": check.rule,
        "Request": check.sample,
        "Expected": check.expected,
        "Found": check.found,
        "Took": formats.milliseconds(check.took_ms, "–"),
        "Note": check.note,
    }
