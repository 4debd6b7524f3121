"""Insert, patch, update and delete of every writable collection, driven by specs.py.

A change is checked at once and takes effect when its operation ends; until then the resource is
not ready for another. What uses what follows from the references of all bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final

from emulator.apis.compute import refusals, rules, traffic, views
from emulator.apis.compute.api import Collection, reply
from emulator.apis.compute.fields import (
    as_body,
    check_name,
    cleared,
    link_of,
    merge,
    path_of,
    places,
)
from emulator.apis.compute.model import (
    COLLECTIONS,
    Body,
    ComputeState,
    fingerprint,
    parts_of,
    state_of,
    stored,
)
from emulator.apis.compute.operation_api import operation_body, operation_name
from emulator.apis.compute.specs import SPECS, Spec
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError
from emulator.wire.names import is_request_id

_IDENTITY: Final = (
    "kind", "id", "creationTimestamp", "selfLink", "selfLinkWithId", "zone", "region", "name",
    "labelFingerprint",
)  # fmt: skip
_PLAIN_NETWORK: Final = "The referenced {title} resource cannot be found."


class Writable(Collection):
    """One collection that callers may change."""

    def __init__(self, cloud: Cloud, spec: Spec) -> None:
        super().__init__(cloud, spec.collection, dict(COLLECTIONS.values())[spec.collection])
        self.spec = spec

    def insert(self, request: Any, call: Call) -> Any:
        """Begin to make a resource."""
        scope = self.scope(request)
        given = self.given(request)
        with self._cloud.lock:
            if (again := self.replayed(request, "insert")) is not None:
                return reply(call, again)
            if "name" not in given:
                raise refusals.unset("name")
            check_name(given["name"])
            path = f"{self._path(scope)}/{given['name']}"
            if self.state.at(path) is not None or path in self.state.pending:
                raise refusals.exists(path)
            body = self._checked({**deepcopy(dict(self.spec.defaults)), **given}, None, scope)
            self.state.serial += 1
            body = stored(
                self._cloud, self.plural, scope, body, self.state.serial, self._cloud.clock.now()
            )
            return reply(call, self.write("insert", path, body, request))

    def patch(self, request: Any, call: Call) -> Any:
        """Begin to change the fields given."""
        return self._change(request, call, "patch")

    def update(self, request: Any, call: Call) -> Any:
        """Begin to replace the resource by the one given."""
        whole = call.method.rules[0].verb == "PUT"
        return self._change(request, call, "update" if whole else "patch")

    def delete(self, request: Any, call: Call) -> Any:
        """Begin to remove a resource that nothing uses."""
        scope = self.scope(request)
        with self._cloud.lock:
            if (again := self.replayed(request, "delete")) is not None:
                return reply(call, again)
            path, before = self.idle(request, call, scope)
            for user in users_of(self._cloud, path):
                raise refusals.in_use(self.spec.title, path, user)
            rules.before_delete(self._cloud, path, before)
            return reply(call, self.write("delete", path, None, request))

    def _change(self, request: Any, call: Call, verb: str) -> Any:
        scope = self.scope(request)
        given = self.given(request)
        with self._cloud.lock:
            if (again := self.replayed(request, verb)) is not None:
                return reply(call, again)
            path, before = self.idle(request, call, scope)
            check_fingerprint(before, given, required=verb == "update")
            if verb == "update":
                kept = {k: before[k] for k in (*_IDENTITY, *self.spec.outputs) if k in before}
                after = {**deepcopy(dict(self.spec.defaults)), **given, **kept}
            else:
                after = merge(before, given, cleared(call.payload))
                after |= {k: before[k] for k in _IDENTITY if k in before}
            return reply(call, self.change(path, before, after, request, verb, scope))

    def change(
        self, path: str, before: Body, after: Body, request: Any, verb: str, scope: str
    ) -> Body:
        """Check a changed body and begin to write it; the operation's body."""
        after = self._checked(after, before, scope)
        for field in self.spec.fixed:
            if after.get(field) != before.get(field):
                raise refusals.bad_value(
                    field, after.get(field, ""), "The field cannot be changed once it is set."
                )
        return self.write(verb, path, after, request)

    def amend(
        self, request: Any, call: Call, verb: str, change: Callable[[Body], None], told: str = ""
    ) -> Any:
        """Begin a change that a method of its own asks for; `told`: the fingerprint it gives."""
        scope = self.scope(request)
        with self._cloud.lock:
            if (again := self.replayed(request, verb)) is not None:
                return reply(call, again)
            path, before = self.idle(request, call, scope)
            if told:
                check_fingerprint(before, {"fingerprint": told})
            after = deepcopy(before)
            change(after)
            return reply(call, self.write(verb, path, self._checked(after, before, scope), request))

    def given(self, request: Any) -> Body:
        """The request's resource without what only the service sets."""
        body = as_body(getattr(request, self.spec.resource))
        for field in (*(f for f in _IDENTITY if f not in ("name",)), *self.spec.outputs):
            body.pop(field, None)
        return body

    def idle(self, request: Any, call: Call, scope: str) -> tuple[str, Body]:
        """(path, body as kept) of the resource that the call names.

        Raises:
            ApiError: there is none, or an operation runs on it.
        """
        path = f"{self._path(scope)}/{self.find(request, call)['name']}"
        if path in self.state.busy:
            raise refusals.not_ready(path)
        return path, deepcopy(self.state.at(path) or self.find(request, call))

    def replayed(self, request: Any, verb: str) -> Body | None:
        """The operation that a call with the same requestId began, if any."""
        given = getattr(request, "request_id", "")
        if not given:
            return None
        if not is_request_id(given):
            raise ApiError(
                "INVALID_ARGUMENT",
                f"Invalid value for field 'requestId': '{given}'. Must be a non-zero UUID.",
                legacy_reason="invalid",
            )
        job = self.state.requests.get(given)
        if job is None:
            return None
        if job.data["type"] != verb or f"/{self.plural}/" not in f"{job.target}/":
            raise refusals.refused(f"The requestId '{given}' was used for another request.")
        return operation_body(self._cloud, job)

    def write(self, verb: str, path: str, body: Body | None, request: Any) -> Body:
        """Begin the operation after which the resource is `body` (None: gone)."""
        if body is not None and self.spec.fingerprint:
            passing = ("fingerprint", "creationTimestamp")
            kept = {k: v for k, v in body.items() if k not in passing}
            body["fingerprint"] = fingerprint(path, kept)
        return start(self._cloud, verb, path, body, self.spec.seconds, request)

    def _checked(self, body: Body, before: Body | None, scope: str) -> Body:
        for field in self.spec.required:
            if field not in body:
                raise refusals.unset(field)
        resolve(self._cloud, self.spec, body)
        rules.check(self._cloud, self.plural, scope, body, before)
        return body


def start(
    cloud: Cloud,
    verb: str,
    path: str,
    body: Body | None,
    seconds: float,
    request: Any = None,
    effect: Callable[[], None] | None = None,
) -> Body:
    """Begin an operation on a resource; its effect puts or drops the body, or is the one given.

    One that was only to be validated ends at once and has no effect.
    """
    state = state_of(cloud)
    scope, collection, name = parts_of(path)

    def done() -> None:
        state.busy.pop(path, None)
        state.pending.pop(path, None)
        if effect is not None:
            effect()
        elif body is None:
            state.drop(collection, scope, name)
        else:
            state.put(collection, scope, body)
        views.settled(cloud, path, gone=verb == "delete")
        past = "inserted" if verb == "insert" else "deleted" if verb == "delete" else "changed"
        shares = traffic.shifted(cloud, collection)
        cloud.changed(f"compute.{collection}.{past}", path, "", **shares)

    kept = {"scope": scope, "type": verb, "request": getattr(request, "request_id", "")}
    kept["id"] = str((body or state.at(path) or {}).get("id", ""))
    full = operation_name(cloud, scope)

    def fail() -> None:
        state.busy.pop(path, None)
        state.pending.pop(path, None)

    if getattr(request, "validate_only", False):
        trial = cloud.operations.start(full, "compute", path, 0.0, lambda: None, kept)
        return operation_body(cloud, trial)
    job = cloud.operations.start(full, "compute", path, seconds, done, kept, undo=fail)
    state.busy[path] = job
    if body is not None:
        state.pending[path] = (collection, body)
    if kept["request"]:
        state.requests[kept["request"]] = job
        until = job.due_at + cloud.operations.kept_s()
        cloud.operations.at(until, lambda: state.requests.pop(kept["request"], None))
    return operation_body(cloud, job)


def check_fingerprint(before: Body, given: Body, *, required: bool = False) -> None:
    """Pass a current fingerprint, or none where it may be left out.

    Raises:
        ApiError: 412 conditionNotMet.
    """
    current = before.get("fingerprint")
    if current is None:
        return
    told = given.pop("fingerprint", None)
    if told is None and required:
        raise refusals.stale("Fingerprint is required to update the resource.")
    if told is not None and told.rstrip("=") != str(current).rstrip("="):
        raise refusals.stale()
    given["fingerprint"] = current


def resolve(cloud: Cloud, spec: Spec, body: Body) -> None:
    """Write every reference as a selfLink.

    Raises:
        ApiError: a required one is missing, one is malformed, names nothing, or something that is
            not ready.
    """
    state = state_of(cloud)
    for ref in spec.refs:
        found = list(places(body, ref.field))
        if ref.required and not found:
            raise refusals.unset(ref.field)
        for node, key, where in found:
            path = path_of(cloud.project, str(node[key]))
            if path is None:
                raise refusals.bad_value(where, node[key], "The URL is malformed.")
            _, collection, _ = parts_of(path)
            if collection not in ref.to:
                raise refusals.bad_value(where, node[key], f"Expected one of: {', '.join(ref.to)}.")
            _check_there(cloud, state, path, collection, where)
            node[key] = link_of(path)


def _check_there(cloud: Cloud, state: ComputeState, path: str, collection: str, where: str) -> None:
    job = state.busy.get(path)
    there = state.at(path) is not None or path in views.pool_groups(cloud, collection)
    if job is not None and (not there or job.data["type"] == "delete"):
        raise refusals.not_ready(path)
    if there:
        return
    if collection in ("networks", "subnetworks"):
        title = SPECS[collection].title
        raise refusals.bad_value(where, link_of(path), _PLAIN_NETWORK.format(title=title))
    raise refusals.missing(path)


def users_of(cloud: Cloud, path: str) -> Iterator[str]:
    """Paths of what refers to a resource, running inserts and changes included."""
    state, link = state_of(cloud), link_of(path)
    own = parts_of(path)[1]
    for collection, spec in SPECS.items():
        fields = [r.field for r in spec.refs if own in r.to]
        if not fields:
            continue
        kept = [
            (link_path(b), b)
            for (c, _), bodies in state.bodies.items()
            if c == collection
            for b in bodies.values()
        ]
        coming = [(p, b) for p, (c, b) in state.pending.items() if c == collection]
        for user, body in (*kept, *coming):
            if user != path and not views.goes_along(state, path, body):
                for field in fields:
                    if any(node[key] == link for node, key, _ in places(body, field)):
                        yield user
                        break
    yield from views.outside_users(cloud, path)


def link_path(body: Body) -> str:
    """The path in a body's selfLink."""
    return str(body["selfLink"]).partition("/compute/v1/")[2]
