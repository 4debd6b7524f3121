"""Reviews: who the caller is and what the caller may do.

Nobody signs in on loopback: the caller owns the project and may do all that a cluster's
administrator may. Other users may nothing, since no access rules are worked out here.
"""

from __future__ import annotations

from typing import Any, Final

from emulator.apis.kubernetes.asks import Ask, Outcome, object_of
from emulator.apis.kubernetes.status import bad_request, invalid

Obj = dict[str, Any]
_GROUPS: Final = ["system:masters", "system:authenticated"]
_EVERY: Final = ["*"]


def answer(ask: Ask, user: str) -> Outcome:
    """The review that was posted, with its status; nothing is kept."""
    kind = ask.target.kind
    body = object_of(ask, kind)
    spec = body.get("spec") or {}
    if not isinstance(spec, dict):
        raise bad_request("json: cannot unmarshal spec")
    match kind.name:
        case "SelfSubjectReview":
            status: Obj = {"userInfo": {"username": user, "groups": _GROUPS}}
        case "SelfSubjectRulesReview":
            rules = [{"verbs": _EVERY, "apiGroups": _EVERY, "resources": _EVERY}]
            paths = [{"verbs": _EVERY, "nonResourceURLs": _EVERY}]
            status = {"resourceRules": rules, "nonResourceRules": paths, "incomplete": False}
        case _:
            _check(ask, spec)
            allowed = kind.name.startswith("Self") or spec.get("user") == user
            status = {"allowed": allowed}
            if allowed:
                status["reason"] = "the caller owns the project"
    return Outcome(201, {**body, "status": status})


def _check(ask: Ask, spec: Obj) -> None:
    given = [k for k in ("resourceAttributes", "nonResourceAttributes") if spec.get(k)]
    if len(given) != 1:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = {"reason": "FieldValueInvalid", "message": text, "field": "spec"}
        raise invalid(ask.target.kind, "", [cause])
