"""HorizontalPodAutoscalers as controllers: what they do whatever the metrics say."""

from __future__ import annotations

from tests.emulator.controllers.memory_state import MemoryState, node, template


def test_bounds_hold_while_metrics_fail_and_nothing_is_kept_of_who_is_gone() -> None:
    """A target beyond the bounds is brought to them at once; with an autoscaler go its notes."""
    state = MemoryState()
    state.create(node("n", chips=0))
    state.add("Deployment", "web", {
        "replicas": 9, "selector": {"matchLabels": {"app": "a"}}, "template": template(),
    }, "apps/v1")  # fmt: skip
    state.add("HorizontalPodAutoscaler", "web", {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 3, "maxReplicas": 5,
    }, "autoscaling/v2")  # fmt: skip
    state.run(60)
    assert len(state.pods()) == 5
    state.change("Deployment", "web", replicas=1)
    state.run(60)
    assert len(state.pods()) == 3
    assert {"SuccessfulRescale", "FailedGetResourceMetric"} <= set(state.reasons("web"))
    told = [text for _, reason, text in state.events if reason == "SuccessfulRescale"]
    assert told == [
        "New size: 5; reason: Current number of replicas above Spec.MaxReplicas",
        "New size: 3; reason: Current number of replicas below Spec.MinReplicas",
    ]
    assert state.memory["autoscalers"]
    state.delete("HorizontalPodAutoscaler", "default", "web")
    state.run(60)
    assert not state.memory["autoscalers"]
    assert not state.memory["recommendations"]
