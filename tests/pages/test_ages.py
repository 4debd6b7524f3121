"""Every panel tells how old its data is, and of which sources."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.conftest import Open


def heading(at: AppTest, title: str) -> str:
    """The line with that panel's title and age."""
    (found,) = [m.value for m in at.markdown if m.value.startswith(f"**{title}**")]
    return found


def test_the_fleets_tables_tell_their_age(open_page: Open) -> None:
    """Hosts, slices and the lists beside them, each by the sources that it draws."""
    at = open_page("fleet")
    parts = heading(at, "Tiers and their parts")
    assert "6 sources · " in parts  # the inventory, the load's replicas, our server
    assert "Billing catalogue · " in parts
    for title, sources in (
        ("Hosts", "5 sources · "),
        ("Slices", "5 sources · "),
        ("Workloads", "Kubernetes · "),
        ("Events", "Kubernetes · "),
        ("Unassigned", "Billing catalogue · "),
    ):
        at.segmented_control(key="details").set_value(title).run()
        assert not at.exception
        assert sources in heading(at, title)
        assert " s ago" in heading(at, title)


@pytest.mark.parametrize(
    ("page", "title", "sources"),
    [
        ("overview", "Tiers", "6 sources · "),
        ("traffic", "Where does this path go?", "Load balancing · "),
    ],
)
def test_panels_tell_their_age(open_page: Open, page: str, title: str, sources: str) -> None:
    """All that a panel draws counts, also what only one tier's card shows."""
    found = heading(open_page(page), title)
    assert sources in found
    assert " s ago" in found


def test_the_playground_tells_the_servers_age(open_page: Open) -> None:
    """What the server said of itself has an age too."""
    at = open_page("playground")
    assert any("ready" in m.value and "Inference server · " in m.value for m in at.markdown)
