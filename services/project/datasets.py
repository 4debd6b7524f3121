"""BigQuery's datasets, for the logs that a sink writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from core.cloud_resources import BIGQUERY, CloudResource, owner_of, path_of, short_name
from core.errors import NotFound
from core.specs import TIER_LABEL
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.product import Found, Json, done

_TIMEOUT_S: Final = 30.0


class DatasetResources:
    """A name is //bigquery.googleapis.com/projects/P/datasets/NAME."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def get(self, name: str) -> Found | None:
        """The dataset."""
        try:
            found: Any = self._call(name, lambda c, t: c.get_dataset(_id(name), timeout=t))
        except NotFound:
            return None
        with calls.converting(name):
            return Found({}, owner_of(dict(found.labels)))

    def create(self, name: str, body: Json) -> str:
        """Make it; `body` has location and labels."""
        from google.cloud.bigquery import Dataset

        made = Dataset(_id(name))
        made.location, made.labels = str(body["location"]), dict(body["labels"])
        self._call(name, lambda c, t: c.create_dataset(made, timeout=t), calls.ONCE)
        return ""

    def delete(self, name: str) -> str:
        """Delete it with its tables."""
        self._call(
            name,
            lambda c, t: c.delete_dataset(
                _id(name), delete_contents=True, not_found_ok=True, timeout=t
            ),
            calls.ONCE,
        )
        return ""

    def get_operation(self, name: str) -> OperationState:
        """Datasets have none."""
        return done(name)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Datasets with our label."""
        parent = f"projects/{self._clients.project}/datasets"
        listed: Any = self._call(parent, lambda c, t: list(c.list_datasets(timeout=t)))
        return tuple(
            CloudResource(f"//{BIGQUERY}/{parent}/{d.dataset_id}", d.labels[TIER_LABEL])
            for d in listed
            if TIER_LABEL in d.labels
        )

    def _call(
        self,
        resource: str,
        method: Callable[[Any, float], Any],
        policy: calls.RetryPolicy = calls.READ,
    ) -> Any:
        client: Any = self._clients.bigquery()
        return self._clients.call(
            lambda t: method(client, t), resource=resource, timeout_s=_TIMEOUT_S, policy=policy
        )


def _id(name: str) -> str:
    return f"{path_of(name).split('/')[1]}.{short_name(name)}"
