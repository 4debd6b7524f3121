"""Buckets and objects as JSON resources."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from emulator.apis.storage.model import Blob, Bucket
from emulator.clock import rfc3339
from emulator.context import Cloud
from emulator.wire.etags import etag_of

_MULTI = ("US", "EU", "ASIA")


def bucket_resource(cloud: Cloud, bucket: Bucket, base: str) -> dict[str, Any]:
    """A bucket; `base` is the caller's address of the JSON API, e.g. http://host/storage/v1."""
    location = str(bucket.fields.get("location", "US"))
    access = dict(bucket.fields.get("iamConfiguration") or {})
    uniform = dict(access.get("uniformBucketLevelAccess") or {"enabled": False})
    access["bucketPolicyOnly"] = access["uniformBucketLevelAccess"] = uniform
    access.setdefault("publicAccessPrevention", "inherited")
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{base}/b/{bucket.name}",
        "name": bucket.name,
        "projectNumber": cloud.project.number,
        "metageneration": str(bucket.metageneration),
        "generation": str(int(bucket.created_at * 1e6)),
        "locationType": "multi-region" if location in _MULTI else "region",
        "etag": etag_of(bucket.name, bucket.metageneration),
        "timeCreated": rfc3339(bucket.created_at, "milliseconds"),
        "updated": rfc3339(bucket.updated_at, "milliseconds"),
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
        **bucket.fields,
        "location": location,
        "storageClass": bucket.fields.get("storageClass", "STANDARD"),
        "iamConfiguration": access,
    }


def object_resource(blob: Blob, base: str) -> dict[str, Any]:
    """An object; `base` as above."""
    path = f"/b/{blob.bucket}/o/{quote(blob.name, safe='')}"
    media = base.replace("/storage/v1", "/download/storage/v1")
    created = rfc3339(blob.created_at, "milliseconds")
    found: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{blob.bucket}/{blob.name}/{blob.generation}",
        "selfLink": base + path,
        "mediaLink": f"{media}{path}?generation={blob.generation}&alt=media",
        "name": blob.name,
        "bucket": blob.bucket,
        "generation": str(blob.generation),
        "metageneration": str(blob.metageneration),
        "size": str(blob.content.size),
        "crc32c": blob.content.crc32c,
        "etag": object_etag(blob),
        "timeCreated": created,
        "timeFinalized": created,
        "timeStorageClassUpdated": created,
        "updated": rfc3339(blob.updated_at, "milliseconds"),
        **blob.fields,
    }
    if blob.content.md5:
        found["md5Hash"] = blob.content.md5
    if blob.components:
        found["componentCount"] = blob.components
    if blob.deleted_at is not None:
        found["timeDeleted"] = rfc3339(blob.deleted_at, "milliseconds")
    return found


def object_etag(blob: Blob) -> str:
    """Changes with content and metadata."""
    return etag_of(blob.name, blob.generation, blob.metageneration)


def media_headers(blob: Blob) -> dict[str, str]:
    """Headers of a download, beside length and range."""
    hashes = [f"crc32c={blob.content.crc32c}"]
    if blob.content.md5:
        hashes.append(f"md5={blob.content.md5}")
    given = {
        "content-type": blob.fields.get("contentType"),
        "content-encoding": blob.fields.get("contentEncoding"),
        "content-disposition": blob.fields.get("contentDisposition"),
        "content-language": blob.fields.get("contentLanguage"),
        "cache-control": blob.fields.get("cacheControl") or "no-cache, no-store, max-age=0",
    }
    headers = {
        "x-goog-generation": str(blob.generation),
        "x-goog-metageneration": str(blob.metageneration),
        "x-goog-storage-class": str(blob.fields.get("storageClass", "STANDARD")),
        "x-goog-stored-content-encoding": str(blob.fields.get("contentEncoding") or "identity"),
        "x-goog-stored-content-length": str(blob.content.size),
        "x-goog-hash": ",".join(hashes),
        "etag": object_etag(blob),
        "accept-ranges": "bytes",
    }
    for name, value in given.items():
        if value and all(32 <= ord(c) < 256 and c != "\x7f" for c in str(value)):
            headers[name] = str(value)
    return headers
