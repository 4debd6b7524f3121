"""Cloud Quotas: what there is, asking for more, being granted it, what is refused."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from google.api_core import exceptions

from tests.emulator.clients import PROJECT, WIRES, make_client
from tests.processes import EmulatorProcess

PARENT = f"projects/{PROJECT}/locations/global"
COMPUTE = f"{PARENT}/services/compute.googleapis.com"
TPUS = "TPUS-PER-TPU-FAMILY-per-project-region"


@pytest.mark.parametrize("wire", WIRES)
def test_infos(platform: EmulatorProcess, wire: str) -> None:
    """Pages and one; the TPU quota has a value per region and family, 0 elsewhere."""
    quotas = make_client("CloudQuotasClient", wire, platform)
    infos = list(quotas.list_quota_infos(request={"parent": COMPUTE, "page_size": 2}))
    assert TPUS in {i.quota_id for i in infos}
    info = quotas.get_quota_info(name=f"{COMPUTE}/quotaInfos/{TPUS}")
    assert list(info.dimensions) == ["region", "tpu_family"]
    values = {d.dimensions.get("tpu_family", ""): d.details.value for d in info.dimensions_infos}
    assert values["TPU7X"] >= 48 * 4 + 64 * 16
    assert values[""] == 0
    for name in (f"{COMPUTE}/quotaInfos/NONE", f"{PARENT}/services/x.y/quotaInfos/NONE"):
        with pytest.raises(exceptions.NotFound):
            quotas.get_quota_info(name=name)
    with pytest.raises(exceptions.BadRequest):
        quotas.list_quota_infos(parent=COMPUTE.replace("global", "moon"))
    with pytest.raises(exceptions.Forbidden):
        quotas.list_quota_infos(parent=COMPUTE.replace(PROJECT, "other"))


def _preference(region: str, value: int, **more: Any) -> dict[str, Any]:
    return {
        "service": "compute.googleapis.com",
        "quota_id": TPUS,
        "dimensions": {"region": region, "tpu_family": "CT6E"},
        "quota_config": {"preferred_value": value},
        **more,
    }


@pytest.mark.parametrize("wire", WIRES)
def test_a_request_is_granted(platform: EmulatorProcess, wire: str) -> None:
    """First it reconciles, then the quota is what was preferred; less needs consent."""
    quotas = make_client("CloudQuotasClient", wire, platform)
    region, name = f"europe-{wire}", f"more-{wire}"
    create = {"parent": PARENT, "quota_preference_id": name,
              "quota_preference": _preference(region, 128)}  # fmt: skip
    made = quotas.create_quota_preference(request=create)
    assert made.reconciling
    assert made.quota_config.granted_value == 0
    with pytest.raises((exceptions.AlreadyExists, exceptions.Conflict)):
        quotas.create_quota_preference(request=create)
    end = time.monotonic() + 60
    while (now := quotas.get_quota_preference(name=made.name)).reconciling:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert now.quota_config.granted_value == 128
    info = quotas.get_quota_info(name=f"{COMPUTE}/quotaInfos/{TPUS}")
    assert 128 in [d.details.value for d in info.dimensions_infos
                   if d.dimensions.get("region") == region]  # fmt: skip
    text = f'service="compute.googleapis.com" AND quotaId={TPUS}'
    listed = quotas.list_quota_preferences(request={"parent": PARENT, "filter": text})
    assert now in list(listed)
    less = {"quota_preference": _preference(region, 8, name=now.name, etag=now.etag)}
    with pytest.raises(exceptions.BadRequest) as refused:
        quotas.update_quota_preference(request=less)
    assert refused.value.reason == "QUOTA_DECREASE_PERCENTAGE_TOO_HIGH"
    allowed = {**less, "ignore_safety_checks": ["QUOTA_DECREASE_PERCENTAGE_TOO_HIGH"]}
    assert quotas.update_quota_preference(request=allowed).quota_config.preferred_value == 8
    with pytest.raises((exceptions.Aborted, exceptions.Conflict)):
        quotas.update_quota_preference(request=allowed)


@pytest.mark.parametrize("wire", WIRES)
def test_requests_are_refused(platform: EmulatorProcess, wire: str) -> None:
    """Unknown quotas, dimensions, ids, values; fields that never change; missing ones."""
    quotas = make_client("CloudQuotasClient", wire, platform)
    for change in (
        {"quota_id": "NONE"}, {"dimensions": {"moon": "x"}},
        {"quota_config": {"preferred_value": -2}},
    ):  # fmt: skip
        preference = {**_preference("asia-east1", 1), **change}
        with pytest.raises(exceptions.BadRequest):
            quotas.create_quota_preference(parent=PARENT, quota_preference=preference)
    missing = f"{PARENT}/quotaPreferences/none"
    with pytest.raises(exceptions.NotFound):
        quotas.get_quota_preference(name=missing)
    with pytest.raises(exceptions.NotFound):
        quotas.update_quota_preference(quota_preference=_preference("asia-east1", 1, name=missing))


def test_malformed_bodies_are_refused(platform: EmulatorProcess) -> None:
    """Google ships no discovery document for this API: unknown fields are told by the types."""
    url = f"{platform.rest_url}/cloudquotas/v1/{PARENT}/quotaPreferences"
    for body in ({"bogus": 1}, {"quotaConfig": {"preferredValue": "many"}}, []):
        answer = httpx.post(url, json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
