"""Handlers for buckets and their policies."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, TypeVar

from google.iam.v1 import policy_pb2
from google.protobuf import json_format

from emulator.apis.iam.callers import caller_of
from emulator.apis.iam.enforcement import may
from emulator.apis.iam.model import iam_state
from emulator.apis.iam.permissions import check_permissions
from emulator.apis.storage.asks import Answer, Ask
from emulator.apis.storage.errors import StorageError, from_api
from emulator.apis.storage.fields import (
    bucket_fields,
    check_bucket_name,
    check_conditions,
    patched,
    whole_number,
)
from emulator.apis.storage.messages import bucket_resource
from emulator.apis.storage.model import Bucket, storage_state
from emulator.context import Cloud
from emulator.wire.errors import ApiError
from emulator.wire.paging import page

T = TypeVar("T")


class Buckets:
    """Buckets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._state = storage_state(cloud)
        self._policies = iam_state(cloud).policies

    def insert(self, ask: Ask) -> Answer:
        self._check_project(ask)
        name = ask.body.get("name")
        if not isinstance(name, str) or not name:
            raise StorageError(400, "Required", "required", "name")
        check_bucket_name(name)
        fields = patched({}, bucket_fields(ask.body))
        fields.setdefault("location", "US")
        fields.setdefault("storageClass", "STANDARD")
        with self._cloud.lock:
            if name in self._state.buckets:
                raise StorageError(
                    409,
                    "Your previous request to create the named bucket succeeded and you already "
                    "own it.",
                )
            return self._shown(self._state.add_bucket(name, fields), ask)

    def list(self, ask: Ask) -> Answer:
        self._check_project(ask)
        prefix = ask.query.get("prefix", "")
        with self._cloud.lock:
            names = sorted(n for n in self._state.buckets if n.startswith(prefix))
        if ask.query.get("softDeleted", "").lower() == "true":
            names = []
        size = whole_number(ask.query, "maxResults", 1000, 1000)
        shown, token = turned(
            lambda: page(names, size, ask.query.get("pageToken", ""), scope=f"buckets {prefix}",
                         default=1000, most=1000)
        )  # fmt: skip
        body: dict[str, Any] = {"kind": "storage#buckets"}
        found = [self._state.buckets[n] for n in shown if n in self._state.buckets]
        if found:
            body["items"] = [bucket_resource(self._cloud, b, ask.base) for b in found]
        return Answer(body | ({"nextPageToken": token} if token else {}))

    def get(self, ask: Ask) -> Answer:
        bucket = self._find(ask)
        check_conditions(ask.query, bucket, reading=True)
        return self._shown(bucket, ask)

    def patch(self, ask: Ask) -> Answer:
        return self._change(ask, lambda old, new: patched(old, new))

    def update(self, ask: Ask) -> Answer:
        """Replaces all but what a bucket keeps for good."""
        kept = ("location", "hierarchicalNamespace")
        return self._change(
            ask, lambda old, new: {k: v for k, v in old.items() if k in kept} | patched({}, new)
        )

    def _change(
        self, ask: Ask, merge: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
    ) -> Answer:
        changes = bucket_fields(ask.body)
        with self._cloud.lock:
            bucket = self._find(ask)
            check_conditions(ask.query, bucket)
            place = changes.get("location")
            if place and place != bucket.fields.get("location"):
                raise StorageError(400, "A bucket's location cannot be changed.")
            bucket.fields = merge(bucket.fields, changes)
            bucket.fields.setdefault("storageClass", "STANDARD")
            bucket.metageneration += 1
            bucket.updated_at = self._cloud.clock.now()
            self._cloud.changed("storage.bucket.updated", f"projects/_/buckets/{bucket.name}", "")
            return self._shown(bucket, ask)

    def delete(self, ask: Ask) -> Answer:
        with self._cloud.lock:
            bucket = self._find(ask)
            check_conditions(ask.query, bucket)
            if bucket.live or bucket.old:
                raise StorageError(409, "The bucket you tried to delete is not empty.")
            self._state.drop_bucket(bucket)
        return Answer(status=204)

    def layout(self, ask: Ask) -> Answer:
        """Where its data lie; gcloud asks before it writes."""
        bucket = self._find(ask)
        resource = bucket_resource(self._cloud, bucket, ask.base)
        space = bucket.fields.get("hierarchicalNamespace") or {"enabled": False}
        return Answer({
            "kind": "storage#storageLayout", "bucket": bucket.name,
            "location": resource["location"], "locationType": resource["locationType"],
            "hierarchicalNamespace": space,
        })  # fmt: skip

    def managed_folders(self, ask: Ask) -> Answer:
        """None: they cannot be made here, but `gcloud storage rm -r` looks for them."""
        self._find(ask)
        return Answer({"kind": "storage#managedFolders"})

    # --- policies -------------------------------------------------------------------------------

    def get_policy(self, ask: Ask) -> Answer:
        bucket = self._find(ask)
        version = whole_number(ask.query, "optionsRequestedPolicyVersion", 1, 10)
        return self._policy(
            bucket, turned(lambda: self._policies.get(bucket.policy_resource, version))
        )

    def set_policy(self, ask: Ask) -> Answer:
        bucket = self._find(ask)
        body = {k: v for k, v in ask.body.items() if k not in ("kind", "resourceId")}
        policy = policy_pb2.Policy()
        try:
            # Cloud Storage's etags are texts that need not be base64.
            etag = body.pop("etag", "")
            json_format.ParseDict(body, policy)
            policy.etag = base64.b64decode(etag, validate=True) if etag else b""
        except (json_format.ParseError, binascii.Error, ValueError, TypeError, AttributeError,
                RecursionError) as error:  # fmt: skip
            raise StorageError(400, f"Invalid policy: {error}") from error
        kept = turned(lambda: self._policies.set(bucket.policy_resource, policy, public=True))
        return self._policy(bucket, kept)

    def test_permissions(self, ask: Ask) -> Answer:
        """Those of the asked that the caller has; the project's owner has all."""
        bucket = self._find(ask)
        asked = ask.many.getlist("permissions")
        turned(lambda: check_permissions(asked, service="storage"))
        caller = turned(
            lambda: caller_of(
                self._cloud, ask.headers, ask.query, host="storage.googleapis.com",
                method="buckets.testIamPermissions",
            )
        )  # fmt: skip
        asked = [p for p in asked if may(self._cloud, caller, p, bucket.policy_resource)]
        body: dict[str, Any] = {"kind": "storage#testIamPermissionsResponse"}
        return Answer(body | ({"permissions": asked} if asked else {}))

    def service_account(self, ask: Ask) -> Answer:
        """Google's own account that sends notifications."""
        self._check_project(ask, ask.path["project"])
        number = self._cloud.project.number
        mail = f"service-{number}@gs-project-accounts.iam.gserviceaccount.com"
        return Answer({"kind": "storage#serviceAccount", "email_address": mail})

    def _policy(self, bucket: Bucket, policy: policy_pb2.Policy) -> Answer:
        shown = json_format.MessageToDict(policy)
        name = f"projects/_/buckets/{bucket.name}"
        return Answer({"kind": "storage#policy", "resourceId": name, **shown})

    def _find(self, ask: Ask) -> Bucket:
        return self._state.bucket(ask.path["bucket"])

    def _shown(self, bucket: Bucket, ask: Ask) -> Answer:
        return Answer(bucket_resource(self._cloud, bucket, ask.base))

    def _check_project(self, ask: Ask, project: str | None = None) -> None:
        named = ask.query.get("project", "") if project is None else project
        if not named:
            raise StorageError(400, "Required parameter: project", "required", "project")
        if named not in (self._cloud.project.id, self._cloud.project.number):
            raise StorageError(400, f"Unknown project id: {named}")


def turned(work: Callable[[], T]) -> T:
    """The work's result, its refusals in Cloud Storage's words."""
    try:
        return work()
    except ApiError as error:
        raise from_api(error) from error
