"""Objects in a GKE cluster; a name is the cluster's, /k8s/ and the path of the Kubernetes API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import quote

from core.cloud_resources import CONTAINER, KUBERNETES, CloudResource, owner_of, path_of
from core.errors import NotFound
from core.specs import TIER_LABEL
from services import calls
from services.clients import Clients
from services.gke import Gke, OperationState
from services.project.product import Found, Json, done

_TIMEOUT_S: Final = 30.0
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_MANAGER: Final = "heartwood"
# Where objects of ours are looked for; what is inside a namespace of ours goes with it.
_LISTED: Final = ("api/v1/namespaces", "apis/storage.k8s.io/v1/storageclasses")


class KubeObjects:
    """Through the cluster's own API."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def get(self, name: str) -> Found | None:
        """The object; None also where its cluster is gone."""
        try:
            body = self._call(name, "GET")
        except NotFound:
            return None
        with calls.converting(name):
            return _found(body)

    def create(self, name: str, body: Json) -> str:
        """Apply it: it is made, or becomes as said."""
        parameters = f"?fieldManager={_MANAGER}&force=true"
        self._call(name, "PATCH", body, parameters, _APPLY)
        return ""

    def patch(self, name: str, change: Json) -> None:
        """Merge a change into it (RFC 7396); the same twice is once."""
        self._call(name, "PATCH", change, f"?fieldManager={_MANAGER}", _MERGE)

    def list_in(self, name: str, labels: Mapping[str, str]) -> tuple[Json, ...]:
        """The objects of a collection that have these labels."""
        wanted = ",".join(f"{key}={value}" for key, value in labels.items())
        answer = self._call(name, "GET", None, f"?labelSelector={quote(wanted)}")
        with calls.converting(name):
            return tuple(cast(Sequence[Json], answer["items"]))

    def delete(self, name: str) -> str:
        """Have it deleted with what depends on it."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        try:
            self._call(name, "DELETE", options)
        except NotFound:
            return ""
        return ""

    def get_operation(self, name: str) -> OperationState:
        """Kubernetes has none."""
        return done(name)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Namespaces and storage classes with our label, in all clusters."""
        found: list[CloudResource] = []
        for cluster in Gke(self._clients).list_clusters():
            if cluster.status not in ("RUNNING", "RECONCILING", "DEGRADED"):
                continue
            base = (
                f"//{CONTAINER}/projects/{self._clients.project}/locations/{cluster.location}"
                f"/clusters/{cluster.name}{KUBERNETES}"
            )
            for collection in _LISTED:
                query = f"?labelSelector={TIER_LABEL}"
                answer = self._call(f"{base}{collection}", "GET", None, query)
                with calls.converting(collection):
                    for item in cast(Sequence[Json], answer["items"]):
                        shown = _found(item)
                        path = f"{base}{collection}/{item['metadata']['name']}"
                        found.append(CloudResource(path, shown.owner, shown.status))
        return tuple(found)

    def _call(
        self, name: str, method: str, body: Json | None = None, query: str = "", kind: str = ""
    ) -> Json:
        cluster, _, path = path_of(name).partition(KUBERNETES)
        parts = cluster.split("/")
        location, short = parts[3], parts[5]

        def run(timeout_s: float) -> Json:
            from kubernetes.client.exceptions import ApiException

            api: Any = self._clients.kube(short, location)
            headers = {"Accept": "application/json", "Content-Type": kind or "application/json"}
            target = f"/{path}{query}"
            api.update_params_for_auth(headers, [], ["BearerToken"], target, method, body)
            url = f"{api.configuration.host}{target}"
            answer = api.call_api(method, url, headers, body, _request_timeout=timeout_s)
            text = answer.read()
            if not 200 <= answer.status < 300:
                raise ApiException.from_response(http_resp=answer, body=text.decode(), data=None)
            return cast(Json, json.loads(text))

        policy = calls.READ if method == "GET" else calls.ONCE
        return self._clients.call(run, resource=name, timeout_s=_TIMEOUT_S, policy=policy)


def _found(body: Json) -> Found:
    meta = cast(Json, body["metadata"])
    labels = cast(Mapping[str, str], meta.get("labels") or {})
    ready, status = _readiness(body)
    return Found(body, owner_of(labels), ready, status)


def _readiness(body: Json) -> tuple[bool, str]:
    """Whether an object does what it is for, and in a word how far it is."""
    kind = str(body.get("kind", ""))
    meta, status = cast(Json, body["metadata"]), cast(Json, body.get("status") or {})
    if meta.get("deletionTimestamp"):
        return False, "Terminating"
    if kind in ("Deployment", "LeaderWorkerSet"):
        wanted = int(cast(Json, body["spec"]).get("replicas", 1))
        ready = int(status.get("readyReplicas", 0))
        fresh = status.get("observedGeneration", meta.get("generation")) == meta.get("generation")
        return fresh and ready >= wanted, f"{ready} of {wanted} replicas ready"
    if kind == "PersistentVolumeClaim":
        return status.get("phase") == "Bound", str(status.get("phase", ""))
    if kind == "Service":
        asked = "cloud.google.com/neg" in (meta.get("annotations") or {})
        made = "cloud.google.com/neg-status" in (meta.get("annotations") or {})
        return made or not asked, "with its NEG" if made else "without a NEG yet" if asked else ""
    return True, str(status.get("phase", ""))
