"""The scheduler alone: properties that hold for any traffic."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.drafting import Lookup
from serving.prefix_cache import BLOCK
from serving.scheduler import QueueFull, Scheduler
from serving.sequence import Sequence
from serving.step import Layout, Limits, Step, make_layouts
from tests.serving.fake_device import FakeDevice

CONTEXT = 256
LAYOUTS = (Layout(64, 4), Layout(128, 2), Layout(256, 1))
ROOMY = (Layout(256, 4),)
SIZES = (4, 8, 32)
LIMITS = Limits(LAYOUTS, 100, SIZES, budget=36, draft_rows=2, draft_width=4, chunk_rows=3)
STOP = 0


def check_step(scheduler: Scheduler, step: Step) -> None:
    """Hold what is true of every step."""
    active = scheduler.active
    slots = [sequence.slot for sequence in active]
    assert len(set(slots)) == len(slots)
    assert all(0 <= slot < scheduler.layout.slots for slot in slots if slot is not None)
    assert None not in slots
    assert step.tokens <= scheduler.limits.budget
    rows = [row.sequence for row in step.rows]
    assert all(sequence.decoding for sequence in rows)
    assert not {chunk.sequence for chunk in step.chunks} & set(rows)


def run(device: FakeDevice, ahead: bool = False) -> Step:
    """One step, checked before and while it runs; or a turn of an engine that begins the next."""
    if ahead:
        return device.turn()
    step = device.scheduler.schedule()
    check_step(device.scheduler, step)
    device.scheduler.postprocess(step, *device.compute(step))
    return step


def drain(device: FakeDevice, limit: int = 5000, ahead: bool = False) -> None:
    """Run until nothing is left to do."""
    while device.scheduler.busy or device.flight:
        run(device, ahead)
        limit -= 1
        assert limit, "this goes on for ever"


def alone(sequence: Sequence) -> Sequence:
    """The same request with nothing beside it, no cache, no guesses and memory without end."""
    limits = dataclasses.replace(LIMITS, layouts=(Layout(CONTEXT, 1),), draft_rows=0)
    device = FakeDevice(Scheduler(limits))
    twin = Sequence(sequence.prompt, sequence.max_tokens, sequence.stop_tokens)
    device.scheduler.add(twin)
    drain(device)
    return twin


# Prompts that share beginnings of whole blocks, so that the prefix cache has something to find.
prompts = st.builds(
    lambda shared, blocks, rest: ((shared,) * BLOCK * blocks + tuple(rest))[: CONTEXT - 1],
    st.integers(1, 2),
    st.integers(0, 5),
    st.lists(st.integers(1, 3), min_size=1, max_size=70),
)
sequences = st.builds(
    lambda prompt, most, stops, guess: Sequence(
        prompt, most, stops, lookup=Lookup(list(prompt)) if guess else None
    ),
    prompts,
    st.integers(1, 60),
    st.sampled_from([frozenset(), frozenset({STOP})]),
    st.booleans(),
)
traffic = st.lists(st.tuples(sequences, st.integers(0, 4)), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    arrivals=traffic,
    blocks=st.integers(0, 12),
    layouts=st.sampled_from([LAYOUTS, ROOMY]),
    ahead=st.booleans(),
)
def test_everyone_is_served_as_if_alone(
    arrivals: list[tuple[Sequence, int]], blocks: int, layouts: tuple[Layout, ...], ahead: bool
) -> None:
    """No sequence starves, no slot is lost, the budget is kept, what is read is one's own, and
    each gets the tokens it would get alone: with prefix cache, guesses and pre-emption, and with
    steps that begin before the tokens they continue are known."""
    limits = dataclasses.replace(LIMITS, layouts=layouts)
    device = FakeDevice(Scheduler(limits, blocks))
    for sequence, pause in arrivals:
        device.scheduler.add(sequence)
        for _ in range(pause):
            run(device, ahead)
    drain(device, ahead=ahead)
    assert device.scheduler.active == ()
    assert device.scheduler.cache_used_ratio == 0
    for sequence, _ in arrivals:
        twin = alone(sequence)
        assert sequence.generated == twin.generated
        assert sequence.finish_reason == twin.finish_reason


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(sequences, min_size=1, max_size=8),
    cancels=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12),
    ahead=st.booleans(),
)
def test_cancelling_at_any_moment_loses_nothing(
    arrivals: list[Sequence], cancels: list[tuple[int, bool]], ahead: bool
) -> None:
    """Cancelled while waiting, between steps or inside one: the slot is free, the others go on."""
    device = FakeDevice(Scheduler(LIMITS, 8))
    scheduler = device.scheduler
    scheduler.add(*arrivals)
    for index, inside in cancels:
        victim = arrivals[index % len(arrivals)]
        if ahead:
            device.turn()
            scheduler.cancel(victim)
            continue
        if not inside:
            scheduler.cancel(victim)
        step = scheduler.schedule()
        check_step(scheduler, step)
        if inside:
            scheduler.cancel(victim)
            scheduler.cancel(victim)
        gained = scheduler.postprocess(step, *device.compute(step))
        assert all(sequence is not victim for sequence, _ in gained)
    drain(device, ahead=ahead)
    assert scheduler.active == ()
    for sequence in arrivals:
        assert sequence.finish_reason is not None
        if sequence.finish_reason != "abort":
            assert sequence.generated == alone(sequence).generated


@settings(max_examples=60, deadline=None)
@given(arrivals=st.lists(sequences, min_size=2, max_size=10))
def test_first_come_first_served(arrivals: list[Sequence]) -> None:
    """Slots are given in the order of arrival, and prompts computed in that order."""
    limits = dataclasses.replace(LIMITS, layouts=ROOMY)
    device = FakeDevice(Scheduler(limits, 4))
    device.scheduler.add(*arrivals)
    admitted: list[Sequence] = []
    while device.scheduler.busy:
        step = run(device)
        admitted += step.admitted
        begun = [arrivals.index(chunk.sequence) for chunk in step.chunks]
        assert begun == sorted(begun)
    assert [id(s) for s in admitted] == [id(s) for s in arrivals]


def test_running_streams_get_a_token_in_every_step() -> None:
    """A long prompt is cut, and those that run go on with each of its chunks."""
    device = FakeDevice(Scheduler(dataclasses.replace(LIMITS, layouts=ROOMY)))
    short, long = Sequence((1, 2), 50), Sequence((3,) * 200, 5)
    device.scheduler.add(short, long)
    run(device)
    steps = 0
    while not long.generated_count:
        before = short.generated_count
        assert len(run(device).chunks) == 1
        assert short.generated_count == before + 1
        steps += 1
    assert steps >= 6


def test_short_prompts_share_a_step() -> None:
    """What the budget leaves is used: several small prompts are computed in one step."""
    device = FakeDevice(Scheduler(dataclasses.replace(LIMITS, layouts=ROOMY)))
    device.scheduler.add(*(Sequence((n, 1), 5) for n in range(4)))
    step = run(device)
    assert len(step.chunks) == 4
    assert step.batches == ((0, 1, 2), (3,))
    told = [Sequence((n, 1), 5, use_prefix=n > 1) for n in range(4)]
    other = Scheduler(dataclasses.replace(LIMITS, layouts=ROOMY))
    other.add(*told)
    assert other.schedule().batches == ((0,), (1,), (2, 3))


def test_the_next_step_begins_before_tokens_are_known() -> None:
    """Rows go on unseen until an answer reaches its limit or somebody comes who has room."""
    device = FakeDevice(Scheduler(dataclasses.replace(LIMITS, layouts=ROOMY, draft_rows=0)))
    first, second = Sequence((1, 2), 6), Sequence((3, 4), 50)
    device.scheduler.add(first, second)
    flights = []
    while first.finish_reason is None:
        device.turn()
        flights.append(device.flight is not None)
    # The prompts' step gives the first of six tokens; nothing follows the one with the last.
    assert flights == [False, *[True] * 4, False]
    device.turn()
    assert device.flight is not None
    device.scheduler.add(Sequence((5,), 3))
    device.turn()
    assert device.flight is None, "who comes is not kept waiting"
    drain(device, ahead=True)
    assert second.generated == alone(second).generated


def test_shared_prefix_is_computed_once() -> None:
    """The second of two prompts with one beginning loads it, also when both come together."""
    device = FakeDevice(Scheduler(dataclasses.replace(LIMITS, layouts=ROOMY), 8))
    first, second = (Sequence((7,) * 3 * BLOCK + (last,), 3) for last in (1, 2))
    device.scheduler.add(first, second)
    drain(device)
    assert (first.cached, second.cached) == (0, 3 * BLOCK)
    counts = device.scheduler.counts
    assert (counts.prefix_queries, counts.prefix_hits) == (2 * 97, 96)
    private = Sequence(first.prompt, 3, use_prefix=False)
    device.scheduler.add(private)
    drain(device)
    assert private.cached == 0
    assert private.generated == first.generated


def test_an_answer_is_part_of_the_next_prompt() -> None:
    """A conversation's next turn finds its last answer in the cache, not only its last prompt."""
    device = FakeDevice(Scheduler(dataclasses.replace(LIMITS, layouts=ROOMY), 8))
    turn = Sequence((5,) * 20, 50)
    device.scheduler.add(turn)
    drain(device)
    following = Sequence((*turn.tokens, 1, 2), 3)
    device.scheduler.add(following)
    drain(device)
    assert following.cached == 2 * BLOCK


def test_least_recently_used_goes_first() -> None:
    """With room for one prompt's blocks the older prompt is forgotten."""
    device = FakeDevice(Scheduler(dataclasses.replace(LIMITS, layouts=ROOMY), 2))

    def ask(token: int) -> int:
        sequence = Sequence((token,) * 2 * BLOCK + (1,), 1)
        device.scheduler.add(sequence)
        drain(device)
        return sequence.cached

    assert [ask(1), ask(1), ask(2), ask(2), ask(1)] == [0, 64, 0, 64, 0]


def test_the_youngest_is_preempted_and_comes_back() -> None:
    """When memory runs out the youngest loses its slot, but none of its tokens."""
    device = FakeDevice(Scheduler(LIMITS))
    old, young, last = (Sequence((token,) * 40, 60) for token in (1, 2, 3))
    device.scheduler.add(old, young, last)
    seen = set()
    while device.scheduler.busy:
        run(device)
        seen.add(device.scheduler.layout)
        assert old.finish_reason or old in device.scheduler.active
    assert device.scheduler.counts.preemptions >= 1
    assert seen >= {LAYOUTS[0], LAYOUTS[1]}
    for sequence in (old, young, last):
        assert sequence.generated == alone(sequence).generated


def test_no_length_is_planned_for_that_saves_nothing() -> None:
    """With memory for all there is one rectangle; else lengths that leave room for more slots."""
    assert make_layouts(16, 2048, 16 * 2048) == (Layout(2048, 16),)
    assert make_layouts(16, 2048, 16 * 1024) == (Layout(1024, 16), Layout(2048, 8))
    assert make_layouts(3, 512, 768) == (Layout(256, 3), Layout(512, 1))
    assert make_layouts(2, 256, 10) == (Layout(256, 1),)


def test_guesses_bring_several_tokens_a_step() -> None:
    """A repetitive answer takes fewer steps than it has tokens, and is the same."""
    prompt = (1, 2, 3) * 8
    device = FakeDevice(Scheduler(LIMITS))
    guessed = Sequence(prompt, 60, lookup=Lookup(list(prompt)))
    device.scheduler.add(guessed)
    steps = 0
    while device.scheduler.busy:
        run(device)
        steps += 1
    assert guessed.generated == alone(guessed).generated
    assert device.scheduler.counts.accepted > 10
    assert steps == 60 - device.scheduler.counts.accepted


def test_guessing_pauses_when_it_brings_nothing() -> None:
    """Unlucky guesses become rare."""
    lookup = Lookup([1, 2, 3, 1, 2])
    made = 0
    for _ in range(100):
        guess = lookup.propose(3)
        made += bool(guess)
        lookup.learn(len(guess), 0)
    assert made < 15


def test_layout_shrinks_at_rest() -> None:
    """Memory is given back once nobody runs."""
    device = FakeDevice(Scheduler(LIMITS, 4))
    device.scheduler.add(Sequence((1,) * 200, 2))
    run(device)
    assert device.scheduler.rest() is None
    drain(device)
    assert device.scheduler.rest() == LAYOUTS[0]
    assert device.scheduler.rest() is None


def test_queue_is_bounded() -> None:
    """Beyond free slots and queue nothing is taken, and a group is taken whole or not at all."""
    scheduler = Scheduler(dataclasses.replace(LIMITS, layouts=(Layout(64, 2),), queue=3))
    scheduler.add(*(Sequence((1,), 2) for _ in range(4)))
    with pytest.raises(QueueFull):
        scheduler.add(Sequence((1,), 2), Sequence((1,), 2))
    scheduler.add(Sequence((1,), 2))
    assert len(scheduler.waiting) == 5
    with pytest.raises(QueueFull) as refused:
        scheduler.add(Sequence((1,), 2))
    assert refused.value.waiting == 5


def test_prompt_that_does_not_fit_is_no_request() -> None:
    """Empty prompts and prompts that leave no room for an answer are refused."""
    scheduler = Scheduler(LIMITS)
    for size in (0, CONTEXT):
        with pytest.raises(ValueError, match="does not fit"):
            scheduler.add(Sequence((1,) * size, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"layouts": (Layout(64, 2), Layout(128, 4))},
        {"layouts": (Layout(60, 2),)},
        {"budget": 7},
        {"draft_rows": 16},
    ],
)
def test_impossible_limits_are_refused(wrong: dict) -> None:
    """Limits under which some step could not be planned are an error at start, not later."""
    with pytest.raises(ValueError, match=r"layout|length|few"):
        dataclasses.replace(LIMITS, **wrong)
