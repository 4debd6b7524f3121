"""Deploying a model and rolling it back from the dialog, to the record."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from core.actions import PlanContext, workload_name
from services.project import Found
from tests.core.test_rollouts import SERVED, merged
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole
from tests.pages.test_action_dialogs import tick_all


@pytest.fixture
def serving(console: FakeConsole) -> FakeConsole:
    """One Deployment serves small."""
    base = console.planted
    mine = [w for w in base.workloads or () if w.namespace == "small"]
    console.planted = replace(base, workloads=tuple(mine[:1]))
    project = console.settings.project.id
    name = workload_name(console.planted, base.spec("small"), PlanContext(project))
    console.resources.there[name] = Found(SERVED, "small")
    return console


def apply(at: AppTest) -> None:
    """Agree to all of it and click."""
    tick_all(at)
    assert not at.button(key="plan_apply").disabled, all_text(at)
    at.button(key="plan_apply").click().run()
    assert not at.exception


def test_a_model_is_deployed_and_rolled_back(serving: FakeConsole, open_page: Open) -> None:
    """Weights and name lead to a plan, it is applied; what was served before comes back."""
    at = open_page("fleet", do="deploy_model:small")
    assert "Tell where the weights are" in all_text(at)
    assert at.button(key="plan_apply").disabled
    at.text_input(key="plan_weights").set_value("gs://bucket/qwen/").run()
    at.text_input(key="plan_served_model").set_value("Qwen3-8B").run()
    text = all_text(at)
    assert "Deploy Qwen3-8B on Small from gs" in text
    assert "for a while both models answer" in text
    apply(at)
    (entry,) = serving.audit.entries()
    assert (entry.action, entry.steps[-1].after["model"]) == ("deploy_model", "Qwen3-8B")

    rolled = entry.steps[-1]
    serving.audit.record(entry.intent, "running", 1, "it begins", call=rolled.command)
    serving.audit.finish(entry.intent, "succeeded", 1, "done")
    patched = merged(SERVED, json.loads(rolled.body)["patch"])
    serving.resources.there[rolled.resource] = Found(patched, "small")
    back = open_page("fleet", do="roll_back:small")
    assert "back from Qwen3-8B to Llama" in all_text(back)
    apply(back)
    newest = serving.audit.entries()[0]
    assert (newest.action, newest.steps[-1].after["model"]) == ("roll_back", "Llama")


def test_without_a_recorded_roll_out_there_is_nothing_to_go_back_to(
    serving: FakeConsole, open_page: Open
) -> None:
    """The dialog says so, with what else could be done, and applies nothing."""
    at = open_page("fleet", do="roll_back:small")
    text = all_text(at)
    assert "No roll-out of Small is recorded here" in text
    assert "kubectl rollout undo" in text
    assert at.button(key="plan_apply").disabled
    assert serving.audit.entries() == ()
