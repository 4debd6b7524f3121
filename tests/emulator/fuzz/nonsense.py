"""Requests that nobody should send: built along the messages' own fields, so that they get far.

Everything follows from one random.Random: the same seed gives the same request.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from emulator.wire.codec import plain

_P: Final = "projects/heartwood-demo"
_L: Final = f"{_P}/locations/us-central1"
# Parts of names that exist, so that some requests find something.
SEGMENTS: Final = (
    "heartwood-demo", "us-central1", "us-central1-b", "us-central1-c", "hw-serving", "hw-small-00",
    "hw-small", "hw-medium", "hw-small-neg", "hw-dev-00", "heartwood-demo-weights", "global", "-",
    "hw-net", "hw-subnet", "hw-ready", "billing_export", "default", "482910573316", "nodes",
    "container.googleapis.com", "01A2B3-C4D5E6-F7A8B9", "%2F", "%00", "..", "é", "0", "a" * 3000,
)  # fmt: skip
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


def value(rng: Random, field: FieldDescriptor, depth: int) -> Any:
    """A value for a field, of the right type more often than not."""
    if rng.random() < 0.06:
        return anything(rng, 3)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _message(rng, field.message_type, depth)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.choice([*[v.name for v in field.enum_type.values][:40], 99_999, -1])
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return rng.choice([0.0, -1.5, 1e300, 0.5, "NaN", "Infinity", 1.0])
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(TEXTS) if rng.random() < 0.7 else rng.choice(SEGMENTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.choice(["", "AAAA", "****", "BwY="])
    return rng.choice(NUMBERS[:6] if rng.random() < 0.7 else NUMBERS)


def _message(rng: Random, descriptor: Descriptor, depth: int) -> Any:
    name = descriptor.full_name
    if name == "google.protobuf.Timestamp":
        return rng.choice(
            ["2026-11-20T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "x"]
        )
    if name == "google.protobuf.Duration":
        return rng.choice(["60s", "0s", "-5s", "0.5s", "315576000000s", "x"])
    if name == "google.protobuf.FieldMask":
        return rng.choice(["", "name", "labels", "*", "a.b.c", "displayName,labels", "x" * 300])
    if name in ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.Any"):
        return anything(rng, 3)
    return body(rng, descriptor, depth + 1)


def body(rng: Random, descriptor: Descriptor, depth: int = 0) -> dict[str, Any]:
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
    if rng.random() < 0.05:
        found[rng.choice(["bogus", "", "é", "name"])] = anything(rng, 2)
    return found


def anything(rng: Random, depth: int) -> Any:
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


def raw_json(rng: Random, descriptor: Descriptor | None) -> bytes:
    """A REST body: along the message, any JSON, or no JSON at all."""
    dice = rng.random()
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


def raw_message(rng: Random, kind: type[Any]) -> bytes:
    """A gRPC request: a message filled at random, damaged at times, or bytes alone."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(60))
    message: Message = plain(kind())
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.6:
            _set(rng, message, field)
    data = message.SerializeToString()
    if data and rng.random() < 0.1:
        place = rng.randrange(len(data))
        data = data[:place] + rng.randbytes(1) + data[place + rng.randrange(3) :]
    return data


def _set(rng: Random, message: Message, field: FieldDescriptor) -> None:
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
