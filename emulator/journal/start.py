"""A start with a state directory: open it, make its changes again, go on writing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emulator.journal.folder import Head, StateFolder
from emulator.journal.http import ChangingApps
from emulator.journal.replay import Replay
from emulator.settings import Settings
from emulator.wire.mount import Mount

if TYPE_CHECKING:
    from emulator.context import Cloud

_LOG = logging.getLogger("emulator")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a start found: changes made again, those answered otherwise, seconds that it took."""

    directory: str
    changes: int
    otherwise: int
    torn_bytes: int
    starts: int
    replay_s: float

    def body(self) -> dict[str, Any]:
        """For /healthz."""
        return {
            "directory": self.directory, "changes": self.changes, "otherwise": self.otherwise,
            "torn_bytes": self.torn_bytes, "starts": self.starts,
            "replay_s": round(self.replay_s, 3),
        }  # fmt: skip


def open_state(settings: Settings) -> StateFolder | None:
    """The state directory, if one is asked for.

    Raises:
        StateError: it cannot be used.
    """
    if settings.state_dir is None:
        return None
    head = Head(settings.scenario, settings.seed, time.time())
    return StateFolder(settings.state_dir, head, fresh=settings.fresh)


def go_on(
    cloud: Cloud, folder: StateFolder, mounts: Iterable[Mount], changing: ChangingApps
) -> Kept:
    """Bring the project to where the journal ends; from now on changes are written to it.

    Raises:
        StateError: the journal is damaged, or a file of it is missing.
    """
    began = time.monotonic()
    mounts = list(mounts)
    cloud.changes.serve(mounts)
    replay = Replay(cloud, mounts, changing.plain, changing.loop, folder.bodies)
    done = replay.run(folder.records())
    changing.bodies.keep_in(folder.bodies, done.files)
    turns = cloud.turns
    assert folder.journal is not None
    folder.journal.append({"kind": "start", "at": cloud.clock.now(), "speed": cloud.clock.speed})
    cloud.changes.journal = folder.journal
    cloud.on_stop(folder.close)
    kept = Kept(
        str(folder.path), done.changes, done.otherwise, folder.torn, turns.starts,
        time.monotonic() - began,
    )  # fmt: skip
    _tell(kept)
    return kept


def _tell(kept: Kept) -> None:
    if kept.torn_bytes:
        _LOG.warning(
            "journal: an unfinished record of %d bytes was cut off; no answer to it had left",
            kept.torn_bytes,
        )
    if kept.otherwise:
        _LOG.warning(
            "journal: %d of %d changes were answered otherwise than before",
            kept.otherwise, kept.changes,
        )  # fmt: skip
    if kept.starts:
        _LOG.info("journal: %d changes made again in %.2f s", kept.changes, kept.replay_s)
