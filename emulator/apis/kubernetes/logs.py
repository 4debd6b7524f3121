"""Logs of containers: lines that follow from what the pod is and when it began.

A server's log holds its start, that it loads its weights and how long that took, and the kubelet's
health probes, which answer as the pod is; what requests it serves is the telemetry's business. A
container without a probe writes nothing that the emulator could know. Of a container that is a
process of this machine it is what that wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from emulator.apis.kubernetes.status import StatusError, bad_request
from emulator.apis.kubernetes.store import Item
from emulator.clock import rfc3339
from emulator.local_pods import processes
from emulator.scenario import TIER_LABEL

# What a server that crashes says last.
_LAST_WORDS: Final = "ERROR RESOURCE_EXHAUSTED: out of HBM while allocating KV pages; exiting"
_KEPT: Final = 5_000  # lines: a kubelet rotates a container's log at 10 MiB


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is asked for; None is no bound."""

    container: str
    follow: bool
    tail: int | None
    since: float | None
    limit_bytes: int | None
    timestamps: bool
    previous: bool


def read_options(query: Mapping[str, str], pod: Item, now: float) -> LogOptions:
    """The options of a request.

    Raises:
        StatusError: 400, one has no legal value, or the container is not clear.
    """
    since: float | None = None
    if (seconds := _number(query, "sinceSeconds")) is not None:
        since = now - seconds
    elif text := query.get("sinceTime"):
        since = moment(text)
        if since is None:
            raise bad_request(f"invalid sinceTime {text[:40]!r}")
    return LogOptions(
        container=_container(pod, query.get("container", "")),
        follow=query.get("follow") in ("true", "1"),
        tail=_number(query, "tailLines"),
        since=since,
        limit_bytes=_number(query, "limitBytes"),
        timestamps=query.get("timestamps") in ("true", "1"),
        previous=query.get("previous") in ("true", "1"),
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        cause = {"reason": "FieldValueInvalid", "message": "must be a number, not negative",
                 "field": name}  # fmt: skip
        text = f"PodLogOptions is invalid: {name}: Invalid value: must be >= 0"
        raise StatusError(422, "Invalid", text, causes=[cause])
    return int(text)


def _container(pod: Item, asked: str) -> str:
    spec = pod.body["spec"]
    names = [c["name"] for c in (*(spec.get("initContainers") or ()), *spec["containers"])]
    if asked:
        if asked not in names:
            raise bad_request(f"container {asked[:63]} is not valid for pod {pod.name}")
        return asked
    if len(names) > 1:
        told = " ".join(names)
        raise bad_request(
            f"a container name must be specified for pod {pod.name}, choose one of: [{told}]"
        )
    return str(names[0])


def moment(text: Any) -> float | None:
    """Unix seconds of a time in an object; None for none."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def log_lines(pod: Item, options: LogOptions, until: float) -> list[tuple[float, str]]:
    """(Unix seconds, line) of a container's log up to a moment, oldest first.

    Raises:
        StatusError: 400, the container has not begun, or has no earlier run.
    """
    if options.previous and not _last_run(pod, options.container):
        told = f'previous terminated container "{options.container}" in pod "{pod.name}" not found'
        raise bad_request(told)
    found = processes.written(str(pod.body["metadata"].get("uid")), _run_number(pod, options))
    if found is None:
        found = _made_up(pod, options, until)
    if options.since is not None:
        found = [line for line in found if line[0] >= options.since]
    return found if options.tail is None else found[max(0, len(found) - options.tail) :]


def _run_number(pod: Item, options: LogOptions) -> int:
    """How often the container had been started before the run that is asked for."""
    for one in pod.body.get("status", {}).get("containerStatuses") or ():
        if one.get("name") == options.container:
            return int(one.get("restartCount", 0)) - options.previous
    return 0


def _made_up(pod: Item, options: LogOptions, until: float) -> list[tuple[float, str]]:
    """What a container that nothing stands behind would have written."""
    began, ended = _run_of(pod, options.container, previous=options.previous)
    if began is None:
        raise bad_request(
            f'container "{options.container}" in pod "{pod.name}" is waiting to start: '
            "ContainerCreating"
        )
    written = _written(pod, options.container, began, min(until, ended))
    found = sorted(written, key=itemgetter(0))
    last = _last_run(pod, options.container)
    serves = TIER_LABEL in (pod.body["metadata"].get("labels") or {})
    if serves and last and moment(last.get("finishedAt")) == ended <= until:
        found.append((ended, _LAST_WORDS))
    return found


def _last_run(pod: Item, container: str) -> Mapping[str, Any]:
    """How a container's run before this one ended; empty when there was none."""
    for one in pod.body.get("status", {}).get("containerStatuses") or ():
        if one.get("name") == container:
            return (one.get("lastState") or {}).get("terminated") or {}
    return {}


def _run_of(pod: Item, container: str, *, previous: bool = False) -> tuple[float | None, float]:
    """When the container began and ended; infinity while it runs.

    While it waits to be started again, and where the `previous` one is asked for: the last run.
    """
    last = _last_run(pod, container)
    waits = any(
        one.get("name") == container and "waiting" in (one.get("state") or {})
        for one in pod.body.get("status", {}).get("containerStatuses") or ()
    )
    if last and (previous or waits):
        return moment(last.get("startedAt")), moment(last.get("finishedAt")) or math.inf
    status = pod.body.get("status", {})
    both = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    for one in both:
        if one.get("name") != container:
            continue
        state = one.get("state") or {}
        if "running" in state:
            return moment(state["running"].get("startedAt")), math.inf
        if "terminated" in state:
            over = state["terminated"]
            return moment(over.get("startedAt")), moment(over.get("finishedAt")) or math.inf
    return None, math.inf


def _written(pod: Item, name: str, began: float, until: float) -> Iterator[tuple[float, str]]:
    spec = pod.body["spec"]
    both = (*(spec.get("initContainers") or ()), *spec["containers"])
    container = next(c for c in both if c["name"] == name)
    probe = container.get("readinessProbe") or container.get("livenessProbe") or {}
    if not probe.get("httpGet"):
        return
    args = " ".join([*(container.get("command") or ()), *(container.get("args") or ())])
    start = f"INFO {container['image']} starting" + (f" with {args}" if args else "")
    period = max(1, int(probe.get("periodSeconds") or 10))
    first = began + int(probe.get("initialDelaySeconds") or 0)
    count = max(0, int((until - first) // period))
    skipped = max(0, count - _KEPT)
    ready_at = _ready_at(pod)
    if not skipped and began <= until:
        yield began, start
    if TIER_LABEL in (pod.body["metadata"].get("labels") or {}):
        kept = first + skipped * period if skipped else began
        yield from _weights(container, began, ready_at, kept, until)
    path, host = probe["httpGet"].get("path", "/"), pod.body["status"].get("hostIP", "127.0.0.1")
    for index in range(skipped + 1, count + 1):
        at = first + index * period
        answer = "200 OK" if at >= ready_at else "503 Service Unavailable"
        yield at, f'INFO {host} - "GET {path} HTTP/1.1" {answer}'


def _weights(
    container: Mapping[str, Any], began: float, ready_at: float, kept: float, until: float
) -> Iterator[tuple[float, str]]:
    """What a server of a tier says of its weights, as far as that is kept and was said by then."""
    model = next((a for a in container.get("args") or () if a.startswith("--model=")), "")
    if kept <= began <= until:
        yield began, f"INFO Loading weights of {model.removeprefix('--model=')}"
    if kept <= ready_at <= until:
        yield ready_at, f"INFO Loading weights took {ready_at - began:.2f} seconds"


def _ready_at(pod: Item) -> float:
    for condition in pod.body.get("status", {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return moment(condition.get("lastTransitionTime")) or 0.0
    return math.inf


def as_text(lines: list[tuple[float, str]], options: LogOptions) -> str:
    """The answer's body."""
    shown = (
        f"{rfc3339(at, 'microseconds')} {line}" if options.timestamps else line
        for at, line in lines
    )  # fmt: skip
    text = "".join(f"{line}\n" for line in shown)
    if options.limit_bytes is None:
        return text
    return text.encode()[: options.limit_bytes].decode(errors="ignore")
