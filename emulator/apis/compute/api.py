"""Handlers of compute's reads: list, get and aggregated list, the same for every collection.

Bodies are JSON (model.py); the message classes come from the method called.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import json_format

from emulator.apis.compute import views
from emulator.apis.compute.model import HOST, Body, ComputeState, numeric_id, state_of
from emulator.apis.compute.refusals import missing
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import new_message, plain
from emulator.wire.errors import invalid
from emulator.wire.filters import compile_filter
from emulator.wire.paging import page

_MAX_RESULTS: Final = 500


def reply(call: Call, body: Body) -> Any:
    """The body as the message that the method answers with."""
    instance, target = new_message(call.method.response)
    json_format.ParseDict(body, target)
    return instance


class Resources:
    """What every compute handler needs: the state, the project check, listing."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    @property
    def state(self) -> ComputeState:
        """The bodies, made on first use."""
        return state_of(self._cloud)

    def check(self, request: Any) -> str:
        """The project's id; NOT_FOUND for another project, as compute answers."""
        project = self._cloud.project
        if request.project not in (project.id, project.number):
            raise missing(f"projects/{request.project}")
        return project.id

    def scope(self, request: Any) -> str:
        """ "zones/Z", "regions/R" or "global"; NOT_FOUND for a zone or region that is not."""
        project = self.check(request)
        for kind in ("zone", "region"):
            name = getattr(request, kind, "")
            if name:
                if name not in self.state.of(f"{kind}s", "global"):
                    raise missing(f"projects/{project}/{kind}s/{name}")
                return f"{kind}s/{name}"
        return "global"

    def select(self, request: Any, items: list[Body], scope: str) -> tuple[list[Body], str]:
        """One page of the items that pass the request's filter, in its order."""
        kept = [i for i in items if compile_filter(request.filter)(i)]
        order = request.order_by
        if order == "creationTimestamp desc":
            kept.reverse()
        elif order not in ("", "name"):
            raise invalid(f"Invalid value for field 'orderBy': '{order}'.", field="orderBy")
        else:
            kept.sort(key=lambda i: str(i.get("name", "")))
        given = request.max_results if "max_results" in request else _MAX_RESULTS
        if not 0 <= given <= _MAX_RESULTS:
            raise invalid(
                f"Invalid value for field 'maxResults': '{given}'. Must be between 0 and 500.",
                field="maxResults",
            )
        return page(
            kept, given, request.page_token,
            scope=f"{scope}|{request.filter}|{order}", default=_MAX_RESULTS, most=_MAX_RESULTS,
        )  # fmt: skip


class Collection(Resources):
    """One collection, e.g. healthChecks."""

    def __init__(self, cloud: Cloud, plural: str, kind: str) -> None:
        super().__init__(cloud)
        self.plural = plural
        self.kind = kind

    def bodies(self, scope: str) -> dict[str, Body]:
        """All of one scope by name."""
        found = self.state.of(self.plural, scope)
        return {n: views.shown(self._cloud, self.plural, b) for n, b in list(found.items())}

    def scopes(self) -> list[str]:
        """Scopes that hold something."""
        return self.state.scopes(self.plural)

    def list(self, request: Any, call: Call) -> Any:
        scope = self.scope(request)
        path = self._path(scope)
        shown, token = self.select(request, [*self.bodies(scope).values()], path)
        body: Body = {
            "kind": f"compute#{self.kind}List",
            "id": path,
            "items": shown,
        }
        if "self_link" in plain(call.method.response()).DESCRIPTOR.fields_by_name:
            body["selfLink"] = f"{HOST}/{path}"
        if token:
            body["nextPageToken"] = token
        return reply(call, body)

    def get(self, request: Any, call: Call) -> Any:
        return reply(call, self.find(request, call))

    def find(self, request: Any, call: Call) -> Body:
        """The body that the last part of the call's URL names."""
        scope = self.scope(request) if self.plural not in ("zones", "regions") else "global"
        self.check(request)
        name = getattr(request, call.method.rules[0].uri.rsplit("{", 1)[1].split("}")[0])
        found = self.bodies(scope).get(name) or self._by_id(scope, name)
        if found is None:
            raise missing(f"{self._path(scope)}/{name}")
        return found

    def aggregated_list(self, request: Any, call: Call) -> Any:
        project = self.check(request)
        found = [(scope, body) for scope in self.scopes() for body in self.bodies(scope).values()]
        path = f"projects/{project}/aggregated/{self.plural}"
        marked = [{**body, "@scope": scope} for scope, body in found]
        shown, token = self.select(request, marked, path)
        items: dict[str, Body] = {}
        for body in shown:
            scope = body.pop("@scope")
            items.setdefault(scope, {self.plural: []})[self.plural].append(body)
        answer: Body = {
            "kind": f"compute#{self.kind}AggregatedList",
            "id": path,
            "items": items or {"global": _nothing_in("global")},
        }
        if "self_link" in plain(call.method.response()).DESCRIPTOR.fields_by_name:
            answer["selfLink"] = f"{HOST}/{path}"
        if token:
            answer["nextPageToken"] = token
        return reply(call, answer)

    def _path(self, scope: str) -> str:
        project = self._cloud.project.id
        if self.plural in ("zones", "regions"):
            return f"projects/{project}/{self.plural}"
        return f"projects/{project}/{scope}/{self.plural}"

    def _by_id(self, scope: str, number: str) -> Body | None:
        return next((b for b in self.bodies(scope).values() if b.get("id") == number), None)


def _nothing_in(scope: str) -> Body:
    return {
        "warning": {
            "code": "NO_RESULTS_ON_PAGE",
            "message": f"There are no results for scope '{scope}' on this page.",
            "data": [{"key": "scope", "value": scope}],
        }
    }


class Projects(Resources):
    """The project itself."""

    def get(self, request: Any, call: Call) -> Any:
        project = self.check(request)
        return reply(
            call,
            {
                "kind": "compute#project",
                "id": numeric_id(f"projects/{project}"),
                "name": project,
                "selfLink": f"{HOST}/projects/{project}",
                "defaultServiceAccount": (
                    f"{self._cloud.project.number}-compute@developer.gserviceaccount.com"
                ),
                "defaultNetworkTier": "PREMIUM",
                "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
            },
        )
