"""kubectl itself against an emulated cluster: the commands that people type."""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import EmulatorProcess

pytestmark = [
    pytest.mark.cli,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "nginx:1.27", ports: [{containerPort: 80}]}]
"""
Kubectl = Callable[[str], str]


@pytest.fixture
def kubectl(writable: EmulatorProcess, namespace: str, tmp_path: Path) -> Kubectl:
    """Runs lines of shell in a namespace of the test's own; fails with what they said."""
    config = writable.data_dir / "kubeconfig"
    end = time.monotonic() + 60
    while not config.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    (tmp_path / "web.yaml").write_text(MANIFEST)
    env = {**os.environ, "KUBECONFIG": str(config), "HOME": str(tmp_path), "N": namespace}

    def run(lines: str) -> str:
        script = f'set -e\nkubectl() {{ command kubectl -n $N "$@" 2>&1; }}\n{lines}'
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=env, text=True, capture_output=True,
            timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_apply_and_what_comes_after(kubectl: Kubectl) -> None:
    """Applied twice nothing changes; rollout, scale, label, patch, wait and delete go through."""
    out = kubectl(
        textwrap.dedent("""
        kubectl apply -f web.yaml
        kubectl apply -f web.yaml
        sed -i s/1.27/1.28/ web.yaml; kubectl diff -f web.yaml | grep '+.*1.28' || true
        kubectl apply -f web.yaml
        kubectl rollout status deploy/web --timeout=60s
        kubectl scale deploy/web --replicas=3
        kubectl wait --for=condition=Available deploy/web --timeout=60s
        kubectl label deploy/web tier=x
        kubectl annotate deploy/web note=y
        kubectl patch deploy web -p '{"spec":{"paused":true}}'
        kubectl get deploy web
        kubectl delete -f web.yaml --timeout=60s
        """)
    )
    lines = out.splitlines()
    assert lines[:2] == ["deployment.apps/web created", "deployment.apps/web unchanged"]
    for words in (
        "deployment.apps/web configured", "successfully rolled out", "deployment.apps/web scaled",
        "condition met", "web labeled", "web annotated", "web patched", '"web" deleted',
    ):  # fmt: skip
        assert words in out
    assert ["web", "3/3", "3", "3"] in [line.split()[:4] for line in lines]


def test_what_kubectl_makes_by_itself(kubectl: Kubectl) -> None:
    """Imperative commands, which send protobuf; questions; what the schema says."""
    out = kubectl(
        textwrap.dedent("""
        kubectl create configmap a --from-literal=x=1
        kubectl create deployment web --image=nginx --replicas=1 --port=80
        kubectl expose deployment web --port=80
        kubectl autoscale deployment web --max=3 --cpu-percent=70
        kubectl get hpa.v1.autoscaling web
        kubectl describe hpa web | grep -e Reference -e AbleToScale -e FailedGetResourceMetric
        kubectl create job j --image=busybox -- echo hi
        kubectl create role r --verb=get --resource=pods
        kubectl auth can-i create pods
        kubectl explain deployment.spec.strategy.type | grep RollingUpdate
        kubectl api-resources | grep leaderworkersets
        kubectl run one --image=nginx --dry-run=server
        kubectl apply --server-side -f web.yaml --force-conflicts
        """)
    )
    for words in (
        "configmap/a created", "service/web exposed", "web autoscaled", "Deployment/web",
        "SucceededGetScale", "failed to get cpu utilization",
        "job.batch/j created", "yes", "lws", "pod/one created (server dry run)",
        "serverside-applied",
    ):  # fmt: skip
        assert words in out


def test_a_node_is_emptied(kubectl: Kubectl) -> None:
    """Drained, given back, deleted: the pod of a drained host waits until it is given back."""
    out = kubectl("""
        node=$(kubectl get nodes -l heartwood-tier=medium -o name | tail -1)
        pod=$(kubectl -n medium get pods --field-selector spec.nodeName=${node#*/} -o name)
        kubectl drain $node --ignore-daemonsets --timeout=60s
        kubectl -n medium get $pod
        kubectl uncordon $node
        kubectl -n medium wait $pod --for=condition=Ready --timeout=60s
        kubectl delete $node
    """)
    for words in (" cordoned", " drained", "Pending", "uncordoned", " met", " deleted"):
        assert words in out


def test_a_kind_that_is_not_served_is_named(kubectl: Kubectl) -> None:
    """kubectl says which kind has no match, and nothing about documents."""
    said = kubectl("""
        printf 'apiVersion: batch/v1\\nkind: CronJob\\nmetadata: {name: c}\\n' > cron.yaml
        ! kubectl apply -f cron.yaml
    """)
    assert 'no matches for kind "CronJob" in version "batch/v1"' in said
    assert "failed to download openapi" not in said
