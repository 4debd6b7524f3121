"""Answers that got worse: told from noise, and from what nobody measured."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from core.answers import LEAST_FALL_RATIO, WorseAnswers, worse_answers
from core.fleet import assemble_fleet
from core.problems import Severity, what_is_wrong
from core.series import Series, Signal
from tests import make

USUAL = 0.75


def solved(hours: float, step_s: int, noise: float = 0.0, level: float = USUAL) -> Series:
    """A share that chance moves evenly by `noise` up and down."""
    chance = random.Random(hours)
    plain = make.make_series("small", Signal.SOLVED, make.make_window(hours, step_s=step_s))
    return replace(plain, values=tuple(level + chance.uniform(-noise, noise) for _ in plain.values))


def newest(fall: float = 0.0, minutes: int = 30, noise: float = 0.0) -> Series:
    """Six hours in minutes, of which the last ones are worse by `fall`."""
    series = solved(6, 60, noise)
    since = series.window.end - timedelta(minutes=minutes)
    pairs = zip(series.times, series.values, strict=True)
    values = (None if v is None else v - fall * (at > since) for at, v in pairs)
    return replace(series, values=tuple(values))


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_clear_fall_is_told_and_noise_is_not(noise: float) -> None:
    """As much as bad-rollout's, in a tier of which one part of two got worse."""
    before = solved(168, 1800, noise)
    found = worse_answers(newest(0.07, noise=noise), before)
    assert isinstance(found, WorseAnswers)
    assert found.tier == "small"
    assert found.usual_ratio - found.now_ratio == pytest.approx(0.07, abs=0.01)
    assert worse_answers(newest(noise=noise), before) is None
    assert worse_answers(newest(-0.07, noise=noise), before) is None, "better is no harm"


def test_what_is_clear_depends_on_the_noise_there_always_is() -> None:
    """An evaluation of few tasks has to fall further; one of many by three of a hundred."""
    assert worse_answers(newest(0.07), solved(168, 1800, noise=0.05)) is None
    assert worse_answers(newest(0.3), solved(168, 1800, noise=0.05)) is not None
    assert worse_answers(newest(LEAST_FALL_RATIO - 0.001), solved(168, 1800)) is None
    assert worse_answers(newest(LEAST_FALL_RATIO + 0.001), solved(168, 1800)) is not None


def test_a_moment_counts_by_its_share_and_an_old_fall_is_no_measure() -> None:
    """Five bad minutes are not a bad half hour; hours of failures days ago are not the usual."""
    assert worse_answers(newest(0.12, minutes=5), solved(168, 1800)) is None
    before = solved(168, 1800)
    values = tuple(0.1 if 40 <= i < 60 else v for i, v in enumerate(before.values))
    assert worse_answers(newest(0.07), replace(before, values=values)) is not None


def test_failures_are_not_bad_answers() -> None:
    """A fall by as much as requests fail is theirs; what falls beyond it is the answers'."""
    window = make.make_window(6, step_s=60)
    errors = replace(make.make_series("small", Signal.ERRORS, window), values=(None, *[0.1] * 359))
    before = solved(168, 1800)
    assert worse_answers(newest(0.1 * USUAL), before, errors) is None
    assert worse_answers(newest(0.1 * USUAL + 0.05), before, errors) is not None
    unknown = replace(errors, values=(None,) * 360)
    assert worse_answers(newest(0.1 * USUAL), before, unknown) is not None


def test_what_was_not_measured_is_neither_worse_nor_well() -> None:
    """Nothing lately, nothing ever, or less than a day to compare with: nothing is said."""
    fallen, before = newest(0.3), solved(168, 1800)
    none = replace(fallen, values=(None,) * len(fallen.values))
    assert worse_answers(none, before) is None
    stopped = replace(fallen, values=(*fallen.values[:-30], *[None] * 30))
    assert worse_answers(stopped, before) is None
    assert worse_answers(fallen, replace(before, values=(None,) * len(before.values))) is None
    young = (*[None] * (len(before.values) - 59), *before.values[-59:])  # a day and 5½ hours
    assert worse_answers(fallen, replace(before, values=young)) is None
    older = (*[None] * (len(before.values) - 60), *before.values[-60:])
    assert worse_answers(fallen, replace(before, values=older)) is not None


def test_it_is_a_finding_with_a_next_step() -> None:
    """A warning for a production tier, a note for another; it leads to the chart."""
    snapshot = make.make_snapshot()
    worse = {t: WorseAnswers(t, 0.68, USUAL) for t in ("small", "dev")}
    findings = what_is_wrong(snapshot, assemble_fleet(snapshot), {}, None, worse)
    told = {f.tier: f for f in findings if "answers solve" in f.sentence}
    assert {tier: f.severity for tier, f in told.items()} == {
        "small": Severity.WARNING, "dev": Severity.NOTE,
    }  # fmt: skip
    assert told["small"].page == "traffic"
    assert told["small"].sentence == (
        "Small: answers solve 68.0% of an evaluation's tasks, usually 75.0%"
    )
    assert told["small"].next_step.startswith("Look at its last roll-out")
