"""Cloud Monitoring's open alerts.

The installed client library has no client of projects.alerts (list and get are all that the API
offers: nothing can be acknowledged there), so they are read over REST.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from core.alerts import Alert, tier_of
from core.records import Source
from core.specs import TierSpec
from services import calls
from services.clients import Clients

_PAGE: Final = 100
_MOST: Final = 1000  # open at once; more than anybody reads


class Alerts:
    """Reads alerts."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_open(self, specs: Sequence[TierSpec]) -> tuple[Alert, ...]:
        """Those that have not ended, the newest first.

        Raises:
            OpsError: they could not be read.
        """
        path = f"v3/projects/{self._clients.project}/alerts"
        query: dict[str, str | int] = {
            "filter": 'state="OPEN"',
            "orderBy": "open_time desc",
            "pageSize": _PAGE,
        }
        found: list[Alert] = []
        while len(found) < _MOST:
            answer = self._get(path, query)
            with calls.converting(path):
                found += [_alert(specs, each) for each in answer.get("alerts", [])]
                token = str(answer.get("nextPageToken", ""))
            if not token:
                break
            query["pageToken"] = token
        return tuple(found)

    def _get(self, path: str, query: Mapping[str, str | int]) -> Mapping[str, Any]:
        def read(timeout_s: float) -> Mapping[str, Any]:
            from google.api_core.exceptions import from_http_response

            host = self._clients.endpoint(Source.ALERTS)
            base = host if "://" in host else f"https://{host}"
            answer = self._clients.session().get(f"{base}/{path}", params=query, timeout=timeout_s)
            if answer.status_code >= 400:
                raise from_http_response(answer)
            return answer.json()

        return self._clients.call(read, resource=path)


def _alert(specs: Sequence[TierSpec], body: Mapping[str, Any]) -> Alert:
    policy: Mapping[str, Any] = body.get("policy", {})
    about: dict[str, str] = {}
    for part in (body.get("metric", {}), body.get("resource", {})):
        about |= {str(k): str(v) for k, v in part.get("labels", {}).items()}
    metadata: Mapping[str, Any] = body.get("metadata", {})
    about |= {str(k): str(v) for k, v in metadata.get("userLabels", {}).items()}
    opened = body.get("openTime")
    severity = str(policy.get("severity", ""))
    return Alert(
        name=str(body["name"]),
        title=str(policy.get("displayName", "")) or str(body["name"]),
        policy=str(policy.get("name", "")),
        severity="" if severity == "SEVERITY_UNSPECIFIED" else severity,
        tier=tier_of(specs, policy.get("userLabels", {}), about),
        labels=about,
        opened_at=datetime.fromisoformat(str(opened)) if opened else None,
    )
