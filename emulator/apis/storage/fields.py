"""Bodies and parameters: what callers may set, preconditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from emulator.apis.storage.errors import StorageError, precondition
from emulator.apis.storage.model import Blob, Bucket
from emulator.regions import is_region


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


BUCKET_SET: Final = words(
    "autoclass billing cors defaultEventBasedHold encryption hierarchicalNamespace "
    "iamConfiguration labels lifecycle location logging retentionPolicy rpo "
    "softDeletePolicy storageClass versioning website ipFilter customPlacementConfig"
)
BUCKET_OUT: Final = words(
    "acl defaultObjectAcl etag generation hardDeleteTime id kind locationType "
    "metageneration name objectRetention owner projectNumber satisfiesPZI satisfiesPZS "
    "selfLink softDeleteTime timeCreated updated"
)
OBJECT_SET: Final = words(
    "cacheControl contentDisposition contentEncoding contentLanguage contentType customTime "
    "eventBasedHold metadata storageClass temporaryHold"
)
OBJECT_OUT: Final = words(
    "acl bucket componentCount contexts crc32c customerEncryption etag generation "
    "hardDeleteTime id kind kmsKeyName md5Hash mediaLink metageneration name owner "
    "restoreToken retention retentionExpirationTime selfLink size softDeleteTime "
    "timeCreated timeDeleted timeFinalized timeStorageClassUpdated updated"
)
# What each field must be; the rest of those that callers set are texts.
_MAPS: Final = words(
    "autoclass billing encryption hierarchicalNamespace iamConfiguration labels lifecycle "
    "logging retentionPolicy softDeletePolicy versioning website ipFilter "
    "customPlacementConfig metadata"
)
_FLAGS: Final = frozenset({"defaultEventBasedHold", "eventBasedHold", "temporaryHold"})
CLASSES: Final = frozenset(
    {"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL",
     "DURABLE_REDUCED_AVAILABILITY"}
)  # fmt: skip
_WIDER: Final = re.compile(r"US|EU|ASIA|NAM4|EUR[4578]|ASIA1")
_BUCKET: Final = re.compile(r"[a-z0-9][-a-z0-9_.]{1,220}[a-z0-9]")
_LABEL: Final = re.compile(r"[a-z][-_a-z0-9]{0,62}")


def check_bucket_name(name: str) -> None:
    """StorageError 400 for a name that Google refuses."""
    fine = _BUCKET.fullmatch(name) and all(0 < len(p) <= 63 for p in name.split("."))
    number = re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name)
    if not fine or number or name.startswith("goog") or "google" in name:
        raise StorageError(400, f"Invalid bucket name: '{name}'")


def check_object_name(name: object) -> str:
    """The name; StorageError 400 for one that Google refuses."""
    if not isinstance(name, str) or not name:
        raise StorageError(400, "Required", "required", "name")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        length = 0
    if not 0 < length <= 1024 or name in (".", "..") or "\n" in name or "\r" in name:
        raise StorageError(400, "The object name is not valid.", location="name")
    return name


def bucket_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a body sets of a bucket, checked; None stands for a field to be cleared."""
    given = _checked(body, BUCKET_SET, BUCKET_OUT)
    if given.get("location"):
        given["location"] = str(given["location"]).upper()
        if not (_WIDER.fullmatch(given["location"]) or is_region(given["location"])):
            raise StorageError(400, "The specified location constraint is not valid.")
    access = (given.get("iamConfiguration") or {}).get("uniformBucketLevelAccess")
    if not isinstance(access, dict | None):
        raise StorageError(400, 'Invalid value for: "uniformBucketLevelAccess"')
    for key, value in (given.get("labels") or {}).items():
        if _LABEL.fullmatch(key) is None or not (value is None or isinstance(value, str)):
            raise StorageError(400, f"Invalid label: '{key}'")
    return given


def object_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a body sets of an object, checked; None stands for a field to be cleared."""
    given = _checked(body, OBJECT_SET, OBJECT_OUT)
    for value in (given.get("metadata") or {}).values():
        if not (value is None or isinstance(value, str)):
            raise StorageError(400, "Values of metadata must be texts.")
    return given


def _checked(
    body: Mapping[str, Any], settable: frozenset[str], shown: frozenset[str]
) -> dict[str, Any]:
    for name, value in body.items():
        if name not in settable and name not in shown:
            raise StorageError(400, f'Unknown name "{name}": Cannot find field.')
        if name not in settable or value is None:
            continue
        wanted = dict if name in _MAPS else bool if name in _FLAGS else str
        if not isinstance(value, list if name == "cors" else wanted):
            raise StorageError(400, f'Invalid value for: "{name}"')
    given = {k: v for k, v in body.items() if k in settable}
    if given.get("storageClass") and given["storageClass"] not in CLASSES:
        raise StorageError(400, "The storage class you specified is not valid.")
    return given


def patched(current: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch: None clears, mappings are merged one level down and deeper."""
    merged = dict(current)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = patched(merged[key], value)
        else:
            merged[key] = patched({}, value) if isinstance(value, Mapping) else value
    return merged


def check_conditions(
    query: Mapping[str, str], found: Blob | Bucket | None, *, source: bool = False,
    reading: bool = False,
) -> None:  # fmt: skip
    """Pass when every if… parameter holds; generation 0 stands for "there is none".

    Raises:
        StorageError: 412; 304 where a read finds that nothing has changed; 400: no number.
    """
    prefix = "ifSource" if source else "if"
    actual = {
        "Generation": found.generation if isinstance(found, Blob) else 0,
        "Metageneration": found.metageneration if found else 0,
    }
    for kind, value in actual.items():
        for negated in (False, True):
            name = f"{prefix}{kind}{'Not' if negated else ''}Match"
            if name not in query:
                continue
            if not query[name].isascii() or not query[name].isdigit() or len(query[name]) > 19:
                raise StorageError(400, f"Invalid Value: '{query[name]}'", location=name)
            if (int(query[name]) == value) == negated:
                raise StorageError(304, "Not Modified") if negated and reading else precondition()


def whole_number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A count from the query; StorageError 400 when it is none."""
    text = query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise StorageError(400, f"Invalid Value: '{text}'", location=name)
    return min(int(text) or default, most)
