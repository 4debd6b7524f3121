"""Cloud Quotas v1: the quotas of the project's services, and requests for more."""

from __future__ import annotations

from emulator.apis.quotas.api import CloudQuotas
from emulator.context import Cloud
from emulator.wire.library import HttpRule
from emulator.wire.mount import Mount

_PARENT = "projects/*/locations/*"
_PREFERENCE = f"{_PARENT}/quotaPreferences/*"
_INFOS = f"{_PARENT}/services/*"
# `gcloud beta quotas` calls the same methods under their older version.
_BETA = {
    "list_quota_infos": (HttpRule("GET", f"/v1beta/{{parent={_INFOS}}}/quotaInfos"),),
    "get_quota_info": (HttpRule("GET", f"/v1beta/{{name={_INFOS}/quotaInfos/*}}"),),
    "list_quota_preferences": (HttpRule("GET", f"/v1beta/{{parent={_PARENT}}}/quotaPreferences"),),
    "get_quota_preference": (HttpRule("GET", f"/v1beta/{{name={_PREFERENCE}}}"),),
    "create_quota_preference": (
        HttpRule("POST", f"/v1beta/{{parent={_PARENT}}}/quotaPreferences", "quota_preference"),
    ),
    "update_quota_preference": (
        HttpRule("PATCH", f"/v1beta/{{quota_preference.name={_PREFERENCE}}}", "quota_preference"),
    ),
}


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    package = "google.cloud.cloudquotas_v1.services.cloud_quotas"
    return [Mount("/cloudquotas", f"{package}.transports", CloudQuotas(cloud), extra_rules=_BETA)]
