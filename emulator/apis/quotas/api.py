"""Handlers of google.api.cloudquotas.v1.CloudQuotas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from google.cloud.cloudquotas_v1.types import cloudquotas as types
from google.cloud.cloudquotas_v1.types import resources
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.apis.quotas.model import GRANT_S, UNLIMITED, Preference, Quota, quota_state
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, failed_precondition, invalid, not_found
from emulator.wire.etags import check_etag, etag_of
from emulator.wire.filters import compile_filter
from emulator.wire.masks import merge
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_SERVICE: Final = "cloudquotas.googleapis.com"
_PARENT: Final = "projects/{project}/locations/{location}"
_ID: Final = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9_.]{0,127}")
_FIXED: Final = ("service", "quota_id", "dimensions")


class CloudQuotas:
    """Quotas and preferences."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._state = quota_state(cloud)

    def list_quota_infos(
        self, request: types.ListQuotaInfosRequest, call: Call
    ) -> types.ListQuotaInfosResponse:
        parts = parse_name(f"{_PARENT}/services/{{service}}", request.parent, field="parent")
        self._check(parts)
        found = [q for (service, _), q in sorted(self._state.quotas.items())
                 if service == parts["service"]]  # fmt: skip
        if not found:
            raise not_found(request.parent)
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.parent, default=100, most=500,
        )  # fmt: skip
        return types.ListQuotaInfosResponse(
            quota_infos=[self._info(q) for q in shown], next_page_token=token
        )

    def get_quota_info(self, request: types.GetQuotaInfoRequest, call: Call) -> resources.QuotaInfo:
        parts = parse_name(f"{_PARENT}/services/{{service}}/quotaInfos/{{quota}}", request.name)
        self._check(parts)
        quota = self._state.quotas.get((parts["service"], parts["quota"]))
        if quota is None:
            raise not_found(request.name)
        return self._info(quota)

    def list_quota_preferences(
        self, request: types.ListQuotaPreferencesRequest, call: Call
    ) -> types.ListQuotaPreferencesResponse:
        self._check(parse_name(_PARENT, request.parent, field="parent"))
        fits = compile_filter(request.filter)
        if request.order_by not in ("", "create_time", "create_time desc", "create_time asc"):
            raise invalid(f"Cannot order by '{request.order_by}'.", field="order_by")
        with self._cloud.lock:
            found = sorted(self._state.preferences.values(), key=lambda p: p.created_at,
                           reverse=request.order_by.endswith("desc"))  # fmt: skip
        found = [p for p in found if fits(_searchable(p))]
        shown, token = page(
            found, request.page_size, request.page_token, default=100, most=500,
            scope=f"{request.parent} {request.filter} {request.order_by}",
        )  # fmt: skip
        return types.ListQuotaPreferencesResponse(
            quota_preferences=[_message(p) for p in shown], next_page_token=token
        )

    def get_quota_preference(
        self, request: types.GetQuotaPreferenceRequest, call: Call
    ) -> resources.QuotaPreference:
        return _message(self._find(request.name))

    def create_quota_preference(
        self, request: types.CreateQuotaPreferenceRequest, call: Call
    ) -> resources.QuotaPreference:
        parts = parse_name(_PARENT, request.parent, field="parent")
        self._check(parts)
        given = request.quota_preference
        quota, dimensions = self._quota(given)
        with self._cloud.lock:
            short = request.quota_preference_id or (
                f"{len(self._state.preferences):04d}-{etag_of(given)[:6]}".replace("/", "-")
                .replace("+", "-")
            )  # fmt: skip
            if _ID.fullmatch(short) is None:
                raise invalid(f"Invalid id '{short}'.", field="quota_preference_id")
            name = (
                f"projects/{self._cloud.project.number}/locations/global/quotaPreferences/{short}"
            )
            same = [p for p in self._state.preferences.values()
                    if (p.service, p.quota_id, p.dimensions)
                    == (quota.service, quota.id, dimensions)]  # fmt: skip
            if short in self._state.preferences or same:
                raise ApiError("ALREADY_EXISTS", f"Quota preference {name} already exists.")
            now = self._cloud.clock.now()
            before = quota.value(dict(dimensions))
            new = Preference(
                name, quota.service, quota.id, dimensions,
                preferred=before, granted=before, created_at=now, updated_at=now,
            )  # fmt: skip
            return self._ask(short, new, given, request.ignore_safety_checks)

    def update_quota_preference(
        self, request: types.UpdateQuotaPreferenceRequest, call: Call
    ) -> resources.QuotaPreference:
        given = request.quota_preference
        with self._cloud.lock:
            short = given.name.rpartition("/")[2]
            if request.allow_missing and short not in self._state.preferences:
                parent = given.name.partition("/quotaPreferences/")[0]
                create = types.CreateQuotaPreferenceRequest(
                    parent=parent,
                    quota_preference_id=short,
                    quota_preference=given,
                    ignore_safety_checks=request.ignore_safety_checks,
                )
                return self.create_quota_preference(create, call)
            current = self._find(given.name)
            check_etag(given.etag, _message(current).etag)
            mask = plain(request).update_mask
            if not mask.paths:
                mask.paths.extend(["quota_config", "justification", "contact_email"])
            if fixed := [p for p in _FIXED if p in mask.paths and getattr(given, p)
                         != getattr(_message(current), p)]:  # fmt: skip
                raise invalid(f"{fixed[0]} of a quota preference cannot be changed.",
                              field=f"quota_preference.{fixed[0]}")  # fmt: skip
            wanted = merge(given, mask, _message(current))
            if request.validate_only:
                return wanted
            return self._ask(short, current, wanted, request.ignore_safety_checks)

    def _ask(
        self, short: str, current: Preference, given: Any, ignored: Any
    ) -> resources.QuotaPreference:
        """Begin to grant what is preferred; the caller holds the lock."""
        preferred = given.quota_config.preferred_value
        if preferred < UNLIMITED:
            raise invalid("The preferred value must be -1 or more.",
                          field="quota_preference.quota_config.preferred_value")  # fmt: skip
        self._check_decrease(current, preferred, {int(check) for check in ignored})
        new = replace(
            current,
            preferred=preferred,
            updated_at=self._cloud.clock.now(),
            justification=given.justification or current.justification,
            contact_email=given.contact_email or current.contact_email,
            annotations=tuple(sorted(given.quota_config.annotations.items())),
            reconciling=preferred != current.granted,
            revision=current.revision + 1,
        )
        self._state.preferences[short] = new
        if new.reconciling:
            operation = f"{new.name}/operations/{new.revision}"
            self._cloud.operations.start(
                operation, "cloudquotas", new.name, GRANT_S,
                lambda: self._grant(short, new.revision),
            )  # fmt: skip
        return _message(new)

    def _grant(self, short: str, revision: int) -> None:
        """What was preferred becomes the quota, unless somebody has asked anew since."""
        current = self._state.preferences[short]
        if current.revision != revision:
            return
        self._state.preferences[short] = replace(
            current, granted=current.preferred, reconciling=False, revision=revision + 1
        )
        self._cloud.changed("quota.granted", current.name, "", before=current.granted,
                            after=current.preferred, quota=current.quota_id)  # fmt: skip

    def _check_decrease(self, current: Preference, preferred: int, ignored: set[int]) -> None:
        checks = resources.QuotaSafetyCheck
        much = 0 <= preferred < current.granted * 0.9
        if much and int(checks.QUOTA_DECREASE_PERCENTAGE_TOO_HIGH) not in ignored:
            raise failed_precondition(
                f"The quota would decrease from {current.granted} to {preferred}, by more than "
                "10 percent. Ignore the safety check to do so.",
                reason="QUOTA_DECREASE_PERCENTAGE_TOO_HIGH",
                domain=_SERVICE,
            )

    def _quota(self, given: resources.QuotaPreference) -> tuple[Quota, tuple[tuple[str, str], ...]]:
        quota = self._state.quotas.get((given.service, given.quota_id))
        if quota is None:
            raise invalid(f"There is no quota {given.quota_id} of {given.service}.",
                          field="quota_preference.quota_id")  # fmt: skip
        if quota.fixed:
            raise failed_precondition(f"The quota {quota.id} is fixed.")
        dimensions = dict(given.dimensions)
        if unknown := [d for d in dimensions if d not in quota.dimensions]:
            raise invalid(f"The quota {quota.id} has no dimension '{unknown[0]}'.",
                          field="quota_preference.dimensions")  # fmt: skip
        return quota, tuple(sorted(dimensions.items()))

    def _info(self, quota: Quota) -> resources.QuotaInfo:
        where = f"projects/{self._cloud.project.number}/locations/global/services/{quota.service}"
        return resources.QuotaInfo(
            name=f"{where}/quotaInfos/{quota.id}",
            quota_id=quota.id,
            metric=quota.metric,
            service=quota.service,
            is_precise=not quota.rate,
            refresh_interval="minute" if quota.rate else "",
            container_type=resources.QuotaInfo.ContainerType.PROJECT,
            dimensions=list(quota.dimensions),
            metric_display_name=quota.title,
            quota_display_name=" per ".join([quota.title, *quota.dimensions]),
            metric_unit="1",
            is_fixed=quota.fixed,
            quota_increase_eligibility=resources.QuotaIncreaseEligibility(
                is_eligible=not quota.fixed
            ),
            dimensions_infos=[
                resources.DimensionsInfo(
                    dimensions=dict(dimensions),
                    details=resources.QuotaDetails(value=value),
                    applicable_locations=[dict(dimensions).get("region", "global")],
                )
                for dimensions, value in self._state.details(quota)
            ],
        )

    def _find(self, asked: str) -> Preference:
        parts = parse_name(f"{_PARENT}/quotaPreferences/{{preference}}", asked)
        self._check(parts)
        found = self._state.preferences.get(parts["preference"])
        if found is None:
            raise not_found(asked)
        return found

    def _check(self, parts: Mapping[str, str]) -> None:
        check_project(self._cloud.project, parts["project"], service=_SERVICE)
        if parts["location"] != "global":
            raise invalid("The location must be global.", field="parent")


def _searchable(preference: Preference) -> Mapping[str, Any]:
    return {
        "service": preference.service,
        "quotaId": preference.quota_id,
        "dimensions": dict(preference.dimensions),
        "reconciling": preference.reconciling,
    }


def _message(preference: Preference) -> resources.QuotaPreference:
    waiting = preference.reconciling
    return resources.QuotaPreference(
        name=preference.name,
        dimensions=dict(preference.dimensions),
        quota_config=resources.QuotaConfig(
            preferred_value=preference.preferred,
            granted_value=preference.granted,
            state_detail="Your request is being looked at." if waiting else "",
            trace_id=etag_of(preference.name)[:10],
            annotations=dict(preference.annotations),
        ),
        etag=etag_of(preference),
        create_time=Timestamp(seconds=int(preference.created_at)),
        update_time=Timestamp(seconds=int(preference.updated_at)),
        service=preference.service,
        quota_id=preference.quota_id,
        reconciling=waiting,
        justification=preference.justification,
        contact_email=preference.contact_email,
    )
