"""Holds what an emulator recorded (`--record`) against Google's discovery documents.

Every emulator that a test starts records; at the end each answer with a 2xx status, and each
request that led to it, is checked here, whichever wire it took. Calls by gRPC are seen as the REST
calls that they stand for.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from google.api_core.path_template import transcode

from emulator.context import make_cloud
from emulator.server import load_apis
from emulator.settings import Settings
from emulator.wire.library import Method
from emulator.wire.mount import Mount
from tests.emulator.discovery import find_method, problems, request_problems
from tests.forked import without_main

# Prefix on the REST port → (start of the path below it, document), first that fits. Where the
# package ships no document (Cloud Quotas, Managed Lustre, IAM of old betas) nothing can be checked.
DOCUMENTS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "aiplatform": (("v1beta1/", "aiplatform.v1beta1"), ("v1/", "aiplatform.v1")),
    "artifactregistry": (("v1beta2/", "artifactregistry.v1beta2"), ("v1/", "artifactregistry.v1")),
    "billing": (("v1/", "cloudbilling.v1"),),
    "billingbudgets": (("v1/", "billingbudgets.v1"),),
    "bigquery": (("bigquery/v2/", "bigquery.v2"), ("upload/bigquery/v2/", "bigquery.v2")),
    "cloudresourcemanager": (
        ("v3/", "cloudresourcemanager.v3"), ("v1/", "cloudresourcemanager.v1"),
    ),
    "compute": (("compute/v1/", "compute.v1"),),
    "container": (("v1beta1/", "container.v1beta1"), ("v1/", "container.v1")),
    "iam": (("v1/", "iam.v1"),),
    "iamcredentials": (("v1/", "iamcredentials.v1"),),
    "logging": (("v2/", "logging.v2"),),
    "monitoring": (("v3/", "monitoring.v3"), ("v1/", "monitoring.v1")),
    "pubsub": (("v1/", "pubsub.v1"),),
    "parallelstore": (("v1/", "parallelstore.v1"),),
    "recommender": (("v1/", "recommender.v1"),),
    "redis": (("v1/", "redis.v1"),),
    "serviceusage": (("v1beta1/", "serviceusage.v1beta1"), ("v1/", "serviceusage.v1")),
    "storage": (("storage/v1/", "storage.v1"),),
    "tpu": (("v2/", "tpu.v2"),),
    "upload": (("upload/storage/v1/", "storage.v1"),),
    "resumable": (("resumable/upload/storage/v1/", "storage.v1"),),
}  # fmt: skip
# Numbers where the documents say string or enum: so Google's own libraries send them.
_VERSIONS: Final = (
    "artifactregistry.v1:artifactregistry.projects.locations.repositories.packages.versions"
)
_AS_GOOGLES_CLIENTS_SEND: Final = (
    f"{_VERSIONS}.get request: view=",
    f"{_VERSIONS}.list request: view=",
    "bigquery.v2:bigquery.jobs.query request: $.queryParameters[].parameterValue.value: ",
    "storage.v1:storage.objects.compose request: $.sourceObjects[].generation: ",
)
_ENUM: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_ANY: Final = re.compile(r"\[\d+\]")
_VARIABLE: Final = re.compile(r"\{([\w.]+)")


class Findings:
    """What was checked, and what was wrong with it."""

    def __init__(self) -> None:
        self.checked: set[str] = set()
        self.wrong: set[str] = set()
        self._seen: set[tuple[object, ...]] = set()

    def read(self, file: Path) -> None:
        """Check a recording; what has been seen before in the same shape is passed over."""
        with file.open(encoding="utf-8") as lines:
            self.check(json.loads(line) for line in lines if line.endswith("\n"))

    def check(self, exchanges: Iterable[Mapping[str, Any]]) -> None:
        """Check exchanges."""
        for exchange in exchanges:
            for call in _calls(exchange):
                self._check(*call)

    def _check(self, verb: str, address: str, asked: Any, answered: Any) -> None:
        path, _, query = address.partition("?")
        document, inner = find_document(path)
        method = find_method(document, verb, inner) if document else None
        if document is None:
            return
        if method is None:
            self.wrong.add(f"{document}: {verb} {inner} is no method")
            return
        name = f"{document}:{method['id']}"
        shape = (name, _names(query), _shape(asked), _shape(answered))
        if shape in self._seen:
            return
        self._seen.add(shape)
        self.checked.add(name)
        found = [f"request: {p}" for p in request_problems(document, method, query, asked)]
        if "response" in method and answered is not None:
            schema, numbers = method["response"]["$ref"], "enum-encoding" in query
            wrong = problems(document, schema, answered, numbers=numbers)
            found += [f"answer: {p}" for p in wrong]
        told = {_ANY.sub("[]", f"{name} {problem}") for problem in found}
        self.wrong |= {text for text in told if not text.startswith(_AS_GOOGLES_CLIENTS_SEND)}


def read_all(files: Sequence[Path]) -> Findings:
    """Check recordings, on all processors."""
    ordered = sorted(files, key=lambda file: file.stat().st_size)
    shares = [ordered[start :: os.cpu_count() or 1] for start in range(os.cpu_count() or 1)]
    whole = Findings()
    with without_main(), ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for checked, wrong in pool.map(_read_share, [share for share in shares if share]):
            whole.checked |= checked
            whole.wrong |= wrong
    return whole


def _read_share(files: Sequence[Path]) -> tuple[set[str], set[str]]:
    found = Findings()
    for file in files:
        found.read(file)
    return found.checked, found.wrong


def find_document(path: str) -> tuple[str | None, str]:
    """The document for a path on the REST port, and the path as the document has it."""
    head, _, rest = path.lstrip("/").partition("/")
    whole = f"{head}/{rest}"
    for start, document in DOCUMENTS.get(head, ()):
        for candidate in (rest, whole):
            if candidate.startswith(start):
                return document, candidate
    return None, path


def _names(query: str) -> frozenset[str]:
    return frozenset(part.partition("=")[0] for part in query.split("&"))


def _shape(body: Any) -> Any:
    """Which fields a body has, and what looks like an enum; lists as the shapes in them."""
    if isinstance(body, dict):
        return frozenset((k, _shape(v)) for k, v in body.items())
    if isinstance(body, list):
        return ("list", frozenset(_shape(v) for v in body))
    if isinstance(body, str) and _ENUM.fullmatch(body):
        return body
    return type(body).__name__


def _calls(exchange: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    if exchange["wire"] == "grpc":
        yield from _from_grpc(exchange)
        return
    if not 200 <= (exchange.get("status") or 0) < 300:
        return
    asked = _json(exchange.get("body")) if _is_json(exchange) else None
    verb = exchange["headers"].get("x-http-method-override", exchange["verb"])
    if verb == "PUT" and "upload/" in exchange["path"]:
        verb = "POST"  # the later parts of a resumable upload, of which the documents do not tell
    if "alt=media" not in exchange["path"] and "answer_bytes" not in exchange:
        yield verb, exchange["path"], asked, _json(exchange.get("answer"))


def _is_json(exchange: Mapping[str, Any]) -> bool:
    return "json" in exchange["headers"].get("content-type", "json")


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _from_grpc(exchange: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    found = _grpc_methods().get((exchange["service"], exchange["rpc"], exchange["host"]))
    if found is None:
        return
    prefix, method = found
    options = [
        {"method": r.verb.lower(), "uri": _camel_uri(r.uri), "body": _camel(r.body)}
        for r in method.rules
    ]
    options = [{k: v for k, v in o.items() if v} for o in options]
    try:
        call = transcode(options, None, **exchange["request"])
    except ValueError:
        return  # a method that REST does not offer, or a request that only gRPC can make
    query = "&".join(_flat(call.get("query_params", {})))
    address = f"{prefix}{call['uri']}?{query}"
    yield call["method"].upper(), address, call.get("body"), exchange["answer"]


@cache
def _grpc_methods() -> dict[tuple[str, str, str], tuple[str, Method]]:
    mounts = [m for m in load_apis(make_cloud(Settings())) if isinstance(m, Mount)]
    return {
        (method.service, method.rpc, method.host): (mount.prefix, method)
        for mount in mounts
        if not mount.rest_only
        for method in mount.methods()
        if method.rules
    }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _camel_uri(uri: str) -> str:
    return _VARIABLE.sub(lambda found: "{" + ".".join(map(_camel, found[1].split("."))), uri)


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            for item in value if isinstance(value, list) else [value]:
                text = str(item).lower() if isinstance(item, bool) else str(item)
                yield f"{prefix}{key}={quote(text, safe='')}"
