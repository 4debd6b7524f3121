"""Sends a recorded rehearsal to an emulator, as gcloud, bq and kubectl sent it."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from rehearsal.recording import RECORDING, WORD

_PLACE: Final = re.compile(r"\{\{([\w-]+)\}\}")
_WATCHING: Final = re.compile(
    r"(?<=[?&])(?:watch|resourceVersion|timeoutSeconds|timeout|allowWatchBookmarks)=[^&]*&?"
)
_WAIT_S: Final = 15.0


@dataclass(slots=True)
class Replay:
    """One replay.

    Attributes:
        url: the emulator's REST address. names: what stands for placeholders by now; certificate
            and privateKey have to be given, as PEM.
        wrong: answers with another status than the recorded one, and waits that did not end.
        sent: requests so far, polls counted once.
    """

    url: str
    names: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    sent: int = 0

    def run(self, lines: Iterator[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
        """Send every request; yields (step, the answer's body) for each."""
        step = ""
        self.names["host"] = self.url.removeprefix("http://")
        with httpx.Client(base_url=self.url, timeout=30) as client:
            for line in lines:
                if "step" in line:
                    step = line["step"]
                    continue
                yield step, self._send(client, step, line)

    def _send(self, client: httpx.Client, step: str, line: Mapping[str, Any]) -> Any:
        self.sent += 1
        path = self._filled(line["path"])
        if "watch=" in path:
            return self._watched(client, step, line, path)
        end = time.monotonic() + _WAIT_S
        while True:
            answer = client.request(
                line["verb"], path, content=self._body(line), headers=line.get("headers")
            )
            body = _json(answer)
            # Commands ask again until something is there, or gone; the last answer is recorded.
            answered = line["verb"] != "GET" or answer.status_code == line["status"]
            if (answered and _reached(line.get("until"), body)) or time.monotonic() > end:
                break
            time.sleep(0.05)
        if answer.status_code != line["status"] or not _reached(line.get("until"), body):
            self.wrong.append(
                f"{step}: {line['verb']} {path}: {answer.status_code}, recorded {line['status']}"
                f" {line.get('until', '')}: {answer.text[:300]}"
            )
        self._take(line, {"body": body, "location": answer.headers.get("location")})
        return body

    def _watched(self, client: httpx.Client, step: str, line: Mapping[str, Any], path: str) -> None:
        """Open the watch, then look at the same list until it is as the watch saw it at last."""
        with client.stream("GET", path, headers=line.get("headers")) as answer:
            status = answer.status_code
        plain = _WATCHING.sub("", path)
        end = time.monotonic() + _WAIT_S
        reached = False
        while not reached and time.monotonic() < end:
            reached = _settled(line.get("until"), client.get(plain).json().get("items", []))
            if not reached:
                time.sleep(0.05)
        if status != line["status"] or not reached:
            self.wrong.append(f"{step}: watch {path}: {status}, {line.get('until')} not reached")

    def _filled(self, text: str) -> str:
        return _PLACE.sub(lambda found: self._value(found[1]), text)

    def _value(self, name: str) -> str:
        if name.startswith("now"):
            moment = datetime.now(UTC) - timedelta(seconds=int(name[4:] or 0))
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.names[name]

    def _body(self, line: Mapping[str, Any]) -> bytes | None:
        if "body_base64" in line:
            return base64.b64decode(line["body_base64"])
        return self._filled(line["body"]).encode() if "body" in line else None

    def _take(self, line: Mapping[str, Any], answer: Any) -> None:
        for name, path, part in line.get("take", ()):
            node = answer
            for key in path:
                try:
                    node = node[key]
                except (KeyError, IndexError, TypeError):
                    node = ""
                    break
            words = [node] if part is None else WORD.findall(node)
            number = part or 0
            self.names[name] = words[number] if number < len(words) else ""


def read_recording(file: Path = RECORDING) -> Iterator[dict[str, Any]]:
    """The lines."""
    for line in file.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _reached(until: Mapping[str, Any] | None, body: Any) -> bool:
    if until is None:
        return True
    return isinstance(body, dict) and all(body.get(k) == v for k, v in until.items())


def _settled(until: Mapping[str, Any] | None, items: list[Any]) -> bool:
    if until is None:
        return True
    if until.get("gone"):
        return not items
    wanted = until["status"]
    return any(all((i.get("status") or {}).get(k) == v for k, v in wanted.items()) for i in items)
