"""The scheduler alone: properties that hold for any traffic."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.scheduler import QueueFull, Scheduler, Sequence, Step

CHUNKS, CONTEXT = (4, 8), 64
STOP = 0


def token_of(sequence: Sequence, place: int) -> int:
    """A stand-in for the model: the next token depends on the sequence alone."""
    return (sum(sequence.prompt) * 31 + place * 7) % 13


def check_step(scheduler: Scheduler, step: Step) -> None:
    """Hold what is true of every step."""
    chunk = step.chunk
    held = [sequence for sequence in scheduler.slots if sequence is not None]
    assert sorted(map(id, held)) == sorted(map(id, scheduler.active))
    for slot, sequence in enumerate(scheduler.slots):
        assert sequence is None or sequence.slot == slot
    assert step.length <= scheduler.context
    assert all(sequence.running for sequence in step.decode)
    assert all(sequence.held < step.length for sequence in scheduler.active)
    if chunk is not None:
        assert chunk.sequence not in step.decode
        assert 0 < len(chunk.tokens) <= chunk.size
        assert chunk.size in scheduler.chunk_sizes
        assert chunk.start + chunk.size <= step.length


def run_step(scheduler: Scheduler) -> Step:
    """Schedule and run one step with the stand-in model."""
    step = scheduler.schedule()
    check_step(scheduler, step)
    first = None
    if step.chunk is not None and step.chunk.last:
        first = token_of(step.chunk.sequence, 0)
    scheduler.postprocess(step, first, [token_of(s, len(s.generated)) for s in step.decode])
    return step


sequences = st.builds(
    Sequence,
    prompt=st.lists(st.integers(1, 9), min_size=1, max_size=CONTEXT - 1).map(tuple),
    max_tokens=st.integers(1, 80),
    stop_tokens=st.sampled_from([frozenset(), frozenset({STOP})]),
)


@settings(max_examples=150, deadline=None)
@given(
    slots=st.integers(1, 5),
    arrivals=st.lists(st.tuples(sequences, st.integers(0, 3)), min_size=1, max_size=12),
)
def test_everyone_is_served_as_if_alone(slots: int, arrivals: list[tuple[Sequence, int]]) -> None:
    """No sequence starves, no slot is lost, and each gets the tokens it would get alone."""
    scheduler = Scheduler(slots, CONTEXT, 100, CHUNKS)
    steps = 0
    for sequence, pause in arrivals:
        scheduler.add(sequence)
        for _ in range(pause):
            run_step(scheduler)
    while scheduler.busy:
        assert not run_step(scheduler).empty
        steps += 1
        assert steps < 12 * 2 * (CONTEXT + 1)
    assert scheduler.slots == [None] * slots
    for sequence, _ in arrivals:
        alone = Scheduler(1, CONTEXT, 1, CHUNKS)
        twin = Sequence(sequence.prompt, sequence.max_tokens, sequence.stop_tokens)
        alone.add(twin)
        while alone.busy:
            run_step(alone)
        assert sequence.generated == twin.generated
        assert sequence.finish_reason == twin.finish_reason
        assert len(sequence.prompt) + len(sequence.generated) <= CONTEXT + 1


@settings(max_examples=100, deadline=None)
@given(
    arrivals=st.lists(sequences, min_size=1, max_size=10),
    cancels=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=10),
)
def test_cancelling_at_any_moment_loses_nothing(
    arrivals: list[Sequence], cancels: list[tuple[int, bool]]
) -> None:
    """Cancelled while waiting, between steps or inside one: the slot is free, the others go on."""
    scheduler = Scheduler(2, CONTEXT, 100, CHUNKS)
    scheduler.add(*arrivals)
    for index, inside in cancels:
        victim = arrivals[index % len(arrivals)]
        if not inside:
            scheduler.cancel(victim)
        step = scheduler.schedule()
        check_step(scheduler, step)
        if inside:
            scheduler.cancel(victim)
            scheduler.cancel(victim)
        gained = scheduler.postprocess(step, 1, [1] * len(step.decode))
        assert all(sequence is not victim for sequence, _ in gained)
    while scheduler.busy:
        run_step(scheduler)
    assert scheduler.slots == [None, None]
    assert all(sequence.finish_reason is not None for sequence in arrivals)
    assert scheduler.cache_used_ratio == 0


@settings(max_examples=100, deadline=None)
@given(arrivals=st.lists(sequences, min_size=2, max_size=10))
def test_first_come_first_served(arrivals: list[Sequence]) -> None:
    """Slots are given in the order of arrival, and prompts computed in that order."""
    scheduler = Scheduler(2, CONTEXT, 100, CHUNKS)
    scheduler.add(*arrivals)
    admitted: list[Sequence] = []
    while scheduler.busy:
        chunk = scheduler.schedule().chunk
        for sequence in scheduler.active:
            if sequence not in admitted:
                admitted.append(sequence)
        if chunk is not None:
            waiting = [s for s in scheduler.active if not s.generated]
            assert chunk.sequence is waiting[0]
        run_step(scheduler)
    assert [id(s) for s in admitted] == [id(s) for s in arrivals]


def test_running_streams_get_a_token_in_every_step() -> None:
    """A long prompt is cut, and those that run go on with each of its chunks."""
    scheduler = Scheduler(2, CONTEXT, 4, CHUNKS)
    short, long = Sequence((1, 2), 50), Sequence((3,) * 40, 5)
    scheduler.add(short, long)
    run_step(scheduler)
    for done in range(5):
        before = len(short.generated)
        step = run_step(scheduler)
        assert step.chunk is not None
        assert step.chunk.start == done * 8
        assert len(short.generated) == before + 1


def test_queue_is_bounded() -> None:
    """Beyond free slots and queue nothing is taken, and a group is taken whole or not at all."""
    scheduler = Scheduler(2, CONTEXT, 3, CHUNKS)
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
    scheduler = Scheduler(1, CONTEXT, 3, CHUNKS)
    for size in (0, CONTEXT):
        with pytest.raises(ValueError, match="does not fit"):
            scheduler.add(Sequence((1,) * size, 2))
