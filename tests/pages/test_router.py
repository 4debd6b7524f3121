"""The router on the pages: Auto in the Playground, rules, decisions and checks on Traffic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from control.access import Actor, Role
from core.specs import TierSpec
from tests import make
from tests.control.model_server import ModelServer
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """Answers for every tier."""
    found = ModelServer({"/": "hw-small"})
    yield found
    found.stop()


@pytest.fixture
def answering(console: FakeConsole, model: ModelServer) -> FakeConsole:
    """Tiers behind the load balancer and this machine are all at that server."""

    def moved(spec: TierSpec) -> TierSpec:
        url = f"http://127.0.0.1:{model.port}/{spec.name}"
        return replace(spec, endpoint_url=url if spec.is_local or spec.backend_service else "")

    specs = tuple(map(moved, console.planted.specs))
    console.planted = replace(console.planted, specs=specs)
    return console


def test_auto_is_the_first_choice_and_tells_who_was_chosen_and_why(
    answering: FakeConsole, open_page: Open
) -> None:
    """With every tier's reason and cost, and a link to the decision on Traffic."""
    at = open_page("playground")
    assert at.button(key="target_auto").label == "Auto"
    at.chat_input[0].set_value("Compare them and explain why.").run()
    assert not at.exception
    text = all_text(at)
    assert "Auto → Medium" in text
    assert "by the rule [moderate](/traffic?decision=" in text
    (every,) = at.table
    cells = every.value.set_index("Tier")
    assert "30B" in cells.loc["Small", "Why"]
    assert cells.loc["Large", "Why"] == "it is off"
    assert cells.loc["Local", "Cost"] == "not priced"
    assert "moderate request" in text
    (kept,) = answering.router.recent()
    assert (kept.origin, kept.decision.tier) == ("playground", "medium")
    assert answering.router.in_flight() == {}


def test_where_nobody_can_answer_the_prompt_is_kept_with_every_tiers_reason(
    console: FakeConsole, open_page: Open
) -> None:
    """Nothing has been read yet: no tier is known to serve."""
    console.planted = make.make_snapshot("unread")
    at = open_page("playground")
    at.chat_input[0].set_value("hello").run()
    assert not at.exception
    text = all_text(at)
    assert "No tier can take this prompt now" in text
    assert "whether it serves is unknown" in text
    assert console.router.recent()[0].outcome == "refused"


def test_traffic_tells_rules_decisions_and_one_of_them_by_its_link(
    console: FakeConsole, open_page: Open
) -> None:
    """Narrowed by the chosen tier; an old link is said to be one."""
    body = {"messages": [{"role": "user", "content": "the words of a prompt"}]}
    routed = console.router.route(body, "api")
    text = all_text(open_page("traffic", decision=routed.id))
    assert "512 prompt tokens" in text
    assert f"decision={routed.id}" in text
    assert "the words of a prompt" not in text
    assert "about 10 prompt tokens" in text
    assert "the edge comes first" in text
    other = all_text(open_page("traffic", decision="[x](http://evil)", tier="small"))
    assert "not kept any more" in other
    assert "None for this tier" in other


def test_the_checks_run_from_the_page_and_tell_what_landed_where(
    answering: FakeConsole, open_page: Open
) -> None:
    """In the background; the table says what was expected and found."""
    at = open_page("traffic")
    at.button(key="route_checks").click().run()
    assert not at.exception

    def ended() -> bool:
        run = answering.route_checks.latest()
        return run is not None and run.ended_at is not None

    wait_until(ended)
    at.run()
    text = all_text(at)
    assert "any other path" in text
    assert "hw-small" in text
    assert " failed, ended " in text


def test_who_may_only_look_sends_no_requests(console: FakeConsole, open_page: Open) -> None:
    """The button is shut, with the role that is missing."""
    console.person = Actor("vic", "console", False, "Needs the role operator.", Role.VIEWER)
    button = open_page("traffic").button(key="route_checks")
    assert button.disabled
    assert "role operator" in (button.help or "")
