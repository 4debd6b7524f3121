"""testIamPermissions: what the identity has, and what a project cannot tell."""

from __future__ import annotations

import pytest

from services.permissions import Permissions
from tests.contracts.conftest import Cloud


def test_a_permission_that_nobody_can_be_asked_for_is_left_out(cloud: Cloud) -> None:
    """One such name does not hide what of the others is held."""
    if not cloud.emulated:
        pytest.skip("Google's word on it may be another one")
    held = Permissions(cloud.clients).list_held(("container.clusters.paint", "compute.urlMaps.get"))
    assert held == {"compute.urlMaps.get": True}


def test_what_we_have_is_told_and_what_a_project_cannot_tell_is_left_out(cloud: Cloud) -> None:
    """Each permission gets a word; those of the billing account stay unknown."""
    asked = ("container.clusters.update", "compute.urlMaps.update", "billing.budgets.update")
    held = Permissions(cloud.clients).list_held(asked)
    assert set(held) == set(asked[:2])
    if cloud.emulated:
        assert all(held.values())  # the emulator's owner has all
