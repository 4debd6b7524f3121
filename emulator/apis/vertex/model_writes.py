"""Models of the registry uploaded, changed and deleted."""

from __future__ import annotations

import re
from typing import Any, Final

from google.cloud.aiplatform_v1.types import model, model_service
from google.cloud.aiplatform_v1.types import operation as operation_types
from google.longrunning import operations_pb2

from emulator.apis.vertex import messages
from emulator.apis.vertex.lookup import Registry
from emulator.apis.vertex.model import UploadedModel
from emulator.scenario import TIER_LABEL
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.etags import check_etag
from emulator.wire.masks import merge

UPLOAD_S: Final = 60.0
DELETE_S: Final = 20.0
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_CHANGEABLE: Final = {"display_name", "description", "version_description", "labels"}


class ModelWrites(Registry):
    """The registry's methods that change something."""

    def upload_model(
        self, request: model_service.UploadModelRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to enter a model."""
        asked = request.model
        with self._cloud.lock:
            self.region(request.parent)
            if request.parent_model:
                raise ApiError("UNIMPLEMENTED", "The emulator keeps one version of each model.")
            check_display_name(asked.display_name, "model")
            if not asked.container_spec.image_uri:
                raise invalid("container_spec.image_uri must be set.", field="model.container_spec")
            if asked.artifact_uri and not asked.artifact_uri.startswith("gs://"):
                raise invalid(
                    f"Invalid Google Cloud Storage URI '{asked.artifact_uri}'.",
                    field="model.artifact_uri",
                )
            number = request.model_id or self.new_id("model")
            if not _ID.fullmatch(number):
                raise invalid(f"Invalid model ID '{number}'.", field="model_id")
            if number in self._state.models:
                path = messages.model_path(self._cloud.project, number)
                raise ApiError("ALREADY_EXISTS", f"The Model '{path}' already exists.")
            labels = dict(asked.labels)
            made = UploadedModel(
                number, asked.display_name, labels.get(TIER_LABEL, ""), self._cloud.clock.now(),
                given=asked,
            )  # fmt: skip
            return self._enter(made)

    def _enter(self, made: UploadedModel) -> operations_pb2.Operation:
        path = messages.model_path(self._cloud.project, made.id)

        def effect() -> None:
            self._state.models[made.id] = made
            self._cloud.changed("registry.model.uploaded", path, made.tier)

        told = model_service.UploadModelOperationMetadata(generic_metadata=self.told())
        answer = model_service.UploadModelResponse(model=path, model_version_id="1")
        return self.begin(path, UPLOAD_S, effect, told, answer)

    def update_model(self, request: model_service.UpdateModelRequest, call: Call) -> model.Model:
        """Change name, description or labels, at once."""
        with self._cloud.lock:
            kept = self.model(request.model.name)
            current = messages.model_message(self._cloud.project, self._state, kept)
            check_etag(request.model.etag, current.etag)
            mask = model_service.UpdateModelRequest.pb(request).update_mask
            after = merge(request.model, mask, current)
            refuse_others(list(mask.paths), _CHANGEABLE)
            check_display_name(after.display_name, "model")
            kept.given, kept.display_name = after, after.display_name
            kept.revision += 1
            kept.updated_at = self._cloud.clock.now()
            return messages.model_message(self._cloud.project, self._state, kept)

    def delete_model(
        self, request: model_service.DeleteModelRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to delete a model that is deployed nowhere."""
        with self._cloud.lock:
            kept = self.model(request.name)
            used = [
                e for e in self._state.endpoints.values()
                if any(d.model == kept.id for d in e.deployments.values())
            ]  # fmt: skip
            if used:
                path = messages.endpoint_path(self._cloud.project, used[0])
                raise failed_precondition(
                    f"The Model \"{request.name}\" is deployed at the Endpoint '{path}'. Please "
                    "undeploy it before deleting it."
                )
            path = messages.model_path(self._cloud.project, kept.id)

            def effect() -> None:
                self._state.models.pop(kept.id, None)
                self._cloud.changed("registry.model.deleted", path, kept.tier)

            return self.begin(path, DELETE_S, effect, deletion(self.told()), None)


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
