"""State of Cloud Storage: buckets, their objects, uploads under way; contents are disk.py's."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from emulator.apis.iam.model import iam_state
from emulator.apis.storage.disk import Content, Disk, Draft
from emulator.apis.storage.errors import no_bucket, no_object
from emulator.context import Cloud


@dataclass(frozen=True, slots=True)
class Blob:
    """One generation of an object; `fields` are those that callers set (contentType …)."""

    bucket: str
    name: str
    generation: int
    content: Content
    created_at: float
    updated_at: float
    fields: Mapping[str, Any]
    metageneration: int = 1
    components: int = 0
    deleted_at: float | None = None


@dataclass(slots=True)
class Bucket:
    """A bucket: `fields` are those that callers set (location, labels, versioning …)."""

    name: str
    created_at: float
    updated_at: float
    fields: dict[str, Any]
    metageneration: int = 1
    live: dict[str, Blob] = field(default_factory=dict)
    old: list[Blob] = field(default_factory=list)

    @property
    def versioned(self) -> bool:
        """Whether replaced and deleted objects stay as noncurrent ones."""
        return bool((self.fields.get("versioning") or {}).get("enabled"))

    @property
    def policy_resource(self) -> str:
        """The name under which its policy is kept."""
        return f"buckets/{self.name}"


@dataclass(slots=True)
class Upload:
    """A resumable upload."""

    bucket: str
    fields: dict[str, Any]
    query: Mapping[str, str]
    draft: Draft
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class StorageState:
    """Everything in it."""

    cloud: Cloud
    disk: Disk
    buckets: dict[str, Bucket] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    newest: int = 0
    begun: int = 0

    def bucket(self, name: str) -> Bucket:
        """StorageError 404 when there is none."""
        if name not in self.buckets:
            raise no_bucket()
        return self.buckets[name]

    def find(self, bucket: str, name: str, generation: str = "") -> Blob | None:
        """The live object, or the generation asked for."""
        place = self.bucket(bucket)
        if not generation:
            return place.live.get(name)
        found = [*place.old, *([place.live[name]] if name in place.live else [])]
        return next((b for b in found if b.name == name and str(b.generation) == generation), None)

    def get(self, bucket: str, name: str, generation: str = "") -> Blob:
        """StorageError 404 when there is none."""
        blob = self.find(bucket, name, generation)
        if blob is None:
            raise no_object(bucket, name)
        return blob

    def add_bucket(self, name: str, fields: dict[str, Any]) -> Bucket:
        """A new bucket with the policy that Google gives it."""
        now = self.cloud.clock.now()
        bucket = Bucket(name, now, now, fields)
        self.buckets[name] = bucket
        own, policies = self.cloud.project.id, iam_state(self.cloud).policies
        owners = (f"projectEditor:{own}", f"projectOwner:{own}")
        policies.grant(bucket.policy_resource, "roles/storage.legacyBucketOwner", *owners)
        policies.grant(
            bucket.policy_resource, "roles/storage.legacyBucketReader", f"projectViewer:{own}"
        )
        self.cloud.changed("storage.bucket.created", f"projects/_/buckets/{name}", "")
        return bucket

    def drop_bucket(self, bucket: Bucket) -> None:
        """Delete; the caller has checked that it is empty."""
        del self.buckets[bucket.name]
        iam_state(self.cloud).policies.forget(bucket.policy_resource)
        self.cloud.changed("storage.bucket.deleted", f"projects/_/buckets/{bucket.name}", "")

    def add(
        self, bucket: str, name: str, content: Content, fields: Mapping[str, Any],
        components: int = 0,
    ) -> Blob:  # fmt: skip
        """A new live generation; the one before becomes noncurrent or goes."""
        now = self.cloud.clock.now()
        self.newest = max(self.newest + 1, int(now * 1e6))
        blob = Blob(bucket, name, self.newest, content, now, now, dict(fields),
                    components=components)  # fmt: skip
        self._retire(bucket, name)
        self.buckets[bucket].live[name] = blob
        self._changed("finalized", blob)
        return blob

    def put(self, blob: Blob, fields: Mapping[str, Any]) -> Blob:
        """Change what callers set."""
        new = replace(blob, fields=dict(fields), updated_at=self.cloud.clock.now(),
                      metageneration=blob.metageneration + 1)  # fmt: skip
        bucket = self.buckets[blob.bucket]
        if bucket.live.get(blob.name) is blob:
            bucket.live[blob.name] = new
        else:
            bucket.old[bucket.old.index(blob)] = new
        return new

    def remove(self, blob: Blob, *, for_good: bool) -> None:
        """Delete the live object (kept as noncurrent in a versioned bucket) or a generation."""
        bucket = self.buckets[blob.bucket]
        if blob in bucket.old:
            bucket.old.remove(blob)
            blob.content.path.unlink(missing_ok=True)
        elif for_good:
            del bucket.live[blob.name]
            blob.content.path.unlink(missing_ok=True)
        else:
            self._retire(blob.bucket, blob.name)
        self._changed("deleted", blob)

    def _retire(self, bucket: str, name: str) -> None:
        place = self.buckets[bucket]
        blob = place.live.pop(name, None)
        if blob is None:
            return
        if place.versioned:
            place.old.append(replace(blob, deleted_at=self.cloud.clock.now()))
        else:
            blob.content.path.unlink(missing_ok=True)

    def _changed(self, verb: str, blob: Blob) -> None:
        name = f"projects/_/buckets/{blob.bucket}/objects/{blob.name}"
        self.cloud.changed(f"storage.object.{verb}", name, "", bytes=blob.content.size)

    def begin(self, bucket: str, fields: dict[str, Any], query: Mapping[str, str]) -> str:
        """A new resumable upload's id."""
        self.begun += 1
        text = f"{self.cloud.seed}/{self.begun}/{bucket}/{fields.get('name')}"
        key = hashlib.blake2s(text.encode(), digest_size=24).hexdigest()
        self.uploads[key] = Upload(bucket, fields, query, self.disk.draft())
        return key


WEIGHTS: Final = "weights"


def storage_state(cloud: Cloud) -> StorageState:
    """The one instance."""
    return cloud.store(StorageState, lambda: _initial(cloud))


def _initial(cloud: Cloud) -> StorageState:
    """Nothing, or where tiers run: a bucket with a card for each model that they serve."""
    state = StorageState(cloud, Disk(cloud.scratch_dir))
    cloud.on_stop(state.disk.remove)
    models = {t.model.name: t.model for t in cloud.scenario.tiers}
    if models:
        name = f"{cloud.project.id}-{WEIGHTS}"
        state.add_bucket(name, {"location": "US-CENTRAL1", "storageClass": "STANDARD"})
        for model in models.values():
            card = {"name": model.name, "parameters": model.parameters,
                    "bytesPerParameter": model.bytes_per_parameter}  # fmt: skip
            content = state.disk.put(json.dumps(card).encode())
            state.add(name, f"{model.name}/card.json", content,
                      {"contentType": "application/json", "storageClass": "STANDARD"})  # fmt: skip
    return state
