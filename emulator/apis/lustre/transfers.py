"""Files between an instance and Cloud Storage: what is copied, skipped and told of it.

A transfer copies what the other side has not, or has otherwise, once the operation is due; the
files share their bytes with the objects. Clients that write to an instance are not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from google.cloud.lustre_v1.types import transfer as types
from google.longrunning import operations_pb2

from emulator.apis.iam.model import iam_state
from emulator.apis.instances import Instances
from emulator.apis.lustre import model
from emulator.apis.storage.model import Bucket, storage_state
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid

_PATH: Final = re.compile(r"gs://([^/]+)/?((?:.+/)?)")


class Transfers(Instances):
    """ImportData and ExportData."""

    _state: model.LustreState

    def import_data(self, request: types.ImportDataRequest, call: Call) -> operations_pb2.Operation:
        if (before := self.again(request)) is not None:
            return before
        with self._cloud.lock:
            instance, bucket, prefix, root = self._ends(request)
            told = types.ImportDataMetadata(target=instance.name, api_version="v1")
            told.operation_metadata = types.TransferOperationMetadata(
                source_gcs_path=request.gcs_path,
                destination_lustre_path=types.LustrePath(path=root),
                transfer_type=types.TransferType.IMPORT,
            )  # fmt: skip
            files = self._state.files.setdefault(instance.name, {})
            disk = storage_state(self._cloud).disk

            def found() -> Iterator[tuple[bool, model.Copying]]:
                for name, blob in sorted(bucket.live.items()):
                    if not name.startswith(prefix) or name.endswith("/"):
                        continue
                    path, content = root + name[len(prefix) :], blob.content

                    def put(path: str = path, content: Any = content) -> None:
                        old, files[path] = files.get(path), disk.share(content)
                        if old is not None:
                            old.path.unlink(missing_ok=True)

                    yield _same(files.get(path), content), model.Copying(content, put)

            return self._transfer(
                request, instance, bucket, told, found, types.ImportDataResponse()
            )

    def export_data(self, request: types.ExportDataRequest, call: Call) -> operations_pb2.Operation:
        if (before := self.again(request)) is not None:
            return before
        with self._cloud.lock:
            instance, bucket, prefix, root = self._ends(request)
            told = types.ExportDataMetadata(target=instance.name, verb="export", api_version="v1")
            told.operation_metadata = types.TransferOperationMetadata(
                source_lustre_path=types.LustrePath(path=root),
                destination_gcs_path=request.gcs_path,
                transfer_type=types.TransferType.EXPORT,
            )  # fmt: skip
            files = self._state.files.setdefault(instance.name, {})
            storage = storage_state(self._cloud)

            def found() -> Iterator[tuple[bool, model.Copying]]:
                for path, content in sorted(files.items()):
                    if not path.startswith(root):
                        continue
                    name = prefix + path[len(root) :]

                    def put(name: str = name, content: Any = content) -> None:
                        fields = {"contentType": "application/octet-stream"}
                        storage.add(bucket.name, name, storage.disk.share(content), fields)

                    there = bucket.live.get(name)
                    same = there is not None and _same(there.content, content)
                    yield same, model.Copying(content, put)

            return self._transfer(
                request, instance, bucket, told, found, types.ExportDataResponse()
            )

    def _ends(self, request: Any) -> tuple[Any, Bucket, str, str]:
        """Instance, bucket, prefix in it, and folder on the instance, "/" at its end."""
        instance = self.find(request.name)
        if instance.state != type(instance).State.ACTIVE:
            raise failed_precondition(
                f"Instance '{instance.name}' is in state {instance.state.name}; it must be ACTIVE."
            )
        parts = _PATH.fullmatch(request.gcs_path.uri)
        if parts is None:
            raise invalid(f"Invalid Cloud Storage path '{request.gcs_path.uri}': "
                          "gs://BUCKET, or gs://BUCKET/PATH/.", field="gcs_path.uri")  # fmt: skip
        root = request.lustre_path.path or "/"
        if not root.startswith("/"):
            raise invalid(f"Invalid path '{root}': must start with '/'.", field="lustre_path.path")
        bucket = storage_state(self._cloud).buckets.get(parts[1])
        if bucket is None:
            raise ApiError("NOT_FOUND", f"The bucket '{parts[1]}' does not exist.")
        return instance, bucket, parts[2], root if root.endswith("/") else f"{root}/"

    def _transfer(
        self, request: Any, instance: Any, bucket: Bucket, told: Any, found: Any, response: Any
    ) -> operations_pb2.Operation:
        exports = told.operation_metadata.transfer_type == types.TransferType.EXPORT
        needed = ["storage.objects.list", "storage.objects.get"]
        needed += ["storage.objects.create", "storage.objects.delete"] if exports else []
        self._check_access(request, needed)
        size = sum(file.content.size for same, file in found() if not same)

        def effect() -> None:
            counters = types.TransferCounters()
            gone = storage_state(self._cloud).buckets.get(bucket.name) is not bucket
            for same, file in list(found()):
                counters.found_objects_count += 1
                counters.bytes_found_count += file.content.size
                if same:
                    counters.objects_skipped_count += 1
                    counters.bytes_skipped_count += file.content.size
                    continue
                if gone:
                    counters.objects_failed_count += 1
                    counters.bytes_failed_count += file.content.size
                    continue
                file.put()
                counters.objects_copied_count += 1
                counters.bytes_copied_count += file.content.size
            told.operation_metadata.counters = counters

        return self.begin(
            instance.name, "export" if exports else "import", model.transfer_s(instance, size),
            effect, undo=lambda: None, told=told, response=response,
            request_id=request.request_id,
        )  # fmt: skip

    def _check_access(self, request: Any, permissions: list[str]) -> None:
        """Pass a service agent (or the account named) that may use the bucket."""
        project = self._cloud.project
        agent = f"service-{project.number}@gcp-sa-lustre.iam.gserviceaccount.com"
        given = request.service_account.rsplit("/", 1)[-1]
        iam, bucket = iam_state(self._cloud), request.gcs_path.uri.split("/")[2]
        iam.check_runs_as(given, "service_account")
        places = (f"buckets/{bucket}", f"projects/{project.id}")
        for permission in permissions:
            if not iam.policies.allows(f"serviceAccount:{given or agent}", permission, *places):
                raise ApiError(
                    "PERMISSION_DENIED",
                    f"The service account {given or agent} does not have {permission} access to "
                    f"the bucket {bucket}.",
                )


def _same(there: Any, content: Any) -> bool:
    return there is not None and (there.size, there.crc32c) == (content.size, content.crc32c)
