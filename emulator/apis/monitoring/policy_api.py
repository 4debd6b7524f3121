"""google.monitoring.v3.AlertPolicyService: the life cycle of alert policies."""

from __future__ import annotations

from typing import Any, Final

from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.types import alert
from google.protobuf import empty_pb2

from emulator.apis.monitoring.listing import paged, select
from emulator.apis.monitoring.model import (
    OWNER,
    MonitoringState,
    Reign,
    canonical,
    project_of,
    stamp,
)
from emulator.apis.monitoring.policy_checks import check_policy, conditions_of
from emulator.apis.monitoring.series import SeriesReader
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid
from emulator.wire.masks import merge

_NAME: Final = "projects/{project}/alertPolicies/{policy}"
_MOST_POLICIES: Final = 2000


class AlertPolicies:
    """Policies; what they find is told by alerts_api.py."""

    def __init__(self, cloud: Cloud, state: MonitoringState, reader: SeriesReader) -> None:
        self._cloud = cloud
        self._state = state
        self._reader = reader

    def create_alert_policy(self, request: Any, call: Call) -> Any:
        """Keeps a new policy under a name of Monitoring's choosing."""
        project_of(self._cloud, request.name)
        with self._cloud.lock:
            if len(self._state.policies) >= _MOST_POLICIES:
                raise ApiError(
                    "RESOURCE_EXHAUSTED", f"A project has at most {_MOST_POLICIES} alert policies."
                )
            policy = _copy(request.alert_policy)
            policy.name = ""
            for condition in policy.conditions:
                condition.name = ""
            now = self._cloud.clock.now()
            record = {"mutate_time": stamp(now), "mutated_by": OWNER}
            policy.creation_record = policy.mutation_record = record
            self.keep(policy, now)
            self._changed("created", policy)
        return policy

    def keep(self, policy: alert.AlertPolicy, at: float) -> alert.AlertPolicy:
        """Check a policy and let it reign from `at` (Unix seconds) on; names what has no name."""
        if not alert.AlertPolicy.pb(policy).HasField("enabled"):
            policy.enabled = True
        policy.notification_channels = [
            canonical(
                self._cloud, "projects/{project}/notificationChannels/{channel}", name,
                field="alert_policy.notification_channels",
            )
            for name in policy.notification_channels
        ]  # fmt: skip
        check_policy(policy, self._state.channels)
        tests = conditions_of(policy, self._reader)
        # Numbers are taken only now: what is refused must leave no trace.
        if not policy.name:
            number = self._state.new_id(self._cloud.seed, "policy")
            policy.name = f"projects/{self._cloud.project.id}/alertPolicies/{number}"
        for condition in policy.conditions:
            if not condition.name:
                number = self._state.new_id(self._cloud.seed, "condition")
                condition.name = f"{policy.name}/conditions/{number}"
        known = self._state.policies.get(policy.name)
        self._state.policies[policy.name] = policy
        reigns = self._state.reigns.setdefault(policy.name, [])
        if known is None or _evaluated(known) != _evaluated(policy):
            _end(reigns, at)
            reigns.append(Reign(policy, tests, at))
        else:
            reigns[-1] = Reign(policy, tests, reigns[-1].start)
        return policy

    def list_alert_policies(self, request: Any, call: Call) -> Any:
        """Policies that match a filter, in a sort order."""
        project_of(self._cloud, request.name)
        with self._cloud.lock:
            policies = list(self._state.policies.values())
        found = select(policies, request.filter, request.order_by)
        items, token = paged(
            request, found, scope=f"policies {request.filter} {request.order_by}", default=1000
        )
        return monitoring_v3.ListAlertPoliciesResponse(
            alert_policies=items, next_page_token=token, total_size=len(found)
        )

    def get_alert_policy(self, request: Any, call: Call) -> Any:
        """One policy."""
        return self._find(request.name)

    def update_alert_policy(self, request: Any, call: Call) -> Any:
        """Changes the masked fields, or all of them without a mask."""
        with self._cloud.lock:
            known = self._find(request.alert_policy.name)
            if request.update_mask.paths:
                policy = merge(request.alert_policy, request.update_mask, known)
            else:
                policy = _copy(request.alert_policy)
            policy.name = known.name
            self._check_conditions(policy, known)
            now = self._cloud.clock.now()
            policy.creation_record = known.creation_record
            policy.mutation_record = {"mutate_time": stamp(now), "mutated_by": OWNER}
            self.keep(policy, now)
            self._changed("updated", policy)
        return policy

    def _check_conditions(self, policy: alert.AlertPolicy, known: alert.AlertPolicy) -> None:
        """A named condition is one that the policy has."""
        names = {condition.name for condition in known.conditions}
        given = [condition.name for condition in policy.conditions if condition.name]
        for name in given:
            if name not in names or given.count(name) > 1:
                raise invalid(
                    f'Field alert_policy.conditions had an invalid value of "{name}": the policy '
                    "has no such condition, or it is given twice.",
                    field="alert_policy.conditions",
                )

    def delete_alert_policy(self, request: Any, call: Call) -> Any:
        """Deletes a policy; its open alerts close."""
        with self._cloud.lock:
            policy = self._find(request.name)
            del self._state.policies[policy.name]
            _end(self._state.reigns[policy.name], self._cloud.clock.now())
            self._changed("deleted", policy)
        return empty_pb2.Empty()

    def _changed(self, verb: str, policy: alert.AlertPolicy) -> None:
        tier = policy.user_labels.get("heartwood-tier", "")
        self._cloud.changed(f"monitoring.alert_policy.{verb}", policy.name, tier)

    def _find(self, asked: str) -> alert.AlertPolicy:
        name = canonical(self._cloud, _NAME, asked)
        found = self._state.policies.get(name)
        if found is None:
            raise ApiError("NOT_FOUND", f"Requested entity was not found: {asked}")
        return found


def _copy(policy: alert.AlertPolicy) -> alert.AlertPolicy:
    found = alert.AlertPolicy()
    plain(found).CopyFrom(plain(policy))
    alert.AlertPolicy.pb(found).ClearField("validity")
    return found


def _evaluated(policy: alert.AlertPolicy) -> tuple[Any, ...]:
    """What a policy's incidents depend on: when it changes, what is open closes."""
    return (
        policy.enabled, policy.combiner, policy.alert_strategy.auto_close,
        [alert.AlertPolicy.Condition.serialize(c) for c in policy.conditions],
    )  # fmt: skip


def _end(reigns: list[Reign], at: float) -> None:
    if reigns and reigns[-1].end is None:
        last = reigns[-1]
        reigns[-1] = Reign(last.policy, last.tests, last.start, at)
