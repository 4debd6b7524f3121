"""Reviews: who the caller is and what somebody may do, as the project's IAM policies say it.

Access rules inside the cluster (RBAC objects) are kept, and not worked out: GKE takes what IAM
allows as well, and that is what is told here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from emulator.apis.iam.callers import Caller, caller_of
from emulator.apis.iam.enforcement import may
from emulator.apis.iam.needed import permission_for
from emulator.apis.kubernetes.asks import Ask, Outcome, object_of
from emulator.apis.kubernetes.resources import Kinds
from emulator.apis.kubernetes.status import bad_request, invalid
from emulator.context import Cloud
from emulator.faults.naming import asked_kubernetes

Obj = dict[str, Any]
_EVERY: Final = ["*"]
_VERBS: Final = {"deletecollection": "delete"}
# Addresses that everybody who signs in may read.
_PUBLIC: Final = ("/api", "/apis", "/healthz", "/livez", "/openapi", "/readyz", "/version")


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Answers for one cluster; `place` holds its project, location and name."""

    cloud: Cloud
    place: Mapping[str, str]
    kinds: Kinds

    def answer(self, ask: Ask, headers: Mapping[str, str]) -> Outcome:
        """The review that was posted, with its status; nothing is kept."""
        caller = caller_of(self.cloud, headers, {}, host="", method="reviews")
        kind = ask.target.kind
        body = object_of(ask, kind)
        spec = body.get("spec") or {}
        if not isinstance(spec, dict):
            raise bad_request("json: cannot unmarshal spec")
        match kind.name:
            case "SelfSubjectReview":
                status: Obj = {"userInfo": {"username": self._name(caller),
                                            "groups": _groups(caller)}}  # fmt: skip
            case "SelfSubjectRulesReview":
                status = self._rules(caller, str(spec.get("namespace") or "default"))
            case _:
                _check(ask, spec)
                who = caller if kind.name.startswith("Self") else self._named(spec)
                status = self._verdict(who, spec)
        return Outcome(201, {**body, "status": status})

    def _name(self, caller: Caller) -> str:
        return f"{self.cloud.project.id}@emulator" if caller.owner else caller.email

    def _named(self, spec: Obj) -> Caller:
        """Whom a review is about that is not about its caller."""
        user = str(spec.get("user") or "")
        if user in (f"{self.cloud.project.id}@emulator", Caller().email):
            return Caller()
        account = user.endswith(".gserviceaccount.com")
        return Caller(f"{'serviceAccount' if account else 'user'}:{user}")

    def _verdict(self, caller: Caller, spec: Obj) -> Obj:
        asked = spec.get("resourceAttributes")
        if asked is None:
            path = str(spec["nonResourceAttributes"].get("path") or "")
            public = path.startswith(_PUBLIC) or path == "/"
            allowed = caller.owner or public
        elif "*" in (asked.get("verb"), asked.get("resource"), asked.get("group")):
            allowed = caller.owner
        else:
            kind, sub = str(asked.get("resource") or ""), str(asked.get("subresource") or "")
            place = (str(asked.get("namespace") or ""), str(asked.get("name") or ""))
            allowed = self._may(caller, str(asked.get("verb") or ""), kind, sub, *place)
        if caller.owner:
            return {"allowed": True, "reason": "the caller owns the project"}
        return {"allowed": allowed} if allowed else {
            "allowed": False, "reason": "no IAM role of the caller has the permission"}  # fmt: skip

    def _may(
        self, caller: Caller, verb: str, kind: str, sub: str = "", namespace: str = "",
        name: str = "",
    ) -> bool:  # fmt: skip
        action = "getLogs" if (kind, sub) == ("pods", "log") else _VERBS.get(verb, verb)
        cluster = "projects/{project}/locations/{location}/clusters/{cluster}".format(**self.place)
        asked = asked_kubernetes(cluster, action, kind, namespace, name)
        permission = permission_for(asked)
        return not permission or may(self.cloud, caller, permission, *asked.resources)

    def _rules(self, caller: Caller, namespace: str) -> Obj:
        paths = [{"verbs": ["get"], "nonResourceURLs": list(_PUBLIC)}]
        if caller.owner:
            every = {"verbs": _EVERY, "apiGroups": _EVERY, "resources": _EVERY}
            paths = [{"verbs": _EVERY, "nonResourceURLs": _EVERY}]
            return {"resourceRules": [every], "nonResourceRules": paths, "incomplete": False}
        rules: list[Obj] = []
        for kind in self.kinds:
            verbs = [v for v in kind.verbs if self._may(caller, v, kind.plural, "", namespace)]
            if verbs:
                rules.append(
                    {"verbs": verbs, "apiGroups": [kind.group], "resources": [kind.plural]}
                )
        return {"resourceRules": rules, "nonResourceRules": paths, "incomplete": False}


def _groups(caller: Caller) -> list[str]:
    return ["system:masters"] * caller.owner + ["system:authenticated"]


def _check(ask: Ask, spec: Obj) -> None:
    given = [k for k in ("resourceAttributes", "nonResourceAttributes") if spec.get(k)]
    if len(given) != 1 or not isinstance(spec[given[0]], dict):
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = {"reason": "FieldValueInvalid", "message": text, "field": "spec"}
        raise invalid(ask.target.kind, "", [cause])
