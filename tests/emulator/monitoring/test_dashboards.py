"""The life cycle of dashboards, over both wires, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import monitoring_dashboard_v1

from tests.emulator.clients import WIRES
from tests.emulator.monitoring.conftest import P, Rest, make
from tests.processes import EmulatorProcess

QUEUE = 'metric.type="prometheus.googleapis.com/vllm:num_requests_waiting/gauge"'
QUERY = {"timeSeriesQuery": {"timeSeriesFilter": {"filter": QUEUE}}}
CHART = {"title": "Queue", "xyChart": {"dataSets": [QUERY]}}


def tile(x: int, y: int, width: int = 6, height: int = 4, widget: Any = None) -> dict[str, Any]:
    """A tile of a mosaic."""
    return {"xPos": x, "yPos": y, "width": width, "height": height,
            "widget": widget or copy.deepcopy(CHART)}  # fmt: skip


def board(*tiles: Any, **more: Any) -> dict[str, Any]:
    """A dashboard as JSON."""
    return {
        "displayName": "Mine",
        "mosaicLayout": {"columns": 12, "tiles": list(tiles) or [tile(0, 0)]},
        **more,
    }


@pytest.mark.parametrize("wire", WIRES)
def test_a_dashboard_lives(own: EmulatorProcess, wire: str) -> None:
    """Create, trial, get, list, update by etag, delete."""
    client = make("dashboard", own, wire)
    wanted = monitoring_dashboard_v1.Dashboard(
        display_name=f"Over {wire}",
        grid_layout={"columns": 2, "widgets": [{"title": "t", "text": {"content": "hello"}}]},
    )
    request: dict[str, Any] = {"parent": P, "dashboard": wanted}
    before = len(list(client.list_dashboards(parent=P)))
    client.create_dashboard(request={**request, "validate_only": True})
    assert len(list(client.list_dashboards(parent=P))) == before
    made = client.create_dashboard(request=request)
    assert client.get_dashboard(request={"name": made.name}) == made
    stale = made.etag
    made.display_name = "Renamed"
    changed = client.update_dashboard(request={"dashboard": made})
    assert changed.etag != stale
    made.etag = stale
    with pytest.raises(exceptions.Aborted if wire == "grpc" else exceptions.Conflict):
        client.update_dashboard(request={"dashboard": made})
    made.etag = ""
    client.update_dashboard(request={"dashboard": made})
    client.delete_dashboard(request={"name": made.name})
    with pytest.raises(exceptions.NotFound):
        client.get_dashboard(request={"name": made.name})
    with pytest.raises(exceptions.NotFound):
        client.update_dashboard(request={"dashboard": made})


def _without_layout() -> dict[str, Any]:
    found = board()
    del found["mosaicLayout"]
    return found


def _filter(text: str) -> dict[str, Any]:
    found = board()
    chart = found["mosaicLayout"]["tiles"][0]["widget"]["xyChart"]
    chart["dataSets"][0]["timeSeriesQuery"]["timeSeriesFilter"]["filter"] = text
    return found


REFUSED = [
    (board(displayName=""), "displayName"),
    (_without_layout(), "exactly one"),
    (board(tile(8, 0)), "does not fit"),
    (board(tile(0, 0), tile(5, 3)), "overlaps"),
    (board(tile(0, 0, width=0)), "at least 1"),
    (board(tile(-1, 0)), "negative"),
    (board(mosaicLayout={"columns": 49}), "columns"),
    (board(tile(0, 0, widget={"title": "nothing"})), "content"),
    (board(tile(0, 0, widget={"xyChart": {}})), "data set"),
    (board(tile(0, 0, widget={"scorecard": {"timeSeriesQuery": {}}})), "source"),
    (_filter("metric.type="), "could not parse"),
    (_filter(""), "filter is required"),
    (board(labels={"UPPER": ""}), "labels"),
]


def test_what_shows_nothing_is_refused(own: EmulatorProcess) -> None:
    """The field is named; a name that is taken conflicts; bodies hold to Google's document."""
    rest = Rest(f"{own.rest_url}/monitoring", "monitoring.v1")
    for body, why in REFUSED:
        error = rest("POST", f"v1/{P}/dashboards", body, 400)["error"]
        assert error["status"] == "INVALID_ARGUMENT"
        assert why in error["message"], (why, error)
    made = rest("POST", f"v1/{P}/dashboards", board(name=f"{P}/dashboards/mine"))
    assert made["name"].endswith("/dashboards/mine")
    rest("POST", f"v1/{P}/dashboards", board(name=made["name"]), 409)
    two = {**made, "gridLayout": {"widgets": []}}
    rest("PATCH", f"v1/{made['name']}", two, 400)
    grouped = board(tile(0, 0, 12, 8, {"title": "g", "collapsibleGroup": {}}), tile(0, 0))
    assert len(rest("PATCH", f"v1/{made['name']}", grouped)["mosaicLayout"]["tiles"]) == 2
    assert rest("DELETE", f"v1/{made['name']}") == {}
