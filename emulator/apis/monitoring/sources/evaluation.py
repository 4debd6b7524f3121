"""What a job writes that has the tiers solve tasks: a custom metric, no Google product's."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from emulator.apis.monitoring.block import Block
from emulator.apis.monitoring.columns import table
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.world.noise import Floats, Ints
from emulator.world.parts import Part

RESOURCE: Final = "generic_task"
JOB: Final = "answer-evaluation"


def solved_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """custom.googleapis.com/heartwood/evaluation/solved_ratio of every part with requests."""
    world = telemetry.world
    return [_block(telemetry, part) for part in world.parts if world.receives(part)]


def _block(telemetry: Telemetry, part: Part) -> Block:
    project = telemetry.cloud.project
    labels = table(
        1,
        resource={
            "project_id": project.id, "location": project.region, "namespace": part.tier,
            "job": JOB, "task_id": str(part.kind),
        },
        metric={"model_name": part.seed.model.name},
    )  # fmt: skip
    return Block(RESOURCE, labels, np.ones((1, 1)), partial(_basis, telemetry, part))


def _basis(telemetry: Telemetry, part: Part, minutes: Ints) -> Floats:
    return telemetry.world.solved(part, minutes)[None, :]
