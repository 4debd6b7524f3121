"""The Kubernetes API of every GKE cluster, under /k8s/PROJECT/LOCATION/CLUSTER.

The package kmock was looked at first: it keeps and watches objects that a test puts into it, but
knows neither Tables (`kubectl get` would print no columns), nor limit/continue, nor selectors, and
objects here follow from the fleet instead of being put in.
"""

from __future__ import annotations

from emulator.apis.kubernetes.api import KubernetesApi
from emulator.client_files import KUBERNETES_PREFIX, KeptFiles, client_files
from emulator.context import Cloud
from emulator.wire.mount import RouterMount


def build(cloud: Cloud) -> list[RouterMount]:
    """Mount the API servers; from the start on, kubectl's and bq's files are kept current."""
    api = KubernetesApi(cloud)
    files = KeptFiles(cloud, client_files())
    cloud.on_start(files.start)
    cloud.on_start(api.start)
    cloud.turns.answers(api.answer)
    cloud.on_stop(files.stop)
    return [RouterMount(KUBERNETES_PREFIX, api.app())]
