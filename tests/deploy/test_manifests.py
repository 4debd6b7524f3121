"""The manifests and the image's recipe: legal, complete, and telling what the console tells."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from core import tpu
from core.actions import CHAINS, PlanContext
from core.plans import Request
from serving.settings import make_parser
from tests.make import make_snapshot

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
VERSION = "1.34"  # the oldest that has TPU7x
# GKE brings the first, LeaderWorkerSet is installed; neither is in Kubernetes' own schemas.
CUSTOM = {"PodMonitoring", "LeaderWorkerSet", "Kustomization"}
WAYS = [
    (engine, kind) for engine in ("heartwood", "vllm") for kind in ("single-host", "multi-host")
]
TIERS = {"single-host": "small", "multi-host": "medium"}
Json = Mapping[str, Any]


def documents() -> Iterator[tuple[Path, Json]]:
    """All that stands in the files."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        for found in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield path, found


def workload(engine: str, kind: str) -> Json:
    """The Deployment or LeaderWorkerSet."""
    folder = KUBERNETES / engine / kind
    wanted = ("Deployment", "LeaderWorkerSet")
    return next(d for p, d in documents() if p.parent == folder and d["kind"] in wanted)


def templates(found: Json) -> list[Json]:
    """Its pod templates, the one that answers HTTP first."""
    if found["kind"] == "Deployment":
        return [found["spec"]["template"]]
    group = found["spec"]["leaderWorkerTemplate"]
    return [group["leaderTemplate"], group["workerTemplate"]]


def container(template: Json) -> Json:
    """The only container of a pod."""
    (found,) = template["spec"]["containers"]
    return found


def validate(found: Json) -> None:
    """ValidationError when Kubernetes would refuse it, or ignore a field."""
    kubernetes_validate.validate(dict(found), VERSION, strict=True)


def test_every_object_is_legal() -> None:
    """Kubernetes' own schema of each kind allows each field; pods inside other kinds too."""
    for _, found in documents():
        if found["kind"] not in CUSTOM:
            validate(found)
    for engine, kind in WAYS:
        for template in templates(workload(engine, kind)):
            meta = {**template["metadata"], "name": "p"}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
            validate(pod)


def test_what_is_illegal_is_seen() -> None:
    """The validation is no formality: an unknown field is refused."""
    found = workload("vllm", "single-host")
    found = {**found, "spec": {**found["spec"], "replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        validate(found)


@pytest.mark.parametrize(("engine", "kind"), WAYS)
def test_a_slice_is_used_whole(engine: str, kind: str) -> None:
    """Selectors name a legal slice; hosts times chips are its chips; the servers span them all."""
    found = workload(engine, kind)
    gen = tpu.generation("TPU7x")
    topology = ""
    for template in templates(found):
        selector = template["spec"]["nodeSelector"]
        topology = selector["cloud.google.com/gke-tpu-topology"]
        assert selector["cloud.google.com/gke-tpu-accelerator"] == gen.gke_accelerator
        hosts = tpu.hosts_per_slice(gen, topology)
        assert found["spec"].get("leaderWorkerTemplate", {}).get("size", 1) == hosts
        chips = tpu.chips(topology) // hosts
        resources = container(template)["resources"]
        assert resources["requests"]["google.com/tpu"] == str(chips)
        assert resources["limits"]["google.com/tpu"] == str(chips)
    if engine == "vllm":
        words = shlex.split(" ".join(container(templates(found)[0])["command"]))
        (span,) = (int(w.split("=")[1]) for w in words if w.startswith("--tensor-parallel-size="))
        assert span == tpu.chips(topology) * gen.devices_per_chip


@pytest.mark.parametrize(("engine", "kind"), WAYS)
def test_http_and_probes_stand_on_the_first_host_alone(engine: str, kind: str) -> None:
    """The other hosts of a slice take no request, are not scraped, and are not asked for health."""
    first, *others = templates(workload(engine, kind))
    answering = container(first)
    assert {"startupProbe", "readinessProbe", "livenessProbe", "lifecycle"} <= answering.keys()
    assert answering["ports"] == [{"name": "http", "containerPort": 8000}]
    assert all("ports" not in container(t) and "Probe" not in str(t) for t in others)
    # The balancer's turn, what may still run, and a rest.
    waits = answering["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert first["spec"]["terminationGracePeriodSeconds"] >= waits + 60 + 15


def test_our_server_knows_its_flags() -> None:
    """Each flag is one of the server's, with a value that it takes."""
    for kind in TIERS:
        for template in templates(workload("heartwood", kind)):
            given = container(template)["args"]
            for name, value in {
                "LEADER_ADDRESS": "h",
                "GROUP_SIZE": "4",
                "WORKER_INDEX": "1",
            }.items():
                given = [word.replace(f"$(LWS_{name})", value) for word in given]
            assert "$(" not in str(given)
            make_parser().parse_args(given)


@pytest.mark.parametrize("kind", TIERS)
def test_the_console_provisions_the_same(kind: str) -> None:
    """Labels, selectors, Service, image and sizes are those of the plan that makes the tier."""
    tier = TIERS[kind]
    request = Request("provision_tier", tier, {})
    pieces = CHAINS["provision_tier"](make_snapshot(), request, PlanContext("demo")).by_key
    planned, written = pieces["workload"].body, workload("vllm", kind)
    assert (planned["kind"], planned["metadata"]["name"]) == (written["kind"], "server")
    for ours, theirs in zip(templates(planned), templates(written), strict=True):
        assert ours["spec"]["nodeSelector"] == theirs["spec"]["nodeSelector"]
        assert ours["spec"]["serviceAccountName"] == theirs["spec"]["serviceAccountName"]
        assert container(ours)["image"] == container(theirs)["image"]
        assert theirs["metadata"]["labels"].items() <= ours["metadata"]["labels"].items()
    (service,) = (d for _, d in documents() if d["kind"] == "Service")
    planned = pieces["service"].body
    assert service["metadata"]["name"] == planned["metadata"]["name"]
    assert service["spec"]["selector"].items() <= planned["spec"]["selector"].items()
    assert service["spec"]["ports"][0]["port"] == planned["spec"]["ports"][0]["port"]
    neg = planned["metadata"]["annotations"]["cloud.google.com/neg"]
    written = (KUBERNETES / "vllm" / kind / "kustomization.yaml").read_text(encoding="utf-8")
    assert json.loads(neg)["exposed_ports"]["80"]["name"] in written


@pytest.mark.parametrize(("engine", "kind"), WAYS)
def test_kustomize_renders_it(engine: str, kind: str) -> None:
    """One folder is one `kubectl apply -k`: all that it needs, in the tier's namespace, legal."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the rendering of deploy/kubernetes is not checked")
    command = ["kubectl", "kustomize", str(KUBERNETES / engine / kind)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {d["kind"]: d for d in yaml.safe_load_all(text)}
    extra = {"Service", "ServiceAccount", "PodDisruptionBudget", "PodMonitoring"}
    assert extra < found.keys()
    for each in found.values():
        assert each["metadata"]["namespace"] == TIERS[kind]
        assert each["metadata"]["labels"]["heartwood-tier"] == TIERS[kind]
        if each["kind"] not in CUSTOM:
            validate(each)
    assert "cloud.google.com/neg" in found["Service"]["metadata"]["annotations"]
    first = "leaderworkerset.sigs.k8s.io/worker-index"
    assert (first in found["Service"]["spec"]["selector"]) == (kind == "multi-host")


def test_the_image_has_what_the_server_imports() -> None:
    """Third-party imports of what is copied are pinned; what is copied exists."""
    recipe = (DEPLOY / "Containerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in recipe if line.startswith("COPY") for word in line.split()[1:-1]]
    for accelerator in ("cpu", "tpu"):
        for name in copied:
            assert (ROOT / name.replace("${ACCELERATOR}", accelerator)).exists(), name
        pinned = (ROOT / f"requirements/server-{accelerator}.txt").read_text(encoding="utf-8")
        names = {line.split("==")[0] for line in pinned.splitlines() if "==" in line}
        sources = [ROOT / "core/tpu.py", *(ROOT / "serving").rglob("*.py")]
        for package in sorted({name for path in sources for name in imports(path)}):
            known = {"google": "google-cloud-storage"}.get(package, package.replace("_", "-"))
            assert known in names, package
    assert "libtpu" in names


def imports(path: Path) -> Iterator[str]:
    """Top-level packages of others that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        else:
            found = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in found:
            package = name.partition(".")[0]
            if package not in {*sys.stdlib_module_names, "core", "serving"}:
                yield package
