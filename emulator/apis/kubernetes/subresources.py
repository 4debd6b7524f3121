"""Subresources other than status and scale: log, eviction, binding, token, finalize."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from emulator.apis.kubernetes import deletes, garbage
from emulator.apis.kubernetes.asks import Ask, Outcome
from emulator.apis.kubernetes.controllers import disruption
from emulator.apis.kubernetes.resources import PODS
from emulator.apis.kubernetes.status import (
    StatusError,
    bad_request,
    conflict,
    method_not_allowed,
    no_such_object,
)
from emulator.apis.kubernetes.store import Item
from emulator.clock import rfc3339

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState


def post(state: ClusterState, ask: Ask) -> Outcome:
    """POST on a subresource."""
    target = ask.target
    item = state.item(target.kind, target.namespace, target.name)
    if item is None:
        raise no_such_object(target.kind, target.name)
    match target.sub:
        case "eviction":
            return _evict(state, ask, item)
        case "binding":
            return _bind(state, ask, item)
        case "token":
            return Outcome(201, _token(state, ask, item))
        case _:
            raise method_not_allowed("POST")


def _evict(state: ClusterState, ask: Ask, pod: Item) -> Outcome:
    body = ask.body if isinstance(ask.body, dict) else {}
    options = body.get("deleteOptions") or {}
    if not isinstance(options, dict):
        raise bad_request("json: cannot unmarshal deleteOptions of Eviction")
    _check_budgets(state, pod)
    if not (ask.dry or options.get("dryRun")):
        grace = options.get("gracePeriodSeconds")
        valid = isinstance(grace, int) and not isinstance(grace, bool) and grace >= 0
        deletes.remove(state, pod, {"gracePeriodSeconds": grace if valid else None})
    return Outcome(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})


def _check_budgets(state: ClusterState, pod: Item) -> None:
    """Pass a pod that its disruption budget can spare.

    A pod that is not ready yet, or has ended, disturbs nobody when it goes.
    """
    if not disruption.healthy(dict(pod.body)):
        return
    for budget in state.list("PodDisruptionBudget", pod.namespace):
        if not disruption.covers(budget, dict(pod.body)):
            continue
        room = disruption.room_of(budget, state.list)
        if room.allowed <= 0:
            name = budget["metadata"]["name"]
            text = (
                f"The disruption budget {name} needs {room.desired} healthy pods and has "
                f"{room.healthy} currently"
            )
            cause = {"reason": "DisruptionBudget", "message": text}
            raise StatusError(
                429, "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
                causes=[cause],
            )  # fmt: skip


def _bind(state: ClusterState, ask: Ask, pod: Item) -> Outcome:
    target = ask.body.get("target") if isinstance(ask.body, dict) else None
    name = target.get("name") if isinstance(target, dict) else None
    if not isinstance(name, str) or not name:
        raise bad_request("a Binding names a node in target.name")
    if pod.body["spec"].get("nodeName") or garbage.running(pod):
        why = f'pod {pod.name} is already assigned to node "{pod.body["spec"]["nodeName"]}"'
        raise conflict(PODS, pod.name, why)
    body = copy.deepcopy(pod.body)
    body["spec"]["nodeName"] = name
    if not ask.dry:
        state.replace(pod, body)
    return Outcome(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})


def _token(state: ClusterState, ask: Ask, account: Item) -> dict[str, Any]:
    given = ask.body.get("spec") if isinstance(ask.body, dict) else None
    spec: dict[str, Any] = given if isinstance(given, dict) else {}
    seconds = spec.get("expirationSeconds", 3600)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 600 <= seconds <= 2**32:
        raise bad_request("spec.expirationSeconds: may not specify a duration less than 10 minutes")
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": account.name, "namespace": account.namespace},
        "spec": {**spec, "expirationSeconds": seconds},
        "status": {
            "token": f"emulator.{account.body['metadata']['uid']}",
            "expirationTimestamp": rfc3339(state.now() + seconds),
        },
    }
