"""Resource Manager v1, which gcloud still calls: no client library describes it any more.

Policies are those of v3; only a project looks another way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from google.iam.v1 import iam_policy_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator.apis.resourcemanager.api import Projects, check_texts
from emulator.apis.resourcemanager.model import ORGANISATION, project_state, searchable
from emulator.clock import rfc3339
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import SYSTEM_PARAMETERS
from emulator.wire.errors import ApiError, invalid, to_envelope
from emulator.wire.filters import compile_filter
from emulator.wire.library import Method
from emulator.wire.paging import page
from emulator.wire.partial import asked_for
from emulator.wire.rest import json_response

Body = Mapping[str, Any]
Handler = Callable[[str, Body, Request], Any]
M = TypeVar("M", bound=Message)
_SERVICE = "google.cloud.resourcemanager.v1.Projects"
_KEPT = ("projectNumber", "projectId", "lifecycleState", "createTime", "parent")


class ProjectsV1:
    """The handlers; each takes the project's id, the body and the request."""

    def __init__(self, cloud: Cloud, projects: Projects) -> None:
        self._cloud = cloud
        self._projects = projects
        self._state = project_state(cloud)

    def app(self) -> Starlette:
        """The application, for paths below /v1."""
        one = "/projects/{project}"
        served: tuple[tuple[str, str, str, Handler, tuple[str, ...]], ...] = (
            ("ListProjects", "GET", "/projects", self._list, ("filter", "pageSize", "pageToken")),
            ("GetAncestry", "POST", f"{one}:getAncestry", self._ancestry, ()),
            ("GetIamPolicy", "POST", f"{one}:getIamPolicy", self._get_policy, ()),
            ("SetIamPolicy", "POST", f"{one}:setIamPolicy", self._set_policy, ()),
            ("TestIamPermissions", "POST", f"{one}:testIamPermissions", self._test, ()),
            ("GetProject", "GET", one, self._get, ()),
            ("UpdateProject", "PUT", one, self._update, ()),
        )
        routes = [
            Route(path, self._endpoint(name, handler, known), methods=[verb])
            for name, verb, path, handler, known in served
        ]
        return Starlette(routes=routes, exception_handlers={404: _nowhere, 405: _nowhere})

    def _endpoint(
        self, name: str, handler: Handler, known: tuple[str, ...]
    ) -> Callable[[Request], Any]:
        def answer(request: Request, raw: bytes) -> Response:
            code = "OK"
            try:
                _check_query(request, known)
                project = request.path_params.get("project", "")
                if project:
                    self._projects.check(f"projects/{project}")
                keep = asked_for(request.query_params)
                return json_response(keep(handler(project, _object(raw), request)))
            except ApiError as error:
                code = error.code.name
                return json_response(to_envelope(error), error.http_status)
            finally:
                self._cloud.calls.count(_SERVICE, name, "rest", code)

        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            return await asyncio.get_running_loop().run_in_executor(None, answer, request, raw)

        return endpoint

    def _get(self, project: str, body: Body, request: Request) -> Any:
        return self._resource()

    def _list(self, project: str, body: Body, request: Request) -> Any:
        query = request.query_params
        text, size = query.get("filter", ""), query.get("pageSize", "0")
        if not size.isascii() or not size.isdigit() or len(size) > 9:
            raise invalid(f"Invalid value at 'page_size' (TYPE_INT32), {size!r}", field="page_size")
        fits = compile_filter(text)(searchable(self._cloud, self._state))
        shown, token = page(
            [self._resource()] if fits else [], int(size), query.get("pageToken", ""),
            scope=text, default=500, most=500,
        )  # fmt: skip
        found: dict[str, Any] = {"projects": shown} if shown else {}
        return found | ({"nextPageToken": token} if token else {})

    def _update(self, project: str, body: Body, request: Request) -> Any:
        current = self._resource()
        if unknown := set(body) - {*current, "labels", "name"}:
            raise _unknown_field(", ".join(sorted(unknown)))
        if any(body.get(k, current[k]) != current[k] for k in _KEPT):
            raise invalid("Only the name and labels of a project can be updated.")
        labels = body.get("labels", {})
        texts = isinstance(labels, dict) and all(isinstance(v, str) for v in labels.values())
        if not texts or not isinstance(body.get("name", ""), str):
            raise invalid("Invalid JSON payload received. Name and labels must be texts.")
        name = body.get("name", self._state.display_name)
        check_texts(name, labels)
        with self._cloud.lock:
            self._state.put(self._cloud, name, labels)
        return self._resource()

    def _ancestry(self, project: str, body: Body, request: Request) -> Any:
        if body:
            raise _unknown_field(next(iter(body)))
        chain = (("project", self._cloud.project.id), ("organization", ORGANISATION))
        return {"ancestor": [{"resourceId": {"type": t, "id": i}} for t, i in chain]}

    def _get_policy(self, project: str, body: Body, request: Request) -> Any:
        message = _read(iam_policy_pb2.GetIamPolicyRequest, project, body)
        return _shown(self._projects.get_iam_policy(message, _CALL))

    def _set_policy(self, project: str, body: Body, request: Request) -> Any:
        message = _read(iam_policy_pb2.SetIamPolicyRequest, project, body)
        return _shown(self._projects.set_iam_policy(message, _CALL))

    def _test(self, project: str, body: Body, request: Request) -> Any:
        message = _read(iam_policy_pb2.TestIamPermissionsRequest, project, body)
        headers = {k.lower(): v for k, v in request.headers.items()}
        call = replace(_CALL, headers=headers, query=tuple(request.query_params.multi_items()))
        return _shown(self._projects.test_iam_permissions(message, call))

    def _resource(self) -> dict[str, Any]:
        own, state = self._cloud.project, self._state
        return {
            "projectNumber": own.number,
            "projectId": own.id,
            "lifecycleState": "ACTIVE",
            "name": state.display_name,
            "createTime": rfc3339(self._cloud.clock.epoch()),
            "parent": {"type": "organization", "id": ORGANISATION},
        } | ({"labels": dict(state.labels)} if state.labels else {})


# v3's handlers take a call; none of those used here looks at it.
_CALL = Call("rest", Method(_SERVICE, "", "", "", Message, Message, ()), {})


def _read(kind: type[M], project: str, body: Body) -> M:
    message = kind()
    try:
        json_format.ParseDict(dict(body), message)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error
    message.resource = f"projects/{project}"  # type: ignore[attr-defined]
    return message


def _shown(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(message)


def _object(raw: bytes) -> Body:
    try:
        body = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise invalid(f"Invalid JSON payload received. Parse error: {error}") from error
    if not isinstance(body, dict):
        raise invalid("Invalid JSON payload received. Root element must be a message.")
    return body


def _check_query(request: Request, known: tuple[str, ...]) -> None:
    for name in request.query_params:
        if name not in known and name not in SYSTEM_PARAMETERS:
            raise _unknown_field(name)


def _unknown_field(name: str) -> ApiError:
    return invalid(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')


async def _nowhere(request: Request, _error: Exception) -> Response:
    error = ApiError(
        "NOT_FOUND", f"The requested URL {request.method} {request.url.path} was not found."
    )
    return json_response(to_envelope(error), 404)
