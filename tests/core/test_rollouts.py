"""deploy_model and roll_back: which template follows from which, what is made for it first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.actions import CHAINS, PlanContext, make_plan
from core.actions.rollouts import VERB
from core.errors import PlanError
from core.plans import Plan, Request, order_of
from core.workload_template import (
    MOUNT,
    labels_of,
    marked,
    merge_patch,
    model_of,
    patch_of,
    revision_of,
    serving,
    template_of,
    without_mark,
)
from tests.make import NOW, make_snapshot

WEIGHTS = {"weights": "gs://bucket/qwen/", "model": "Qwen3-8B"}


def workload(**container: Any) -> dict[str, Any]:
    """A Deployment of 48 servers with that container."""
    pod = {"containers": [{"name": "server", "image": "vllm:1", **container}]}
    template = {"metadata": {"labels": {"app": "server"}}, "spec": pod}
    meta = {"name": "server", "namespace": "small"}
    return {"kind": "Deployment", "metadata": meta, "spec": {"replicas": 48, "template": template}}


SERVED = workload(command=["vllm", "serve", "Llama", "--port", "8000"])


def planned(action: str, parameters: dict[str, Any], **context: Any) -> Plan:
    """A plan on the normal world, in which one Deployment serves small."""
    snapshot = make_snapshot()
    mine = [w for w in snapshot.workloads or () if w.namespace == "small"]
    snapshot = replace(snapshot, workloads=tuple(mine[:1]))
    given_ = {"resources": {}, "workload": SERVED, **context}
    return make_plan(
        snapshot, Request(action, "small", parameters), NOW, PlanContext("p", **given_)
    )


def test_servers_are_rolled_out_when_all_they_read_is_there() -> None:
    """Account, right, class, source and volume first; the roll-out needs every one of them."""
    plan = planned("deploy_model", WEIGHTS)
    last = plan.steps[-1]
    assert last.verb == VERB
    assert {s.key for s in plan.steps[:-1]} == set(last.needs)
    volume = next(s for s in plan.steps if s.key == "weights-volume")
    assert '"storage": "18Gi"' in volume.body  # 8.03e9 parameters of two bytes and a fifth more
    assert len(order_of(plan.steps)[-1]) == len(plan.steps) - 1
    assert (last.before["model"], last.after["model"]) == ("Llama", "Qwen3-8B")
    assert any("read every bucket" in sentence for sentence in plan.affected)
    assert "container.deployments.update" in plan.permissions
    assert plan.cost.delta_usd_per_hour == 0


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({**WEIGHTS, "weights": "https://bucket/qwen"}, "no folder of a bucket"),
        ({**WEIGHTS, "weights": "gs://bucket/*"}, "no folder of a bucket"),
        ({"weights": "gs://bucket/qwen"}, "model"),
        ({**WEIGHTS, "size_gib": 1}, "size_gib"),
    ],
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, Any], word: str) -> None:
    """Before anything is asked of the cloud."""
    with pytest.raises(PlanError, match=word):
        planned("deploy_model", parameters)


@pytest.mark.parametrize(
    ("container", "after"),
    [
        ({"command": ["vllm", "serve", "a", "--x", "1"]},
         ["vllm", "serve", MOUNT, "--x", "1", "--served-model-name", "b"]),
        ({"args": ["--model=a", "--x=1"]}, ["--x=1", "--model", MOUNT, "--served-model-name", "b"]),
        ({"args": ["--model", "a", "--served-model-name", "c"]},
         ["--model", MOUNT, "--served-model-name", "b"]),
    ],
)  # fmt: skip
def test_a_server_is_pointed_at_the_volume(container: dict[str, Any], after: list[str]) -> None:
    """Whichever way it names its model; doing it again changes nothing."""
    template = template_of(workload(**container))
    found = serving(template, "weights-1", "b", "")
    (field,) = container
    assert found["spec"]["containers"][0][field] == after
    assert model_of(found) == "b"
    assert serving(found, "weights-1", "b", "") == found
    assert serving(found, "weights-1", "b", "vllm:2")["spec"]["containers"][0]["image"] == "vllm:2"


def test_what_serves_no_model_is_refused() -> None:
    """Neither a command without a model nor two servers in one pod."""
    with pytest.raises(PlanError, match="0 commands"):
        serving(template_of(workload(command=["sleep"])), "c", "b", "")
    joined = workload(command=["sh", "-c", "vllm serve a && sleep 9"])
    with pytest.raises(PlanError, match="0 commands"):
        serving(template_of(joined), "c", "b", "")
    with pytest.raises(PlanError, match="cannot be changed"):
        template_of({"kind": "StatefulSet", "spec": {}})


def test_leaders_and_workers_of_a_slice_get_the_weights_together() -> None:
    """The leader's server within its shell's text; one patch, one revision for all pods."""
    chain = CHAINS["provision_tier"](
        make_snapshot(), Request("provision_tier", "medium", {}), PlanContext("p")
    )
    group = chain.by_key["workload"].body
    before = template_of(group)
    assert model_of(before) == "Llama-3.3-70B-Instruct"
    assert labels_of(before) == {"app": "server", "heartwood-tier": "medium"}
    after = serving(before, "weights-1", "b", "vllm:2")
    assert (model_of(after), serving(after, "weights-1", "b", "vllm:2")) == ("b", after)
    text = after["leaderTemplate"]["spec"]["containers"][0]["command"][2]
    assert text.startswith(f"ray start --head --port=6379 && exec vllm serve {MOUNT} --port 8000 ")
    assert "--distributed-executor-backend ray --served-model-name b" in text
    for pods in after.values():
        (container,) = pods["spec"]["containers"]
        assert container["image"] == "vllm:2"
        assert container["volumeMounts"][0]["mountPath"] == MOUNT
    assert "ray start --block" in after["workerTemplate"]["spec"]["containers"][0]["command"][2]
    new = marked(after, "r1")
    assert (revision_of(new), without_mark(new)) == ("r1", without_mark(after))
    assert revision_of({**new, "workerTemplate": after["workerTemplate"]}) == ""
    patched = merged(group, patch_of("LeaderWorkerSet", before, new))
    assert template_of(patched) == new
    assert patched["spec"]["replicas"] == group["spec"]["replicas"]


def test_the_template_before_the_last_roll_out_comes_back() -> None:
    """Without volumes and command of the newer one; without a record there is nothing to do."""
    old = template_of(SERVED)
    new = {**SERVED, "spec": {"replicas": 48, "template": serving(old, "weights-1", "b", "")}}
    plan = planned("roll_back", {}, workload=new, template_before=old)
    assert plan.title == "Roll Small back from b to Llama"
    assert '"volumes":null' in plan.steps[0].body
    with pytest.raises(PlanError, match="recorded"):
        planned("roll_back", {}, workload=new)
    with pytest.raises(PlanError, match="already"):
        planned("roll_back", {}, workload=new, template_before=template_of(new))


_JSON = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text("abc", max_size=2), inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.text("abc", max_size=2), _JSON, max_size=4)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, as its section 2 says it."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


@given(_OBJECTS, _OBJECTS)
def test_a_merge_patch_leads_from_one_to_the_other(before: Any, after: Any) -> None:
    """Whatever the two are."""
    assert merged(before, merge_patch(before, after)) == after


def test_a_mark_is_taken_off_again() -> None:
    """Two roll-outs of the same content are told to be the same."""
    template = template_of(SERVED)
    marked = {**template, "metadata": {"labels": {}, "annotations": {"heartwood/revision": "1"}}}
    assert without_mark(marked)["metadata"] == {"labels": {}}
