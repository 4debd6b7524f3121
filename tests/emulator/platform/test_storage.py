"""Cloud Storage: Google's client for buckets and objects; bodies, ranges, uploads, refusals."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.emulator.clients import PROJECT
from tests.emulator.discovery import problems
from tests.emulator.platform.conftest import Rest
from tests.processes import EmulatorProcess

DOCUMENT = ("storage.v1", "/")
KIB = 1024


@pytest.fixture
def client(platform: EmulatorProcess) -> storage.Client:
    """Google's client, as a user points it at the emulator."""
    options = {"api_endpoint": platform.rest_url}
    return storage.Client(PROJECT, AnonymousCredentials(), client_options=options)


@pytest.fixture
def bucket(client: storage.Client, request: pytest.FixtureRequest) -> Iterator[storage.Bucket]:
    """A bucket of the test's own."""
    name = "hw-" + hashlib.md5(request.node.name.encode()).hexdigest()[:12]
    made = client.create_bucket(name, location="us-central1")
    yield made
    for blob in client.list_blobs(made, versions=True):
        blob.delete()
    made.delete()


def test_a_buckets_life(client: storage.Client) -> None:
    """Made once, found, changed, listed; only an empty one goes."""
    bucket = client.create_bucket("hw-life", location="us-central1")
    assert (bucket.location, bucket.location_type) == ("US-CENTRAL1", "region")
    with pytest.raises(exceptions.Conflict):
        client.create_bucket("hw-life")
    bucket.labels = {"tier": "small"}
    bucket.versioning_enabled = True
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    bucket.patch()
    again = client.get_bucket("hw-life")
    assert again.labels == {"tier": "small"}
    assert again.metageneration == 2
    assert again.iam_configuration.uniform_bucket_level_access_enabled
    with pytest.raises(exceptions.PreconditionFailed):
        again.patch(if_metageneration_match=1)
    assert "hw-life" in [b.name for b in client.list_buckets(prefix="hw-li")]
    blob = bucket.blob("x")
    blob.upload_from_string("1")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        bucket.delete()
    blob.reload()
    bucket.delete_blob("x", generation=blob.generation)
    bucket.delete()
    assert not bucket.exists()
    assert client.lookup_bucket("hw-life") is None


@pytest.mark.parametrize(
    "name", ["UPPER", "ab", "goog-x", "my-google-x", "1.2.3.4", "a" * 64, "-ab"]
)
def test_bad_bucket_names_are_refused(rest: Rest, name: str) -> None:
    """As Google's naming rules tell."""
    error = rest("storage.v1", "", "POST", "storage/v1/b", {"name": name}, status=400,
                 project=PROJECT)  # fmt: skip
    assert error["errors"][0]["reason"] == "invalid"


def test_objects_come_back_as_they_went(bucket: storage.Bucket) -> None:
    """Small ones in one request, large ones in chunks; with hashes, type and metadata."""
    small = bucket.blob("a/ä b.txt")
    small.metadata = {"tier": "small"}
    small.cache_control = "no-store"
    small.upload_from_string("hello", content_type="text/plain", checksum="crc32c")
    got = bucket.get_blob("a/ä b.txt")
    assert got.download_as_bytes() == b"hello"
    assert (got.content_type, got.cache_control) == ("text/plain", "no-store")
    assert got.metadata == {"tier": "small"}
    assert got.md5_hash == base64.b64encode(hashlib.md5(b"hello").digest()).decode()
    data = os.urandom(3 * 256 * KIB + 17)
    large = bucket.blob("large.bin", chunk_size=256 * KIB)
    large.upload_from_file(io.BytesIO(data), size=None, checksum="md5")
    assert large.size == len(data)
    assert large.download_as_bytes() == data
    assert large.download_as_bytes(start=100, end=199) == data[100:200]
    assert bucket.blob("large.bin").download_as_bytes(start=len(data) - 5) == data[-5:]
    empty = bucket.blob("empty")
    empty.upload_from_string(b"")
    assert empty.download_as_bytes() == b""


def test_lists_with_prefix_delimiter_and_pages(
    client: storage.Client, bucket: storage.Bucket
) -> None:
    """Names in order; a delimiter folds what lies deeper; offsets and globs cut."""
    for name in ("a/1", "a/2", "a/b/3", "c", "d/4"):
        bucket.blob(name).upload_from_string(name)

    def names(**query: Any) -> list[str]:
        return [b.name for b in client.list_blobs(bucket, **query)]

    assert names(page_size=2) == ["a/1", "a/2", "a/b/3", "c", "d/4"]
    listing = client.list_blobs(bucket, prefix="a/", delimiter="/", page_size=1)
    assert [b.name for b in listing] == ["a/1", "a/2"]
    assert listing.prefixes == {"a/b/"}
    assert names(start_offset="a/2", end_offset="d") == ["a/2", "a/b/3", "c"]
    assert names(match_glob="a/*") == ["a/1", "a/2"]
    assert names(match_glob="{c,**/3}") == ["a/b/3", "c"]
    assert names(max_results=3) == ["a/1", "a/2", "a/b/3"]


def test_generations_and_preconditions(bucket: storage.Bucket) -> None:
    """Writing only what is not there, or what one has seen; older generations where kept."""
    blob = bucket.blob("g")
    blob.upload_from_string("one", if_generation_match=0)
    first = blob.generation
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("g").upload_from_string("two", if_generation_match=0)
    bucket.versioning_enabled = True
    bucket.patch()
    blob.upload_from_string("two", if_generation_match=first)
    assert blob.generation > first
    assert bucket.blob("g", generation=first).download_as_bytes() == b"one"
    blob.metadata = {"a": "b"}
    blob.patch(if_metageneration_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.patch(if_metageneration_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=first)
    bucket.delete_blob("g")
    assert bucket.get_blob("g") is None
    kept = list(bucket.client.list_blobs(bucket, versions=True))
    assert [b.generation for b in kept] == [first, blob.generation]


def test_copies_rewrites_and_composes(bucket: storage.Bucket) -> None:
    """Content and metadata go along; a composed object has a crc32c and no md5."""
    source = bucket.blob("s")
    source.metadata = {"k": "v"}
    source.upload_from_string("part", content_type="text/plain")
    copy = bucket.copy_blob(source, bucket, "copy/1")
    assert (copy.download_as_bytes(), copy.metadata) == (b"part", {"k": "v"})
    target = bucket.blob("rewritten")
    token, done, total = target.rewrite(source)
    assert (token, done, total) == (None, 4, 4)
    whole = bucket.blob("whole")
    whole.content_type = "text/plain"
    whole.compose([source, copy])
    assert whole.download_as_bytes() == b"partpart"
    assert (whole.component_count, whole.md5_hash) == (2, None)
    bucket.rename_blob(copy, "copy/2")
    assert bucket.get_blob("copy/1") is None
    with pytest.raises(exceptions.NotFound):
        bucket.copy_blob(bucket.blob("none"), bucket, "x")


def test_batches(client: storage.Client, bucket: storage.Bucket) -> None:
    """Several calls in one request, each with its own answer."""
    blobs = [bucket.blob(f"b{i}") for i in range(3)]
    for blob in blobs:
        blob.upload_from_string("x")
    with client.batch():
        for blob in blobs[:2]:
            blob.delete()
    assert [b.name for b in client.list_blobs(bucket)] == ["b2"]
    with pytest.raises(exceptions.NotFound), client.batch():
        blobs[0].delete()


def test_bucket_policies(bucket: storage.Bucket) -> None:
    """Read, changed, stale; permissions."""
    policy = bucket.get_iam_policy(requested_policy_version=3)
    assert any(b["role"] == "roles/storage.legacyBucketOwner" for b in policy.bindings)
    node = f"serviceAccount:hw-nodes@{PROJECT}.iam.gserviceaccount.com"
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {node}})
    bucket.set_iam_policy(policy)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.set_iam_policy(policy)
    policy = bucket.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/none", "members": {node}})
    with pytest.raises(exceptions.BadRequest):
        bucket.set_iam_policy(policy)
    asked = ["storage.objects.get"]
    assert bucket.test_iam_permissions(asked) == asked


def test_bodies_are_googles(platform: EmulatorProcess, bucket: storage.Bucket) -> None:
    """Every kind of answer fits the discovery document."""
    base = f"{platform.rest_url}/storage/v1/b"
    one = f"{base}/{bucket.name}"
    bucket.blob("dir/o").upload_from_string("x")
    for schema, url in (
        ("Buckets", f"{base}?project={PROJECT}"),
        ("Bucket", one),
        ("Policy", f"{one}/iam"),
        ("BucketStorageLayout", f"{one}/storageLayout"),
        ("ManagedFolders", f"{one}/managedFolders"),
        ("Objects", f"{one}/o?delimiter=/"),
        ("Objects", f"{one}/o"),
        ("Object", f"{one}/o/dir%2Fo"),
        (
            "TestIamPermissionsResponse",
            f"{one}/iam/testPermissions?permissions=storage.buckets.get",
        ),
        ("ServiceAccount", f"{platform.rest_url}/storage/v1/projects/{PROJECT}/serviceAccount"),
    ):
        answer = httpx.get(url)
        assert answer.status_code == 200, answer.text
        assert problems("storage.v1", schema, answer.json()) == []
    copied = httpx.post(f"{one}/o/dir%2Fo/rewriteTo/b/{bucket.name}/o/p", json={})
    assert problems("storage.v1", "RewriteResponse", copied.json()) == []
    cut = httpx.get(f"{one}/o?fields=items(name,metadata/x),kind").json()
    assert cut == {"kind": "storage#objects", "items": [{"name": "dir/o"}, {"name": "p"}]}


def test_ranges_and_headers(platform: EmulatorProcess, bucket: storage.Bucket) -> None:
    """206 with Content-Range, 416 behind the end, 304 when nothing has changed."""
    bucket.blob("r").upload_from_string(b"0123456789")
    url = f"{platform.rest_url}/storage/v1/b/{bucket.name}/o/r?alt=media"

    def get(asked: str) -> httpx.Response:
        return httpx.get(url, headers={"range": asked})

    for asked, data, shown in (
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ):
        answer = get(asked)
        assert (answer.status_code, answer.content) == (206, data)
        assert answer.headers["content-range"] == shown
    assert get("bytes=10-").status_code == 416
    assert get("bytes=5-2").status_code == 416
    whole = httpx.get(url)
    assert "crc32c=" in whole.headers["x-goog-hash"]
    generation = whole.headers["x-goog-generation"]
    assert httpx.get(f"{url}&ifGenerationNotMatch={generation}").status_code == 304


def test_a_resumable_upload_goes_on_where_it_broke(
    platform: EmulatorProcess, bucket: storage.Bucket
) -> None:
    """The server tells how far it is; a chunk sent twice does no harm; sessions can be given up."""
    url = f"{platform.rest_url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=up"
    begun = httpx.post(url, json={"contentType": "text/x"})
    session = begun.headers["location"]
    data = os.urandom(300 * KIB)

    def put(content: bytes, span: str) -> httpx.Response:
        return httpx.put(session, content=content, headers={"content-range": span})

    assert "range" not in put(b"", "bytes */*").headers
    first = put(data[: 256 * KIB + 5], f"bytes 0-{256 * KIB + 4}/*")
    assert (first.status_code, first.headers["range"]) == (308, f"bytes=0-{256 * KIB - 1}")
    assert put(b"", f"bytes */{len(data)}").headers["range"] == f"bytes=0-{256 * KIB - 1}"
    assert put(data[:9], "bytes 0-7/*").status_code == 400
    assert put(b"x", f"bytes {len(data)}-{len(data)}/*").status_code == 503
    last = put(data, f"bytes 0-{len(data) - 1}/{len(data)}")
    assert last.status_code == 200
    assert last.json()["contentType"] == "text/x"
    assert bucket.blob("up").download_as_bytes() == data
    assert put(b"", "bytes */*").status_code == 404
    given_up = httpx.post(url, json={}).headers["location"]
    assert httpx.delete(given_up).status_code == 499


def test_refusals(platform: EmulatorProcess, bucket: storage.Bucket) -> None:
    """Google's status and reason, never a 5xx."""
    root, one = platform.rest_url, f"/storage/v1/b/{bucket.name}"
    upload = f"/upload{one}/o"
    wrong = {"md5Hash": base64.b64encode(bytes(16)).decode(), "name": "x"}
    parts = (b'--b\r\ncontent-type: application/json\r\n\r\n' + json.dumps(wrong).encode()
             + b"\r\n--b\r\ncontent-type: text/plain\r\n\r\nhi\r\n--b--")  # fmt: skip
    related = {"content-type": "multipart/related; boundary=b"}
    for verb, path, content, headers, status in (
        ("GET", "/storage/v1/b/none", b"", {}, 404),
        ("GET", f"{one}/o/none", b"", {}, 404),
        ("GET", f"{one}/o?maxResults=x", b"", {}, 400),
        ("GET", f"{one}/o?pageToken=x", b"", {}, 400),
        ("GET", f"{one}?fields=a(b", b"", {}, 400),
        ("GET", "/storage/v1/b", b"", {}, 400),
        ("GET", "/storage/v1/b?project=other", b"", {}, 400),
        ("GET", "/storage/v1/nothing", b"", {}, 404),
        ("POST", f"/storage/v1/b?project={PROJECT}", b"[", {}, 400),
        ("POST", f"/storage/v1/b?project={PROJECT}", b"[]", {}, 400),
        ("POST", f"/storage/v1/b?project={PROJECT}", b'{"name":"hw-zz","zone":"x"}', {}, 400),
        ("POST", f"/storage/v1/b?project={PROJECT}", b'{"name":"hw-zz","location":"x"}', {}, 400),
        ("PATCH", one, b'{"storageClass":"FAST"}', {}, 400),
        ("PATCH", one, b'{"labels":[]}', {}, 400),
        ("PATCH", one, b'{"iamConfiguration":{"uniformBucketLevelAccess":1}}', {}, 400),
        ("PATCH", one, b'{"location":"EU"}', {}, 400),
        ("PUT", f"{one}/iam", b'{"bindings":1}', {}, 400),
        ("PUT", f"{one}/iam", b'{"etag":7}', {}, 400),
        ("POST", f"{one}/o/x/compose", b"{}", {}, 400),
        ("POST", f"{upload}?uploadType=media", b"x", {}, 400),
        ("POST", f"{upload}?uploadType=odd&name=x", b"x", {}, 400),
        ("POST", f"{upload}?uploadType=multipart", b"x", related, 400),
        ("POST", f"{upload}?uploadType=multipart", b"x", {}, 400),
        ("POST", f"{upload}?uploadType=multipart", parts, related, 400),
        ("POST", f"{upload}?uploadType=media&name=%0A", b"x", {}, 400),
        ("POST", f"{upload}?uploadType=media&name=x&ifGenerationMatch=y", b"x", {}, 400),
        ("POST", f"{upload.replace(bucket.name, 'none')}?uploadType=media&name=x", b"x", {}, 404),
        ("PUT", f"{upload}?uploadType=resumable&upload_id=none", b"x", {}, 404),
        ("POST", "/batch/storage/v1", b"x", {}, 400),
    ):
        answer = httpx.request(verb, root + path, content=content, headers=headers)
        assert answer.status_code == status, (verb, path, answer.text)
        error = answer.json()["error"]
        assert error["code"] == status
        assert error["errors"][0]["reason"]
