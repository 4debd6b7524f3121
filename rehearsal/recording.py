"""Makes a recording that can be replayed out of what an emulator noted of a rehearsal.

A line per request: verb, path, body and the status of its answer, in the order of the answers, with
a line `{"step": …}` before each step. What differs from run to run is told as a placeholder:

- `{{3}}`: a word that came in an earlier answer; that answer's line says where (`take`);
- `{{host}}`: where the emulator listens; `{{now}}`, `{{now-1200}}`: times of a query;
- `{{certificate}}` and `{{privateKey}}`: a pair made for the replay.

Polls become one request with what to wait for (`until`); kubectl's repeated questions about which
kinds there are are kept once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

RECORDING: Final = Path(__file__).with_name("recorded.jsonl")
# Words as they stand in names, versions, times and marks.
WORD: Final = re.compile(r"[\w.=+-]+")
# Fields whose values are taken whole: base64 has slashes.
_WHOLE: Final = frozenset({"etag", "fingerprint", "labelFingerprint"})
_HOST: Final = re.compile(r"(?:127\.0\.0\.1|localhost):\d+")
_PEM: Final = re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----(?:\\n)?", re.DOTALL)
_TIME: Final = re.compile(r"(interval\.(start|end)Time=)[^&]+")
_KINDS: Final = re.compile(r"/k8s/[^/]+/[^/]+/[^/]+/(?:apis?(?:/[^/]+){0,2}|openapi/.+|version)")
# Of a watched object's state, what does not differ from run to run.
_STATE: Final = ("phase", "replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
_KEPT_HEADERS: Final = frozenset({"content-type", "accept", "content-range", "range"})


def condense(raw: Path, steps: Sequence[tuple[str, int]], to: Path) -> None:
    """Write the recording; `steps` are titles with the number of raw lines up to their ends."""
    lines = [json.loads(line) for line in raw.read_text(encoding="utf-8").splitlines()]
    bounds: dict[int, str] = {}
    for title, end in steps:
        bounds.setdefault(sum(1 for x in lines[:end] if _kept(x)), title)
    exchanges = [_request(line) for line in lines if _kept(line)]
    answers = [_answer(line) for line in lines if _kept(line)]
    _place(exchanges, answers)
    out: list[str] = []
    pending: list[dict[str, Any]] = []
    for number, exchange in enumerate(exchanges, 1):
        pending.append(exchange)
        if number in bounds:
            out.append(json.dumps({"step": bounds[number]}))
            out += [json.dumps(e, separators=(",", ":")) for e in _fewer(pending, out)]
            pending = []
    to.write_text("\n".join(out) + "\n", encoding="utf-8")


def _kept(line: dict[str, Any]) -> bool:
    return line["wire"] == "rest" and line["path"] not in ("/healthz", "/metrics")


def _request(line: dict[str, Any]) -> dict[str, Any]:
    headers = {
        k: v for k, v in line["headers"].items()
        if (k in _KEPT_HEADERS or k.startswith("x-")) and v != "*/*"
    }  # fmt: skip
    body = line.get("body")
    if body is not None and "sslCertificates" in line["path"]:
        body = _PEM.sub(lambda found: _pem(found[0]), body)
    found = {
        "verb": line["verb"],
        "path": _TIME.sub(lambda f: f[1] + ("{{now-1200}}" if f[2] == "start" else "{{now}}"),
                          _HOST.sub("{{host}}", line["path"])),
        "headers": headers or None,
        "body": _HOST.sub("{{host}}", body) if body is not None else None,
        "body_base64": line.get("body_base64"),
        "status": line["status"],
        "until": _until(line),
    }  # fmt: skip
    return {k: v for k, v in found.items() if v is not None}


def _pem(text: str) -> str:
    return "{{privateKey}}" if "PRIVATE KEY" in text else "{{certificate}}"


def _answer(line: dict[str, Any]) -> Any:
    try:
        body = json.loads(line.get("answer") or "null")
    except ValueError:
        body = None
    return {"body": body, "location": line.get("location")}


def _until(line: dict[str, Any]) -> dict[str, Any] | None:
    """What a poll or a watch waited for, if this was the last of it."""
    waits = line["verb"] == "GET" or line["path"].partition("?")[0].endswith("/wait")
    if not waits or line["status"] != 200 or not line.get("answer"):
        return None
    if "watch=" in line["path"]:
        event = json.loads(line["answer"].strip().splitlines()[-1])
        if event["type"] == "DELETED":
            return {"gone": True}
        status = event["object"].get("status") or {}
        return {"status": {k: status[k] for k in _STATE if k in status}}
    if not line["answer"].startswith("{"):
        return None
    body = json.loads(line["answer"])
    for field, value in (("done", True), ("status", "DONE")):
        if body.get(field) == value:
            return {field: value}
    return None


def leaves(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """All texts in an answer, each with the keys that lead to it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from leaves(value, (*path, number))
    elif isinstance(node, str):
        yield path, node


def _place(exchanges: list[dict[str, Any]], answers: list[Any]) -> None:
    """Put placeholders for words that the cloud said first and a request says later."""
    texts = [f"{e['path']}\n{e.get('body', '')}" for e in exchanges]
    first: dict[str, int] = {}
    for number, text in enumerate(texts):
        for word in WORD.findall(text):
            first.setdefault(word, number)
    known: dict[str, str] = {}
    for number, answer in enumerate(answers):
        for path, text in leaves(answer):
            for part, word in _words(path, text):
                said = first.get(word, -1) if part is not None else _find(texts, word)
                if said > number and word not in known:
                    take = [str(len(known)), list(path), part]
                    exchanges[number].setdefault("take", []).append(take)
                    known[word] = f"{{{{{take[0]}}}}}"
    for exchange in exchanges:
        for field in ("path", "body"):
            if field in exchange:
                for word in sorted(known, key=len, reverse=True):
                    exchange[field] = exchange[field].replace(word, known[word])


def _words(path: tuple[Any, ...], text: str) -> Iterator[tuple[int | None, str]]:
    """The words of a text that may differ from run to run, with their numbers; None: all of it."""
    if path[-1] in _WHOLE:
        yield None, text
        return
    for number, word in enumerate(WORD.findall(text)):
        if len(word) >= 8 and any(c.isdigit() for c in word):
            yield number, word


def _find(texts: list[str], word: str) -> int:
    return next((n for n, text in enumerate(texts) if word in text), -1)


def _fewer(exchanges: list[dict[str, Any]], before: list[str]) -> list[dict[str, Any]]:
    """Without what was asked just before, and without questions about kinds asked before."""
    told = "\n".join(before)
    found: list[dict[str, Any]] = []
    for exchange in exchanges:
        same = found and _what(found[-1]) == _what(exchange)
        if exchange["verb"] == "GET" and _KINDS.fullmatch(exchange["path"].partition("?")[0]):
            mark = json.dumps(exchange["path"])
            if mark in told or any(e["path"] == exchange["path"] for e in found):
                continue
        if exchange["verb"] == "GET" and same and "take" not in found[-1]:
            found.pop()
        found.append(exchange)
    return found


def _what(exchange: dict[str, Any]) -> tuple[str, str]:
    return exchange["verb"], exchange["path"]
