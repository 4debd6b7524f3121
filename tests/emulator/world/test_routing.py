"""Traffic that the URL map shifts: request rates, load and times follow from that moment on."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest

from emulator.apis import compute
from emulator.context import Cloud, make_cloud
from emulator.log import ActionLog, Change
from emulator.scenario import SCENARIOS
from emulator.settings import Settings
from emulator.wire.rest import RestApp
from emulator.world.routing import told
from emulator.world.world import World, minutes_between

NOW = 1_795_250_040.0  # a whole minute
MAP = "/compute/v1/projects/heartwood-demo/global/urlMaps/hw-serving"


def shifted(source: str, **shares: float) -> World:
    """The world in which a tier's requests were led elsewhere now."""
    log = ActionLog()
    log.append(Change(NOW, "compute.urlMaps.changed", "map", "", told(source, shares)))
    return World(SCENARIOS["full-fleet"], log, 7, NOW)


def test_load_follows_the_shares() -> None:
    """A third of small's requests loads medium instead; nothing before the shift is another."""
    before, after = World(SCENARIOS["full-fleet"], ActionLog(), 7, NOW), shifted(
        "small", small=0.7, medium=0.3
    )  # fmt: skip
    past, soon = minutes_between(NOW - 86_400, NOW), minutes_between(NOW, NOW + 3600)
    loads = {}
    for key in ("small/gke", "medium/gke", "large/gke", "small/vertex"):
        part = before.part(key)
        old, new = before.load(part, past), after.load(part, past)
        for field in ("offered", "utilisation", "generation_tokens", "e2e_s"):
            np.testing.assert_array_equal(getattr(old, field), getattr(new, field))
        loads[key] = before.load(part, soon), after.load(part, soon)
    small, medium = loads["small/gke"], loads["medium/gke"]
    moved = small[0].offered - small[1].offered
    np.testing.assert_allclose(moved, 0.3 * small[0].offered)
    np.testing.assert_allclose(medium[1].offered - medium[0].offered, moved)
    for less, more in ((small[1], small[0]), (medium[0], medium[1])):
        assert (less.utilisation < more.utilisation).all()
        assert (less.generation_tokens < more.generation_tokens).all()
        assert (less.ttft_s < more.ttft_s).all()
    for key in ("large/gke", "small/vertex"):
        np.testing.assert_array_equal(loads[key][0].offered, loads[key][1].offered)


@pytest.fixture
def cloud() -> Cloud:
    """A project in this process whose operations end at once."""
    return make_cloud(Settings(speed=1e9))


@pytest.fixture
def app(cloud: Cloud) -> RestApp:
    """Compute of that project, as REST sees it."""
    return RestApp(cloud, compute.build(cloud), {})


def change(app: RestApp, verb: str, path: str, edit: Any) -> None:
    """One change over REST, to its end; `edit` changes what stands there and gives the body."""

    async def both() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://e") as client:
            body = edit((await client.get(path)).json())
            answer = await client.request(verb, path, json=body)
            assert answer.status_code == 200, answer.text
            operation = answer.json()["selfLink"].partition("/compute/v1")[2]
            ended = await client.post(f"/compute/v1{operation}/wait")
            assert ended.json()["status"] == "DONE"

    asyncio.run(both())


def shares(cloud: Cloud) -> dict[str, float]:
    """What the last change told of where requests go."""
    return {k: v for k, v in cloud.log.changes()[-1].data.items() if isinstance(v, float)}


def test_the_map_s_weights_and_rules_are_followed(cloud: Cloud, app: RestApp) -> None:
    """Weights shift a rule's requests; a rule that is gone leaves them to the default; a drained
    backend gets none; what changes nothing of it is told as before.
    """

    def weigh(body: Any) -> Any:
        (matcher,) = body["pathMatchers"]
        rule = matcher["pathRules"][0]
        parts = ((rule.pop("service"), 60), (matcher["defaultService"], 40))
        rule["routeAction"] = {
            "weightedBackendServices": [{"backendService": s, "weight": w} for s, w in parts]
        }
        return {"fingerprint": body["fingerprint"], "pathMatchers": [matcher]}

    change(app, "PATCH", MAP, weigh)
    assert shares(cloud) == {"small>small": 0.6, "small>medium": 0.4}
    change(app, "PATCH", MAP, lambda b: {"fingerprint": b["fingerprint"], "description": "x"})
    assert shares(cloud) == {}

    def forget(body: Any) -> Any:
        (matcher,) = body["pathMatchers"]
        del matcher["pathRules"][0]
        return {"fingerprint": body["fingerprint"], "pathMatchers": [matcher]}

    service = MAP.replace("urlMaps/hw-serving", "backendServices/hw-small")
    for scaler, own in ((0.0, 0.0), (1.0, 0.6)):  # drained, and back in rotation

        def drain(body: Any, scaler: float = scaler) -> Any:
            (backend,) = body["backends"]
            backend["capacityScaler"] = scaler
            return {"fingerprint": body["fingerprint"], "backends": [backend]}

        change(app, "PATCH", service, drain)
        assert shares(cloud) == {"small>small": own, "small>medium": 0.4}
    change(app, "PATCH", MAP, forget)
    assert shares(cloud) == {"small>small": 0.0, "small>medium": 1.0}
    change(app, "DELETE", MAP.replace("urlMaps", "forwardingRules"), lambda _: None)
    assert shares(cloud) == {}
