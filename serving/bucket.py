"""Brings a checkpoint from Cloud Storage into the cache folder: `gs://bucket/folder` or a GGUF.

Files come in ranges, several at a time, each written to its place in a `.part` file and then noted
with its checksum beside it. A download that was cut off goes on where it stood; what was noted is
checked again, so that a torn write is fetched anew. A file is renamed into place when the CRC32C of
the whole is the bucket's. Every range is asked for by the object's generation: a mixture of an old
and a new version cannot arise. What does not live here: reading checkpoints.

Google's client finds credentials and endpoint by itself: application default credentials, and
`STORAGE_EMULATOR_HOST` for an emulator.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import google_crc32c

from serving.vocabulary import CheckpointError

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket, Client

Report = Callable[[str, int, int], None]  # what is being done, MiB done, of how many

SCHEME = "gs://"
RANGE_BYTES = 16 << 20
RANGES_AT_ONCE = 8
_TRIES = 4
_TIMEOUT_S = 60.0
_MIB = 1 << 20
_MANIFEST = ".downloaded.json"
# What a served checkpoint may consist of; other files of a folder are left in the bucket.
_WANTED = (".safetensors", ".json", ".jinja")


def is_bucket_url(model: object) -> bool:
    """Whether the setting names an address in Cloud Storage."""
    return str(model).startswith(SCHEME)


def split_url(url: str) -> tuple[str, str]:
    """Bucket and object or folder of a gs:// address; CheckpointError when it has not both."""
    bucket, _, name = url.removeprefix(SCHEME).partition("/")
    name = name.strip("/")
    if not bucket or not name or ".." in PurePosixPath(name).parts:
        raise CheckpointError(f"{url} is no address of a model; write {SCHEME}bucket/folder.")
    return bucket, name


def local_path(url: str, cache_dir: Path) -> Path:
    """Where `fetch` puts the checkpoint of `url`."""
    bucket, name = split_url(url)
    return cache_dir / "models" / bucket / name


@dataclasses.dataclass(frozen=True, slots=True)
class _File:
    """One version of an object and where it goes."""

    bucket: Bucket
    name: str
    generation: int
    size: int
    crc32c: str
    path: Path

    @classmethod
    def of(cls, blob: Blob, path: Path) -> _File:
        """As listed; the client's own object changes with every download."""
        return cls(blob.bucket, blob.name, blob.generation, int(blob.size), blob.crc32c, path)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this version of the object from any other."""
        return {"generation": self.generation, "size": self.size, "crc32c": self.crc32c}

    @property
    def part(self) -> Path:
        return self.path.with_name(f".{self.path.name}.{self.generation}.part")

    @property
    def notes(self) -> Path:
        return self.part.with_suffix(".notes")


def _checksum(data: bytes) -> str:
    return google_crc32c.value(data).to_bytes(4, "big").hex()


class _Progress:
    """Adds up what has arrived, from several threads."""

    def __init__(self, total_bytes: int, report: Report) -> None:
        self._total, self._done, self._report = total_bytes, 0, report
        self._lock = threading.Lock()
        self.add(0)

    def add(self, size: int) -> None:
        with self._lock:
            self._done += size
            done, total = (-(-size // _MIB) for size in (self._done, self._total))
            self._report("downloading the model, MiB", done, total)


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Google's errors as CheckpointError, with what can be done."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.cloud.exceptions import GoogleCloudError
    from requests import RequestException

    try:
        yield
    except auth.GoogleAuthError as error:
        raise CheckpointError(
            f"{url}: there are no credentials ({error}). Run `gcloud auth application-default "
            "login`, or give the pod a service account that may read the bucket."
        ) from error
    except api.NotFound as error:
        raise CheckpointError(
            f"{url}: the bucket does not exist, or an object was replaced while it was "
            "downloaded; check the address and start again."
        ) from error
    except api.Forbidden as error:
        raise CheckpointError(
            f"{url}: reading is not allowed; storage.objects.list and storage.objects.get are "
            f"needed ({error.message})."
        ) from error
    except (GoogleCloudError, api.RetryError, RequestException) as error:
        raise CheckpointError(
            f"{url}: the download failed ({error}). What has arrived is kept; start again to go on."
        ) from error


def _list_files(client: Client, url: str, target: Path) -> list[_File]:
    """The objects to fetch."""
    bucket, name = split_url(url)
    if name.endswith(".gguf"):
        blob = client.bucket(bucket).get_blob(name, timeout=_TIMEOUT_S)
        found = [] if blob is None else [_File.of(blob, target)]
    else:
        blobs = client.list_blobs(bucket, prefix=name + "/", delimiter="/", timeout=_TIMEOUT_S)
        found = [
            _File.of(blob, target / blob.name.rpartition("/")[2])
            for blob in blobs
            if blob.name.endswith(_WANTED)
        ]
    if not found:
        raise CheckpointError(f"{url}: there is no such model in the bucket.")
    return found


def _read_notes(file: _File) -> dict[int, tuple[int, str]]:
    """Size and checksum of the ranges that have arrived; a torn last line is left out."""
    if not file.part.is_file() or not file.notes.is_file():
        return {}
    lines = (line.split() for line in file.notes.read_text().splitlines())
    whole = (line for line in lines if len(line) == 4 and line[3] == ".")
    return {int(start): (int(size), checksum) for start, size, checksum, _ in whole}


class _Download:
    """One file that is being fetched."""

    def __init__(self, file: _File, range_bytes: int, progress: _Progress) -> None:
        self.file, self._range_bytes, self._progress = file, range_bytes, progress
        self._lock = threading.Lock()
        file.path.parent.mkdir(parents=True, exist_ok=True)
        self._noted = _read_notes(file)
        self._stream = os.open(file.part, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._stream, file.size)

    def close(self) -> None:
        os.close(self._stream)

    def fetch(self, start: int) -> None:
        """Bring the range that begins at `start`, unless it is here and whole."""
        size = min(self._range_bytes, self.file.size - start)
        noted = self._noted.get(start)
        if noted != (size, _checksum(os.pread(self._stream, size, start))):
            data = self._ask(start, size)
            os.pwrite(self._stream, data, start)
            with self._lock, self.file.notes.open("a") as notes:
                notes.write(f"{start} {size} {_checksum(data)} .\n")
        self._progress.add(size)

    def _ask(self, start: int, size: int) -> bytes:
        """The bytes of a range; a short answer is asked for again."""
        data = b""
        for _ in range(_TRIES):
            blob = self.file.bucket.blob(self.file.name, generation=self.file.generation)
            data = blob.download_as_bytes(
                start=start,
                end=start + size - 1,
                raw_download=True,
                checksum=None,
                timeout=_TIMEOUT_S,
            )
            if len(data) == size:
                return data
        raise CheckpointError(
            f"{self.file.name}: bytes {start} to {start + size} came short {_TRIES} times "
            f"({len(data)} of {size}). What has arrived is kept; start again to go on."
        )

    def finish(self) -> None:
        """Check the whole and put it in place; CheckpointError when the checksum is another."""
        found = google_crc32c.Checksum()
        for start in range(0, self.file.size, RANGE_BYTES):
            found.update(os.pread(self._stream, RANGE_BYTES, start))
        text = base64.b64encode(found.digest()).decode()
        self.file.notes.unlink(missing_ok=True)
        if text != self.file.crc32c:
            self.file.part.unlink()
            raise CheckpointError(
                f"{self.file.name}: CRC32C is {text}, expected {self.file.crc32c}; the download is "
                "thrown away."
            )
        os.fsync(self._stream)
        self.file.part.replace(self.file.path)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # nothing was downloaded whole yet, or the note is torn: both mean "not known"
    return found if isinstance(found, dict) else {}


def _fetch_all(files: list[_File], folder: Path, range_bytes: int, progress: _Progress) -> None:
    """Fetch what is missing, file by file, and note each that is whole."""
    manifest = _read_manifest(folder)
    for file in files:
        present = file.path.is_file() and file.path.stat().st_size == file.size
        if present and manifest.get(file.path.name) == file.identity:
            progress.add(file.size)
            continue
        with contextlib.closing(_Download(file, range_bytes, progress)) as download:
            # Leaving the pool waits for ranges under way, which write into the file that the
            # download closes: closed earlier, they would be lost, or meet another file's number.
            with ThreadPoolExecutor(RANGES_AT_ONCE, "download") as pool:
                for _ in pool.map(download.fetch, range(0, file.size, range_bytes)):
                    pass  # a range that failed raises here, and those not begun are called off
            download.finish()
        manifest[file.path.name] = file.identity
        scratch = folder / (_MANIFEST + ".new")
        scratch.write_text(json.dumps(manifest, indent=1))
        scratch.replace(folder / _MANIFEST)


def _check_space(files: list[_File], folder: Path) -> None:
    """CheckpointError when the disk cannot hold what is still to come."""
    needed = sum(file.size for file in files if not file.path.is_file())
    # Parts are sparse: only blocks that were written count as here.
    needed -= sum(file.part.stat().st_blocks * 512 for file in files if file.part.is_file())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"{folder} has {free / 1e9:.1f} GB free, the model needs {needed / 1e9:.1f} GB; set "
            "HEARTWOOD_CACHE_DIR to a larger disk."
        )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time downloads into a folder; another one waits and finds it done."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(url: str, cache_dir: Path, report: Report, range_bytes: int = RANGE_BYTES) -> Path:
    """Bring the checkpoint of `url` here, or find that it is here; its path.

    CheckpointError says what is wrong: the address, permissions, space, a checksum.
    """
    # Imported here: a server with a local model does not need Google's client.
    from google.cloud import storage

    target = local_path(url, cache_dir)
    folder = target.parent if target.suffix == ".gguf" else target
    folder.mkdir(parents=True, exist_ok=True)
    with _told(url), _alone(folder), contextlib.closing(storage.Client()) as client:
        files = _list_files(client, url, target)
        _check_space(files, folder)
        progress = _Progress(sum(file.size for file in files), report)
        _fetch_all(files, folder, range_bytes, progress)
    return target
