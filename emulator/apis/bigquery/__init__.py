"""BigQuery: SQL over the project's billing export, on DuckDB."""

from __future__ import annotations

from typing import Any

from emulator.apis.bigquery.api import BigQuery, own_turns
from emulator.context import Cloud
from emulator.wire.mount import Asgi, RouterMount

PREFIX = "/bigquery"


def build(cloud: Cloud) -> list[RouterMount]:
    """Mount the service, and its discovery document where `bq` looks for it as well."""
    app = BigQuery(cloud).app()
    return [
        RouterMount(PREFIX, app, "bigquery.googleapis.com", own_turns),
        RouterMount("/$discovery", _from_the_root(app)),
    ]


def _from_the_root(app: Asgi) -> Asgi:
    """`bq` asks the root of its endpoint's host, whatever path the endpoint has."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        inner = {**scope, "path": PREFIX + scope["path"], "root_path": PREFIX}
        await app(inner, receive, send)

    return answer
