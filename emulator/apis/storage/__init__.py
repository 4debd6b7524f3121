"""Cloud Storage, JSON API v1: buckets, objects and their media; contents lie on disk."""

from __future__ import annotations

from emulator.apis.storage.api import Storage
from emulator.context import Cloud
from emulator.wire.mount import RouterMount

# Where Google's clients send calls: metadata, uploads (gcloud's resumable ones have a place of
# their own), downloads, batches.
PREFIXES = ("/storage", "/upload/storage", "/resumable/upload/storage", "/download/storage",
            "/batch/storage")  # fmt: skip


def build(cloud: Cloud) -> list[RouterMount]:
    """Mount the service under each of the prefixes."""
    app = Storage(cloud)
    return [RouterMount(prefix, app, "storage.googleapis.com") for prefix in PREFIXES]
