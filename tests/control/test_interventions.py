"""Who may hold an action that is under way, and who may let it go on."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from control.access import Actor, Role
from control.interventions import Interventions
from core.errors import Denied
from core.plans import Request
from tests.control.console_parts import Parts

OLGA = Actor("olga", "test")
PAUL = Actor("paul", "test")
APPROVER = Actor("ben", "test", role=Role.APPROVER)
ADMIN = Actor("cleo", "test", role=Role.ADMIN)
VIEWER = Actor("vic", "test", False, "", Role.VIEWER)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The parts of a console; nothing is applied."""
    return Parts(tmp_path_factory.mktemp("interventions"))


def recorded(
    parts: Parts, intent: str, approvals: tuple[str, ...], overrides: Mapping[str, str]
) -> Interventions:
    """An intent that olga confirmed."""
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    parts.audit.record_intent(
        intent, judged.plan, judged.verdicts, (), actor="olga", origin="test", reason="",
        approvals=approvals, overrides=overrides,
    )  # fmt: skip
    return Interventions(parts.audit)


@pytest.mark.parametrize(
    ("approvals", "overrides", "may", "may_not"),
    [
        ((), {}, PAUL, VIEWER),
        (("ben",), {}, APPROVER, PAUL),
        (("ben",), {"over_budget": "an outage"}, ADMIN, APPROVER),
    ],
)
def test_every_operator_holds_and_who_could_have_begun_it_lets_go_on(
    parts: Parts,
    approvals: tuple[str, ...],
    overrides: Mapping[str, str],
    may: Actor,
    may_not: Actor,
) -> None:
    """Pausing and stopping ask for no second person; going on needs what the plan needed."""
    intent = f"{len(approvals)}{len(overrides)}"
    held = recorded(parts, intent, approvals, overrides)
    with pytest.raises(Denied):
        held.pause(intent, VIEWER)
    assert held.pause(intent, OLGA)
    with pytest.raises(Denied, match="Needs the role"):
        held.resume(intent, may_not)
    state = parts.audit.progress(intent)
    assert state is not None
    assert state.state == "paused"
    assert held.resume(intent, may)
    assert held.pause(intent, OLGA)
    assert held.resume(intent, OLGA)  # her own pause
    with pytest.raises(Denied):
        held.cancel(intent, VIEWER)
    assert held.cancel(intent, PAUL)


def test_what_is_not_there_is_not_resumed(parts: Parts) -> None:
    """Nobody needs a role for nothing."""
    assert not Interventions(parts.audit).resume("nothing", OLGA)
