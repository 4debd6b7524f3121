"""Handlers of a model's versions: listed, named by aliases, deleted."""

from __future__ import annotations

from google.cloud.aiplatform_v1.types import model, model_service
from google.longrunning import operations_pb2

from emulator.apis.vertex import messages
from emulator.apis.vertex.model import DEFAULT_ALIAS
from emulator.apis.vertex.model_writes import ModelWrites, check_aliases
from emulator.wire.call import Call
from emulator.wire.errors import failed_precondition, invalid


class Versions(ModelWrites):
    """ListModelVersions, MergeVersionAliases and DeleteModelVersion."""

    def list_model_versions(
        self, request: model_service.ListModelVersionsRequest, call: Call
    ) -> model_service.ListModelVersionsResponse:
        """The versions, newest first unless ordered otherwise."""
        with self._cloud.lock:
            kept, _ = self.version(request.name)
            project = self._cloud.project
            found = [
                messages.model_message(project, self._state, kept, v)
                for v in reversed(kept.versions.values())
            ]
        shown, token = self.chosen(request, request.name, found)
        return model_service.ListModelVersionsResponse(models=shown, next_page_token=token)

    def merge_version_aliases(
        self, request: model_service.MergeVersionAliasesRequest, call: Call
    ) -> model.Model:
        """Give a version aliases, each of one version only; "-alias" takes one away."""
        with self._cloud.lock:
            kept, version = self.version(request.name)
            asked = list(request.version_aliases)
            if not asked:
                raise invalid("version_aliases must not be empty.", field="version_aliases")
            gone = [a[1:] for a in asked if a.startswith("-")]
            given = [a for a in asked if not a.startswith("-")]
            check_aliases([*given, *gone])
            if DEFAULT_ALIAS in gone:
                raise invalid(
                    "The alias 'default' cannot be removed; give it to another version.",
                    field="version_aliases",
                )
            for other in kept.versions.values():
                other.aliases = [a for a in other.aliases if a not in given]
            version.aliases = [a for a in version.aliases if a not in gone] + given
            version.revision += 1
            version.updated_at = self._cloud.clock.now()
            path = messages.model_path(self._cloud.project, kept.region, kept.id)
            self._cloud.changed("registry.model.aliased", path, kept.tier, version=version.id)
            return messages.model_message(self._cloud.project, self._state, kept, version)

    def delete_model_version(
        self, request: model_service.DeleteModelVersionRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to delete a version that is neither the default nor deployed."""
        with self._cloud.lock:
            kept, version = self.version(request.name)
            if "@" not in request.name:
                raise invalid(f"'{request.name}' names no version.", field="name")
            if DEFAULT_ALIAS in version.aliases:
                raise failed_precondition(
                    f"Version {version.id} is the default version of model {kept.id}; make "
                    "another the default first, or delete the model."
                )
            self.check_unused(kept, version)
            path = messages.model_path(self._cloud.project, kept.region, kept.id)

            def effect() -> None:
                kept.versions.pop(version.id, None)
                self._cloud.changed("registry.model.deleted", path, kept.tier, version=version.id)

            return self.leave(f"{path}@{version.id}", [version], effect)
