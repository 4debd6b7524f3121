"""Models of the registry uploaded, copied, changed and deleted; versions.py has their versions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from google.cloud.aiplatform_v1.types import model, model_service
from google.cloud.aiplatform_v1.types import operation as operation_types
from google.longrunning import operations_pb2

from emulator.apis.vertex import messages
from emulator.apis.vertex.lookup import Registry
from emulator.apis.vertex.model import DEFAULT_ALIAS, ModelVersion, UploadedModel
from emulator.scenario import TIER_LABEL
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.etags import check_etag
from emulator.wire.masks import merge

UPLOAD_S: Final = 60.0
COPY_S: Final = 180.0
DELETE_S: Final = 20.0
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
ALIAS: Final = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_CHANGEABLE: Final = {"display_name", "description", "version_description", "labels"}


class ModelWrites(Registry):
    """The registry's methods that change something."""

    def upload_model(
        self, request: model_service.UploadModelRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to enter a model, or with parent_model another version of one."""
        asked = request.model
        with self._cloud.lock:
            region = self.region(request.parent)
            check_display_name(asked.display_name, "model")
            if not asked.container_spec.image_uri:
                raise invalid("container_spec.image_uri must be set.", field="model.container_spec")
            if asked.artifact_uri and not asked.artifact_uri.startswith("gs://"):
                raise invalid(
                    f"Invalid Google Cloud Storage URI '{asked.artifact_uri}'.",
                    field="model.artifact_uri",
                )
            aliases = list(asked.version_aliases)
            check_aliases(aliases)
            home = self._home(
                region, request.parent_model, request.model_id, dict(asked.labels).get(TIER_LABEL)
            )
            made = ModelVersion(
                str(home.newest), asked.display_name, self._cloud.clock.now(), given=asked,
                aliases=aliases,
            )  # fmt: skip
            path = messages.model_path(self._cloud.project, region, home.id)
            told = model_service.UploadModelOperationMetadata(generic_metadata=self.told())
            answer = model_service.UploadModelResponse(model=path, model_version_id=made.id)
            return self.begin(path, UPLOAD_S, self._entry(home, made, path), told, answer)

    def copy_model(
        self, request: model_service.CopyModelRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to copy a version into a region, as a new model or a version of one there."""
        with self._cloud.lock:
            region = self.region(request.parent)
            source, version = self.version(request.source_model, "source_model")
            if request.model_id and request.parent_model:
                raise invalid("model_id and parent_model exclude each other.", field="model_id")
            home = self._home(region, request.parent_model, request.model_id, source.tier)
            made = ModelVersion(
                str(home.newest), version.display_name, self._cloud.clock.now(),
                given=messages.model_message(
                    self._cloud.project, self._state, source, version
                ),
            )  # fmt: skip
            path = messages.model_path(self._cloud.project, region, home.id)
            told = model_service.CopyModelOperationMetadata(generic_metadata=self.told())
            answer = model_service.CopyModelResponse(model=path, model_version_id=made.id)
            return self.begin(path, COPY_S, self._entry(home, made, path), told, answer)

    def _home(self, region: str, parent: str, number: str, tier: str | None) -> UploadedModel:
        """The model that a new version belongs to: the parent's, or a new one; its number taken."""
        if parent:
            home, _ = self.version(parent, "parent_model")
            if home.region != region:
                raise invalid(f"Model '{parent}' is not in {region}.", field="parent_model")
        else:
            number = number or self.new_id("model")
            if not _ID.fullmatch(number):
                raise invalid(f"Invalid model ID '{number}'.", field="model_id")
            path = messages.model_path(self._cloud.project, region, number)
            coming = self._cloud.operations.running_on("aiplatform", path)
            if coming or (region, number) in self._state.models:
                raise ApiError("ALREADY_EXISTS", f"The Model '{path}' already exists.")
            home = UploadedModel(number, region, tier or "", self._cloud.clock.now())
        home.newest += 1
        return home

    def _entry(self, home: UploadedModel, made: ModelVersion, path: str) -> Any:
        def effect() -> None:
            kept = self._state.models.setdefault((home.region, home.id), home)
            kept.add(made)
            self._cloud.changed("registry.model.uploaded", path, home.tier)

        return effect

    def update_model(self, request: model_service.UpdateModelRequest, call: Call) -> model.Model:
        """Change a version's name, description or labels, at once."""
        with self._cloud.lock:
            kept, version = self.version(request.model.name)
            current = messages.model_message(self._cloud.project, self._state, kept, version)
            check_etag(request.model.etag, current.etag)
            mask = model_service.UpdateModelRequest.pb(request).update_mask
            after = merge(request.model, mask, current)
            refuse_others(list(mask.paths), _CHANGEABLE)
            check_display_name(after.display_name, "model")
            version.given, version.display_name = after, after.display_name
            version.revision += 1
            version.updated_at = self._cloud.clock.now()
            return messages.model_message(self._cloud.project, self._state, kept, version)

    def delete_model(
        self, request: model_service.DeleteModelRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to delete a model, with all versions, that is deployed nowhere."""
        with self._cloud.lock:
            if "@" in request.name:
                raise invalid(
                    f"'{request.name}' names a version; use DeleteModelVersion.", field="name"
                )
            kept, _ = self.version(request.name)
            self.check_unused(kept, *kept.versions.values())
            path = messages.model_path(self._cloud.project, kept.region, kept.id)

            def effect() -> None:
                self._state.models.pop((kept.region, kept.id), None)
                self._cloud.changed("registry.model.deleted", path, kept.tier)

            return self.leave(path, list(kept.versions.values()), effect)

    def leave(
        self, target: str, versions: list[ModelVersion], effect: Callable[[], None]
    ) -> operations_pb2.Operation:
        """Begin to delete versions, which nothing can be deployed from any more."""

        def stay(leaving: bool = False) -> None:
            for version in versions:
                version.leaving = leaving

        stay(leaving=True)
        return self.begin(target, DELETE_S, effect, deletion(self.told()), None, stay)

    def check_unused(self, kept: UploadedModel, *versions: ModelVersion) -> None:
        """Pass versions of a model that are deployed on no endpoint, not even soon."""
        self.check_staying(kept, *versions)
        numbers = {version.id for version in versions}
        for endpoint in self._state.endpoints.values():
            used = endpoint.region == kept.region and any(
                d.model == kept.id and d.version in numbers for d in endpoint.holds
            )
            if used:
                name = messages.model_path(self._cloud.project, kept.region, kept.id)
                path = messages.endpoint_path(self._cloud.project, endpoint)
                raise failed_precondition(
                    f"The Model \"{name}\" is deployed at the Endpoint '{path}'. Please "
                    "undeploy it before deleting it."
                )


def check_aliases(aliases: list[str]) -> None:
    """Pass names that a version may have."""
    for alias in aliases:
        if alias != DEFAULT_ALIAS and not ALIAS.fullmatch(alias):
            raise invalid(
                f"Invalid version alias '{alias}': it must match {ALIAS.pattern}.",
                field="version_aliases",
            )


def deletion(told: Any) -> operation_types.DeleteOperationMetadata:
    """Metadata of a deletion."""
    return operation_types.DeleteOperationMetadata(generic_metadata=told)


def check_display_name(name: str, kind: str) -> None:
    """Pass a display name of at most 128 characters."""
    if not 1 <= len(name) <= 128:
        raise invalid(
            f"The display name of the {kind} must have from 1 to 128 characters.",
            field=f"{kind}.display_name",
        )


def refuse_others(paths: list[str], changeable: set[str]) -> None:
    """Pass a mask of fields that may be changed."""
    for path in paths:
        if path.partition(".")[0] not in changeable:
            raise invalid(f"Field '{path}' cannot be updated.", field="update_mask")
