"""Files for kubectl and bq in the data directory, kept current while the emulator runs.

A kubeconfig with one context per cluster, named as `gcloud container clusters get-credentials`
names it, and a bigqueryrc. The shell lines that point at them are env.py's.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from emulator.context import Cloud

DATA_DIR_VARIABLE: Final = "HEARTWOOD_DATA_DIR"
KUBERNETES_PREFIX: Final = "/k8s"
TOKEN: Final = "emulator"  # bq insists on one; the emulator takes any
_LOOK_S: Final = 1.0
_ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """Where the files lie."""

    folder: Path

    @property
    def kubeconfig(self) -> Path:
        """kubectl's."""
        return self.folder / "kubeconfig"

    @property
    def bigqueryrc(self) -> Path:
        """bq's."""
        return self.folder / "bigqueryrc"


def client_files(environment: Mapping[str, str] = os.environ) -> ClientFiles:
    """In HEARTWOOD_DATA_DIR, else in .heartwood beside the code."""
    named = environment.get(DATA_DIR_VARIABLE)
    return ClientFiles((_ROOT / Path(named or ".heartwood").expanduser()).resolve())


def context_name(project: str, location: str, cluster: str) -> str:
    """The context's name, as get-credentials writes it."""
    return f"gke_{project}_{location}_{cluster}"


def kubeconfig(rest_url: str, project: str, clusters: Iterable[tuple[str, str]]) -> str:
    """The file's text (JSON, which is YAML too); `clusters` are (location, name)."""
    found = [(context_name(project, *where), where) for where in clusters]
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": f"{rest_url}{KUBERNETES_PREFIX}/{project}/{location}/{cluster}"
                },
            }
            for name, (location, cluster) in found
        ],
        "users": [{"name": name, "user": {}} for name, _ in found],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name}} for name, _ in found
        ],
        "current-context": found[0][0] if found else "",
    }
    return json.dumps(body, indent=2) + "\n"


def bigqueryrc(rest_url: str, project: str) -> str:
    """The file's text."""
    return (
        f"api = {rest_url}/bigquery\n"
        f"project_id = {project}\n"
        f"oauth_access_token = {TOKEN}\n"
        "headless = true\n"
    )


class KeptFiles:
    """Writes the files at the start and again whenever they should read otherwise."""

    def __init__(self, cloud: Cloud, files: ClientFiles) -> None:
        self._cloud, self._files = cloud, files
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="client-files", daemon=True)

    def start(self) -> None:
        """Write them, and watch from now on."""
        self._write()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching. The files stay: the next start is at the same place."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            self._write()

    def _write(self) -> None:
        cloud = self._cloud
        url, project = cloud.endpoints.rest_url, cloud.project.id
        with cloud.lock:
            clusters = [(c.location, c.name) for c in cloud.fleet.clusters.values()]
        _write_if_other(self._files.kubeconfig, kubeconfig(url, project, clusters))
        _write_if_other(self._files.bigqueryrc, bigqueryrc(url, project))


def _write_if_other(path: Path, text: str) -> None:
    """Replace the file as a whole, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.chmod(0o600)
    beside.replace(path)
