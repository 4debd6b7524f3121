"""One model over several processes (hosts): one leads, the others do the same steps beside it.

Every process must dispatch the same programs in the same order, so the leader tells the others each
step before it computes it; results meet in the programs' own sums over devices. A process's life:

1. All join `jax.distributed` at the coordinator's address; from then on JAX shows all devices.
2. The others connect to the leader, one port above the coordinator's, and say which devices they
   have. The leader refuses to start when some host has fewer than another, and names it.
3. All load and compile the same model, and the leader waits until the others have. It serves; they
   repeat what it tells them.
4. When the leader goes, its connection closes and the others end. SIGTERM alone does not end them:
   the leader drains first.

What does not live here: how arrays are cut (`sharding`), what a step consists of (`step`).
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from serving.computed import Computed
from serving.request import Job, SamplingParams
from serving.runner import Runner
from serving.sequence import Sequence
from serving.settings import Settings
from serving.step import Chunk, Layout, Load, Row, Save, Step
from serving.vocabulary import CheckpointError

log = logging.getLogger("serving")

CONNECT_LIMIT_S = 300.0
_LENGTHS = struct.Struct("<II")  # bytes of JSON, bytes of arrays after it


def join(settings: Settings) -> None:
    """Become one of several processes; must come before anything that asks JAX for devices."""
    if settings.process >= settings.processes:
        raise CheckpointError(
            f"--process {settings.process} does not exist; --processes {settings.processes} count "
            "from 0."
        )
    if settings.processes == 1:
        return
    if not (settings.coordinator or "").rpartition(":")[2].isdecimal():
        raise CheckpointError("--processes needs --coordinator, the host:port of process 0.")
    jax.distributed.initialize(settings.coordinator, settings.processes, settings.process)


def _step_address(settings: Settings) -> tuple[str, int]:
    host, _, port = (settings.coordinator or "").rpartition(":")
    return host, int(port) + 1


# --- the wire -----------------------------------------------------------------------------------


def _send(link: socket.socket, message: dict[str, Any], arrays: list[np.ndarray]) -> None:
    text = json.dumps(message, separators=(",", ":")).encode()
    data = b"".join(np.ascontiguousarray(array, np.float32).tobytes() for array in arrays)
    link.sendall(_LENGTHS.pack(len(text), len(data)) + text + data)


def _read(link: socket.socket, size: int) -> bytes:
    """So many bytes; fewer where the other side has gone."""
    parts, left = [], size
    while left and (part := link.recv(min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _receive(link: socket.socket) -> tuple[dict[str, Any], np.ndarray] | None:
    """The next message with its numbers; None when the other side has gone."""
    head = _read(link, _LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    size, data = _LENGTHS.unpack(head)
    body = _read(link, size + data)
    if len(body) < size + data:
        return None
    return json.loads(body[:size]), np.frombuffer(body[size:], np.float32)


# --- steps as messages --------------------------------------------------------------------------


def encode_step(
    step: Step, jobs: Mapping[Sequence, Job]
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What `Runner.begin` needs of a step; of long answers only the length and the newest token."""
    chunked = {chunk.sequence for chunk in step.chunks}
    used = [*(load.sequence for load in step.loads), *chunked, *(row.sequence for row in step.rows)]
    number = {sequence: place for place, sequence in enumerate(dict.fromkeys(used))}
    sequences, arrays = [], []
    for sequence in number:
        job = jobs[sequence]
        whole = sequence.tokens if sequence in chunked else sequence.tokens[-1:]
        adjusted = job.adjustment is not None
        if job.adjustment is not None:
            arrays += [job.adjustment.repeat, job.adjustment.bias]
        sequences.append(
            {
                "slot": sequence.slot,
                "prompt": len(sequence.prompt),
                "length": len(sequence.tokens),
                "tokens": list(whole),
                "params": dataclasses.asdict(job.params),
                "adjusted": adjusted,
            }
        )
    return {
        "do": "run",
        "sequences": sequences,
        "saves": [[save.slot, save.blocks] for save in step.saves],
        "layout": step.layout and [step.layout.length, step.layout.slots],
        "source": step.source,
        "loads": [[number[load.sequence], load.places] for load in step.loads],
        "chunks": [[number[c.sequence], c.start, c.tokens, c.size] for c in step.chunks],
        "rows": [[number[row.sequence], row.draft] for row in step.rows],
        "width": step.width,
        "idle": step.idle,
        "batches": step.batches,
        "ahead": step.ahead,
    }, arrays


def _stand_in(found: dict[str, Any]) -> Sequence:
    """A sequence with the right length, newest token and slot; older tokens may be zeros."""
    tokens = [0] * (found["length"] - len(found["tokens"])) + found["tokens"]
    sequence = Sequence(tuple(tokens[: found["prompt"]]), found["length"], slot=found["slot"])
    sequence.tokens = tokens
    return sequence


def decode_step(message: dict[str, Any], numbers: np.ndarray) -> tuple[Step, dict[Sequence, Job]]:
    """The step and stand-ins for its jobs."""
    sequences = [_stand_in(found) for found in message["sequences"]]
    adjusted = sum(found["adjusted"] for found in message["sequences"])
    pairs = iter(numbers.reshape(adjusted, 2, -1) if adjusted else ())
    jobs = {}
    for sequence, found in zip(sequences, message["sequences"], strict=True):
        params = found["params"]
        params["logit_bias"] = tuple(map(tuple, params["logit_bias"]))
        adjustment: Any = None
        if found["adjusted"]:
            repeat, bias = next(pairs)
            adjustment = SimpleNamespace(repeat=repeat, bias=bias)
        # A follower makes no text, and nobody waits for it.
        no_text: Any = None
        jobs[sequence] = Job(
            sequence, SamplingParams(**params), no_text, lambda _: None, 0.0, adjustment=adjustment
        )
    step = Step(
        saves=tuple(Save(slot, tuple(map(tuple, blocks))) for slot, blocks in message["saves"]),
        layout=Layout(*message["layout"]) if message["layout"] else None,
        source=tuple(message["source"]),
        loads=tuple(Load(sequences[n], tuple(places)) for n, places in message["loads"]),
        chunks=tuple(
            Chunk(sequences[n], start, tuple(tokens), size)
            for n, start, tokens, size in message["chunks"]
        ),
        rows=tuple(Row(sequences[n], tuple(draft)) for n, draft in message["rows"]),
        width=message["width"],
        idle=tuple(map(tuple, message["idle"])),
        admitted=(),
        batches=tuple(map(tuple, message["batches"])),
        ahead=message["ahead"],
    )
    return step, jobs


# --- leading and following ----------------------------------------------------------------------


class LeadingRunner:
    """A runner whose every step the other processes do too."""

    def __init__(self, runner: Runner, links: tuple[socket.socket, ...]) -> None:
        """The links end with this process, before JAX waits for the others to end."""
        self._runner, self._links = runner, links
        atexit.register(self.close)

    def __getattr__(self, name: str) -> Any:
        """What tells of the runner, such as its limits."""
        return getattr(self._runner, name)

    def close(self) -> None:
        """Let the others go."""
        for link in self._links:
            link.close()

    def _tell(self, message: dict[str, Any], arrays: list[np.ndarray] | None = None) -> None:
        try:
            for link in self._links:
                _send(link, message, arrays or [])
        except OSError as error:
            # The next program would wait for ever for the devices of the one that is gone.
            log.critical("a process has gone (%s); ending, so that all are started anew", error)
            os._exit(1)

    def begin(self, step: Step, jobs: Mapping[Sequence, Job]) -> Computed:
        """Hand a step to the devices, everywhere."""
        self._tell(*encode_step(step, jobs))
        return self._runner.begin(step, jobs)

    def arrange(self, layout: Layout, source: tuple[int, ...]) -> None:
        """Copy the cache into another layout, everywhere."""
        self._tell({"do": "arrange", "layout": [layout.length, layout.slots], "source": source})
        self._runner.arrange(layout, source)

    def reset(self) -> None:
        """Empty caches, everywhere."""
        self._tell({"do": "reset"})
        self._runner.reset()


def _check_devices(hellos: list[dict[str, Any]]) -> None:
    """CheckpointError naming the host that has fewer devices than another."""
    most = max(len(hello["devices"]) for hello in hellos)
    for hello in hellos:
        log.info("process %d on %s: %s", hello["process"], hello["host"], hello["devices"])
        if len(hello["devices"]) < most:
            raise CheckpointError(
                f"process {hello['process']} on {hello['host']} has {len(hello['devices'])} "
                f"devices, others have {most}; its host needs a look before the model is served."
            )


def _hello(settings: Settings) -> dict[str, Any]:
    names = [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.local_devices()]
    return {"process": settings.process, "host": socket.gethostname(), "devices": names}


def gather(settings: Settings) -> list[socket.socket]:
    """The leader's links to all others; CheckpointError when one does not come or lacks devices."""
    links, hellos = [], [_hello(settings)]
    host, port = _step_address(settings)
    with socket.create_server((host, port)) as listener:
        listener.settimeout(CONNECT_LIMIT_S)
        while len(links) < settings.processes - 1:
            try:
                link, _ = listener.accept()
            except TimeoutError as error:
                raise CheckpointError(
                    f"{len(links) + 1} of {settings.processes} processes came to {host}:{port}."
                ) from error
            link.settimeout(CONNECT_LIMIT_S)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found = _receive(link)
            if found is not None:
                links.append(link)
                hellos.append(found[0])
    _check_devices(hellos)
    for link in links:
        link.settimeout(None)
    return links


def connect(settings: Settings) -> socket.socket:
    """A follower's link to the leader, which may not listen yet."""
    # JAX waits here until all processes have shown their devices, so it must come before waiting
    # for the leader, which does the same.
    hello = _hello(settings)
    end = time.monotonic() + CONNECT_LIMIT_S
    while True:
        try:
            link = socket.create_connection(_step_address(settings), CONNECT_LIMIT_S)
        except OSError as error:
            if time.monotonic() > end:
                raise CheckpointError(f"The leader does not listen: {error}.") from error
            time.sleep(0.2)
            continue
        link.settimeout(None)
        _send(link, hello, [])
        return link


def meet(settings: Settings) -> tuple[socket.socket, ...]:
    """Links to all followers for the leader, to the leader for a follower; none when alone."""
    if settings.processes == 1:
        return ()
    return tuple(gather(settings)) if settings.process == 0 else (connect(settings),)


def wait_for_all(settings: Settings, links: tuple[socket.socket, ...]) -> None:
    """Come back when every process has compiled its programs.

    The first product over devices gives up on a process that is not there within half a minute.
    """
    if settings.process > 0:
        _send(links[0], {"compiled": settings.process}, [])
    elif any(_receive(link) is None for link in links):
        raise CheckpointError("A process has gone before its programs were compiled.")


def follow(runner: Runner, link: socket.socket) -> int:
    """Repeat the leader's steps until it goes; how many there were."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    steps = 0
    while (found := _receive(link)) is not None:
        message, numbers = found
        if message["do"] == "run":
            runner.begin(*decode_step(message, numbers)).outputs()
            steps += 1
        elif message["do"] == "arrange":
            runner.arrange(Layout(*message["layout"]), tuple(message["source"]))
        else:
            runner.reset()
    log.info("the leader has gone after %d steps", steps)
    return steps
