"""Requests that nobody should send: built along the messages' own fields, so that they get far.

Everything follows from one random.Random: the same seed gives the same request.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from emulator.apis.vertex.model import numeric_id
from emulator.wire.codec import plain
from emulator.wire.library import HttpRule

_P: Final = "projects/heartwood-demo"
_L: Final = f"{_P}/locations/us-central1"
# Parts of names that exist, so that some requests find something.
SEGMENTS: Final = (
    "heartwood-demo", "us-central1", "us-central1-b", "us-central1-c", "hw-serving", "hw-small-00",
    "hw-small", "hw-medium", "hw-small-neg", "hw-dev-00", "heartwood-demo-weights", "global", "-",
    "hw-net", "hw-subnet", "hw-ready", "billing_export", "default", "482910573316", "nodes",
    "container.googleapis.com", "01A2B3-C4D5E6-F7A8B9", "%2F", "%00", "..", "é", "0", "a" * 3000,
)  # fmt: skip
# Names that exist, by the collection before them.
_EXISTING: Final = {
    "projects": ("heartwood-demo", "heartwood-demo", "482910573316"),
    "locations": ("us-central1", "us-central1", "us-central1-b", "global", "-"),
    "zones": ("us-central1-c", "us-central1-b"), "regions": ("us-central1",),
    "clusters": ("hw-serving",), "nodePools": ("hw-small-00", "hw-medium-01", "hw-system"),
    "nodes": ("hw-dev-00", "new"), "networks": ("hw-net",), "subnetworks": ("hw-subnet",),
    "firewalls": ("hw-allow-probes",), "healthChecks": ("hw-ready",),
    "backendServices": ("hw-small", "hw-medium"), "urlMaps": ("hw-serving",),
    "targetHttpsProxies": ("hw-serving",), "forwardingRules": ("hw-serving",),
    "sslCertificates": ("hw-serving-cert",), "addresses": ("hw-serving-ip",),
    "networkEndpointGroups": ("hw-small-neg",), "resourcePolicies": ("hw-medium-2x2x4",),
    "machineTypes": ("tpu7x-standard-4t",), "acceleratorTypes": ("v6e-8",),
    "serviceAccounts": ("hw-nodes@heartwood-demo.iam.gserviceaccount.com",),
    "services": ("container.googleapis.com", "tpu.googleapis.com"), "roles": ("viewer", "mine"),
    "quotaInfos": ("TPUS-PER-TPU-FAMILY-per-project-region",), "sinks": ("_Default", "mine"),
    "buckets": ("_Default",), "billingAccounts": ("01A2B3-C4D5E6-F7A8B9",),
    "endpoints": (numeric_id("endpoint", "small"),), "models": (numeric_id("model", "small"),),
    "b": ("heartwood-demo-weights",), "datasets": ("billing_export",), "namespaces": ("default",),
    "runtimeVersions": ("v2-alpha-tpuv6e",), "organizations": ("738291046512",),
}  # fmt: skip
_REAL: Final = 0.85
TEXTS: Final = (
    "", " ", "\x00", "é\ud7ff", "a" * 70_000, "-1", "true", "null", "[", "{", "(", '"', "'", "\\",
    "a=b", 'name="x"', "labels.a:*", "NOT", "a AND", "state=ENABLED", "create_time desc",
    'metric.type="kubernetes.io/node/accelerator/duty_cycle"', "metric.type=", 'resource.type = "',
    "2026-01-01T00:00:00Z", "9999-99-99", "3.5s", "1e400", "10.0.0.0/8", "300.1.1.1",
    "tpu7x-standard-4t",
    "4x4x4", "2x2x1", "v6e-8", "roles/viewer", "user:a@b.c", "allUsers", "gs://x/y", _P, _L,
    f"{_L}/clusters/hw-serving", f"{_L}/clusters/hw-serving/nodePools/hw-small-00",
    f"{_P}/locations/us-central1-b", f"{_P}/locations/us-central1-b/nodes/hw-dev-00",
    f"{_P}/serviceAccounts/hw-nodes@heartwood-demo.iam.gserviceaccount.com",
    f"{_P}/services/container.googleapis.com", "organizations/738291046512", "projects/other",
    f"https://www.googleapis.com/compute/v1/{_P}/global/healthChecks/hw-ready",
    f"{_P}/metricDescriptors/x",
    "billingAccounts/01A2B3-C4D5E6-F7A8B9", f"{_L}/endpoints/1", f"{_L}/models/1@default",
)  # fmt: skip
NUMBERS: Final = (
    0,
    1,
    -1,
    2,
    17,
    100,
    2**31 - 1,
    -(2**31),
    2**31,
    2**63 - 1,
    -(2**63),
    2**64,
    10**30,
)
_DEEP: Final = 5


def path(rng: Wild, template: str) -> str:
    """A URI template with each wildcard replaced by a name, existing or not."""
    while "{" in template:
        before, rest = template.split("{", 1)
        inside, after = rest.split("}", 1)
        template = before + (inside.partition("=")[2] or "*") + after
    parts: list[str] = []
    for part in template.replace("**", "*").split("/"):
        known = _EXISTING.get(parts[-1] if parts else "", ())
        choice = known if known and rng.random() < _REAL else SEGMENTS
        parts.append(part.replace("*", rng.choice(choice).replace("*", "")))
    return "/".join(parts)


def named(rng: Wild, uri: str) -> dict[str, str]:
    """Values for the fields that a URI template names, as the paths of REST hold them."""
    found: dict[str, str] = {}
    for before, inside in re.findall(r"([^{]*)\{([^}]*)\}", uri):
        name, _, template = inside.partition("=")
        collection = before.rstrip("/").rpartition("/")[2]
        filled = path(rng, template or f"{collection}/*")
        found[name] = filled if template else filled.partition("/")[2]
    return found


def value(rng: Wild, field: FieldDescriptor, depth: int) -> Any:
    """A value for a field, of the right type more often than not."""
    wild = rng.wildness > rng.random()
    if wild and rng.random() < 0.5:
        return anything(rng, 3)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _message(rng, field.message_type, depth)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == FieldDescriptor.TYPE_ENUM:
        names = [v.name for v in field.enum_type.values][:40]
        return rng.choice([99_999, -1, "BOGUS"]) if wild else rng.choice(names)
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return rng.choice(["NaN", "Infinity", 1e300] if wild else [0.0, -1.5, 0.5, 1.0])
    if field.type == FieldDescriptor.TYPE_STRING:
        if field.name in _OFTEN_EMPTY and rng.random() < 0.8:
            return ""
        return rng.choice(TEXTS) if rng.random() < 0.7 else rng.choice(SEGMENTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.choice(["", "AAAA", "****", "BwY="])
    return rng.choice(NUMBERS if wild else NUMBERS[:6])


_OFTEN_EMPTY: Final = frozenset({"page_token", "filter", "order_by", "etag", "request_id"})
# Texts of the well-known types; the first ones are right.
_STAMPS: Final = ("2026-11-20T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "x")
_SPANS: Final = ("60s", "0s", "-5s", "0.5s", "315576000000s", "x")
_MASKS: Final = ("name", "labels", "displayName,labels", "", "*", "a.b.c", "x" * 300)


class Wild(Random):
    """Chance that also says how wild a request is: the share of fields of no right type."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.wildness = self.choice([0.0, 0.0, 0.02, 0.1, 0.3])


def _message(rng: Wild, descriptor: Descriptor, depth: int) -> Any:
    name = descriptor.full_name
    if name == "google.protobuf.Timestamp":
        return rng.choice(_STAMPS if rng.wildness else _STAMPS[:3])
    if name == "google.protobuf.Duration":
        return rng.choice(_SPANS if rng.wildness else _SPANS[:4])
    if name == "google.protobuf.FieldMask":
        return rng.choice(_MASKS if rng.wildness else _MASKS[:3])
    if name in ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.Any"):
        return anything(rng, 3)
    return body(rng, descriptor, depth + 1)


def body(rng: Wild, descriptor: Descriptor, depth: int = 0) -> dict[str, Any]:
    """A JSON body along a message's fields."""
    fields = list(descriptor.fields)
    share = 0.5 if depth < 2 else 0.2
    chosen = [f for f in fields if rng.random() < share] if depth < _DEEP else []
    found: dict[str, Any] = {}
    for field in chosen[:12]:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            kind = field.message_type.fields_by_name["value"]
            found[field.json_name] = {rng.choice(SEGMENTS): value(rng, kind, depth)}
        elif field.is_repeated:
            found[field.json_name] = [value(rng, field, depth) for _ in range(rng.randrange(3))]
        else:
            found[field.json_name] = value(rng, field, depth)
    if rng.random() < rng.wildness / 2:
        found[rng.choice(["bogus", "", "é", "name"])] = anything(rng, 2)
    return found


def anything(rng: Wild, depth: int) -> Any:
    """Any JSON at all."""
    kind = rng.randrange(8 if depth else 5)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind <= 3:
        return rng.choice(TEXTS)
    if kind == 4:
        return rng.choice([0.5, -1e300])
    if kind == 5:
        return [anything(rng, depth - 1) for _ in range(rng.randrange(3))]
    if kind == 6:
        return {rng.choice(SEGMENTS): anything(rng, depth - 1)}
    nested: Any = 1
    for _ in range(rng.choice([3, 50, 2000])):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    return nested


def raw_json(rng: Wild, descriptor: Descriptor | None) -> bytes:
    """A REST body: along the message, any JSON, or no JSON at all."""
    dice = rng.random() if rng.wildness else 1.0
    if dice < 0.08:
        return rng.randbytes(rng.randrange(40))
    if dice < 0.12:
        return b"[" * 20_000
    if dice < 0.2 or descriptor is None:
        return _dump(anything(rng, 3))
    return _dump(body(rng, descriptor))


def _dump(found: Any) -> bytes:
    try:
        return json.dumps(found).encode()
    except RecursionError:
        return b"{"


def raw_message(rng: Wild, kind: type[Any], rules: Sequence[HttpRule]) -> bytes:
    """A gRPC request: a message filled at random, damaged at times, or bytes alone."""
    if rng.random() < rng.wildness:
        return rng.randbytes(rng.randrange(60))
    message: Message = plain(kind())
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.6:
            _set(rng, message, field)
    if rules and rng.random() < _REAL:
        for name, text in named(rng, rng.choice(rules).uri).items():
            _put(message, name.split("."), text)
    data = message.SerializeToString()
    if data and rng.random() < rng.wildness:
        place = rng.randrange(len(data))
        data = data[:place] + rng.randbytes(1) + data[place + rng.randrange(3) :]
    return data


def _put(message: Message, parts: list[str], text: str) -> None:
    """Set a field by its path; what is no text there stays as it is."""
    for part in parts[:-1]:
        message = getattr(message, part)
    with contextlib.suppress(TypeError, ValueError):
        setattr(message, parts[-1], text.encode("utf-8", "replace").decode())


def _set(rng: Wild, message: Message, field: FieldDescriptor) -> None:
    """Fill one field, where JSON has a legal value for what was drawn."""
    found = body(rng, _Only(field), 0)
    try:
        json_format.ParseDict(found, message, ignore_unknown_fields=True)
    except (json_format.ParseError, RecursionError, ValueError, TypeError, OverflowError):
        return


class _Only:
    """Stands for a descriptor with one field."""

    def __init__(self, field: FieldDescriptor) -> None:
        self.fields = [field]
        self.full_name = ""
