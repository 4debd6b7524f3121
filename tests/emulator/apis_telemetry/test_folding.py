"""Sums and means over very many series are the same whether one table is made or rows are added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.apis.monitoring.block import Block, Gap
from emulator.apis.monitoring.columns import table
from emulator.apis.monitoring.folding import REDUCERS, adds_up, fold
from emulator.apis.monitoring.reduce import reduce_numbers
from emulator.world.noise import Floats


@given(
    sizes=st.lists(st.integers(1, 2500), min_size=1, max_size=3),
    windows=st.integers(1, 5),
    groups=st.integers(1, 40),
    how=st.sampled_from(sorted(REDUCERS)),
    seed=st.integers(0, 999),
)
def test_folding_is_reducing(
    sizes: list[int], windows: int, groups: int, how: str, seed: int
) -> None:
    """Whatever the blocks, their gaps and the groups; a group without points has none."""
    random = np.random.default_rng(seed)
    minutes = np.arange(windows, dtype=np.int64)
    blocks = [
        Block(
            "k8s_node", table(size), random.random((size, 2)),
            lambda m: np.stack([np.ones(m.size), m * 1.0]),
            (Gap(random.random(size) < 0.3, 0.0, 1e12),),
        )
        for size in sizes
    ]  # fmt: skip

    def align(block: Block) -> Floats:
        values = block.coefficients @ block.basis(minutes)
        for gap in block.gaps:
            values[gap.rows] = np.nan
        return values

    group = np.unique(random.integers(0, groups, sum(sizes)), return_inverse=True)[1]
    count = int(group.max()) + 1
    whole = np.concatenate([align(b) for b in blocks])
    wanted = reduce_numbers(whole, group, count, how)
    for span in (None, (0.0, 10.0)):
        found = fold(blocks, align, group, (count, windows), how, span=span)
        assert found == pytest.approx(wanted, nan_ok=True)
    assert not adds_up(blocks, 10_000, "REDUCE_MAX")
