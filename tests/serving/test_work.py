"""What a step is reckoned to compute and to read."""

from __future__ import annotations

from serving.sequence import Sequence
from serving.step import Chunk, Row, Step
from serving.work import Cost, Work

COST = Cost(
    layer_weights=100, layer_bytes=100, head_weights=10, head_bytes=10,
    attention_flops=4, position_bytes=8,
)  # fmt: skip


def make_step(chunks: tuple[Chunk, ...] = (), rows: tuple[Row, ...] = ()) -> Step:
    """A step that does nothing else."""
    batches = tuple((number,) for number in range(len(chunks)))
    return Step((), None, (), (), chunks, rows, 1, (), (), batches)


def test_a_prompt_in_two_chunks_is_the_prompt_but_for_reading_twice() -> None:
    """Operations do not depend on how a prompt is cut; weights are read once for each call."""
    sequence = Sequence(tuple(range(10)), 5)
    whole = COST.of(make_step((Chunk(sequence, 0, sequence.prompt, 32),)))
    first = COST.of(make_step((Chunk(sequence, 0, sequence.prompt[:6], 8),)))
    last = COST.of(make_step((Chunk(sequence, 6, sequence.prompt[6:], 8),)))
    # 10 tokens see 1 to 10 positions; one of them goes through the head.
    assert whole == Work(2 * (10 * 100 + 10) + 55 * 4, 100 + 10 + 10 * 8)
    assert first.flops + last.flops == whole.flops
    assert first.read_bytes + last.read_bytes == whole.read_bytes + 100 + 6 * 8


def test_rows_share_the_weights() -> None:
    """Two streams compute twice as much as one, and read the weights once."""
    rows = tuple(Row(Sequence((1, 2, 3), 5)) for _ in range(2))
    one, both = COST.of(make_step(rows=rows[:1])), COST.of(make_step(rows=rows))
    assert both.flops == 2 * one.flops == 2 * (2 * 110 + 3 * 4)
    assert both.read_bytes == one.read_bytes + 3 * 8 == 110 + 2 * 3 * 8
