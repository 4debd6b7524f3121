"""The patch kinds: JSON patch and JSON merge patch here, strategic merge in strategic.py."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch

from emulator.apis.kubernetes.asks import JSON_PATCH, MERGE_PATCH
from emulator.apis.kubernetes.overlays import merged
from emulator.apis.kubernetes.resources import Kind
from emulator.apis.kubernetes.status import StatusError, bad_request
from emulator.apis.kubernetes.strategic import strategic_merge

_LONGEST = 10_000  # operations of one JSON patch


def patched(kind: Kind | None, current: dict[str, Any], form: str, patch: Any) -> dict[str, Any]:
    """The object after the patch; `current` stays as it is.

    Raises:
        StatusError: 400, it is no patch; 422, it does not fit the object; 415, a custom resource
            has no strategic merge.
    """
    current = copy.deepcopy(current)
    if form == JSON_PATCH:
        result = _operations(current, patch)
    elif not isinstance(patch, dict):
        raise bad_request("the patch must be an object")
    elif form == MERGE_PATCH:
        result = merged(current, patch)
    elif kind is not None and not kind.model:
        text = (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, "
            "application/apply-patch+yaml"
        )
        raise StatusError(415, "UnsupportedMediaType", text)
    else:
        result = strategic_merge(kind.model if kind else "", current, patch)
    if not isinstance(result, dict):
        raise bad_request("the patch leaves no object")
    return result


def _operations(current: dict[str, Any], patch: Any) -> Any:
    if not isinstance(patch, list) or len(patch) > _LONGEST:
        raise bad_request("a JSON patch is a list of operations")
    try:
        return jsonpatch.apply_patch(current, patch)
    except (jsonpatch.JsonPatchConflict, jsonpatch.JsonPatchTestFailed) as error:
        text = f"the server rejected our request due to an error in our request: {error!s:.200}"
        raise StatusError(422, "Invalid", text) from error
    except (
        jsonpatch.JsonPatchException, jsonpatch.JsonPointerException,
        TypeError, ValueError, KeyError, IndexError, AttributeError,
    ) as error:  # fmt: skip
        shown = json.dumps(patch)[:80]
        raise bad_request(f"invalid JSON patch {shown}: {error!s:.200}") from error
