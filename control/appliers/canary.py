"""The verb of a canary: watch who takes the requests, write the weights back on harm.

The end of the watch is an instant that is fixed when the step starts, so that a restart in between
neither prolongs nor shortens it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from control.appliers.traffic import SetWeights
from control.appliers.verbs import Applier, Interrupted, Product, Report, TakenBack
from control.appliers.vertex import SetSplit
from core.actions import canary, shift_traffic, vertex_split
from core.canary import (
    Health,
    ModelMinute,
    Watch,
    both,
    health,
    model_health,
    read_watch,
)
from core.errors import Conflict, OpsError
from core.plans import Step
from core.records import Snapshot
from services.clients import Clients
from services.load_balancer_writes import LoadBalancerWrites
from services.model_series import ModelSeries
from services.vertex_writes import VertexWrites

_POLL_S: Final = 15.0  # as often as the load is read; points come once a minute
_MOST = timedelta(hours=1)  # of a model's series: what it did before says nothing of now

Minutes = Callable[[str, str, datetime, datetime], tuple[ModelMinute, ...]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class WatchTier:
    """canary.watch: its body says what is watched and what is written back."""

    def __init__(
        self,
        writers: Mapping[str, Applier],
        snapshot: Callable[[], Snapshot],
        now: Callable[[], datetime] = _utc_now,
        poll_s: float = _POLL_S,
        minutes: Minutes | None = None,
    ) -> None:
        """`writers`, by verb, write back; `snapshot` is the newest; `now` is UTC.

        `minutes` reads a deployed model's, as `services.model_series.ModelSeries.minutes`.
        """
        self._writers, self._snapshot, self._minutes = writers, snapshot, minutes
        self._now, self._poll_s = now, poll_s

    def start(self, step: Step) -> str:
        """Nothing is called; the operation is the watch with its end."""
        try:
            watch = read_watch(step.body)
        except (ValueError, KeyError, TypeError) as error:
            raise Conflict(f"the step names nothing to watch: {error}") from error
        until = self._now() + timedelta(seconds=watch.watch_s)
        return json.dumps({"until": until.isoformat(), "watch": watch.text})

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Look until the end; on harm write the weights back.

        Raises:
            TakenBack: the tier or the model was harmed, or at the end nobody could tell, and the
                weights are as they were before.
            OpsError: they could not be written back.
        """
        found = json.loads(operation)
        watch, until = read_watch(found["watch"]), datetime.fromisoformat(found["until"])
        said = ""
        while True:
            state, sentence = self._health(watch, until)
            if state is Health.HARMED or (state is Health.UNKNOWN and self._now() >= until):
                self._back(watch, sentence, report, stop)
            if self._now() >= until:
                return
            if sentence != said:
                report(f"{state.value}: {sentence}")
                said = sentence
            if stop.wait(self._poll_s):
                raise Interrupted

    def _health(self, watch: Watch, until: datetime) -> tuple[Health, str]:
        """The tier's, and where a model takes the requests also its own."""
        snapshot, now = self._snapshot(), self._now()
        of_tier = health(snapshot, watch.tier, watch.missed, now)
        if not watch.model or self._minutes is None:
            return of_tier
        since = max(until - timedelta(seconds=watch.watch_s), now - _MOST)
        try:
            minutes = self._minutes(watch.resource, watch.model, since, now)
        except OpsError as error:
            told = f"what {watch.model} answers is not known ({error.message}): judged by the tier"
            return both(of_tier, (Health.UNKNOWN, told))
        return both(of_tier, model_health(snapshot.spec(watch.tier), watch, minutes))

    def _back(self, watch: Watch, why: str, report: Report, stop: threading.Event) -> None:
        report(f"written back, since {why}")
        step = Step(
            verb=watch.verb,
            resource=watch.resource,
            title="Write the first weights back",
            before=watch.now,
            after=watch.back,
            expected_s=None,
            expected_source="",
            command="",
        )
        writer = self._writers[watch.verb]
        writer.wait(writer.start(step), report, stop)
        told = writer.verify(step, stop)
        raise TakenBack(f"{why}; so the weights were written back: {told}")

    def verify(self, step: Step, stop: threading.Event) -> str:
        """It came to its end without harm."""
        return f"{step.after['watched']} was not harmed in {step.after['minutes']} min"


def build(clients: Clients, snapshot: Callable[[], Snapshot]) -> Product:
    """The verb, over that cloud's load balancer and endpoints."""
    writers: Mapping[str, Applier] = {
        shift_traffic.VERB: SetWeights(LoadBalancerWrites(clients)),
        vertex_split.VERB: SetSplit(VertexWrites(clients)),
    }
    watcher = WatchTier(writers, snapshot, minutes=ModelSeries(clients).minutes)
    return Product({canary.VERB: watcher})
