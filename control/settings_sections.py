"""The tables of `heartwood.toml` but the guards' and tiers': keys, defaults, what they may be.

A tier's own keys are `control/tier_settings.py`'s, the guards' `control/settings_guards.py`'s. A
field's description says what is allowed where its type does not; it stands in the error for a wrong
value.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from control.tier_settings import refuse
from core.records import Source

ROOT: Final = Path(__file__).resolve().parents[1]

_DATABASE: Final = re.compile(r"(sqlite|postgresql)(\+\w+)?://")
_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+|[0-9a-fA-F]*:[0-9a-fA-F:.]+)(:\d{1,5})?")

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ProjectSettings(Section):
    """[project]: the Google Cloud project that is watched."""

    id: str = Field(
        default="heartwood-demo",
        pattern=r"^[a-z][-a-z0-9:.]{4,61}[a-z0-9]$",
        description="a project's id (not its number or name), for example my-project-123",
    )
    billing_account: str = Field(
        default="",
        pattern=r"^(billingAccounts/[0-9A-Z]{6}-[0-9A-Z]{6}-[0-9A-Z]{6})?$",
        description="billingAccounts/XXXXXX-XXXXXX-XXXXXX; empty: there is none",
    )
    billing_export: str = Field(
        default="",
        pattern=r"^([^.\s`]+\.[^.\s`]+\.[^.\s`]+)?$",
        description="the detailed export as project.dataset.table; empty: there is none",
    )
    region: str = Field(
        default="us-central1",
        pattern=r"^[a-z]+-[a-z]+\d+$",
        description="a region such as us-central1, not a zone",
    )


class CloudSettings(Section):
    """[cloud]: which Google Cloud is talked to. Empty addresses follow [ports]."""

    target: Literal["emulator", "google"] = "emulator"
    emulator_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s@]+)?$",
        description="the REST address, for example http://127.0.0.1:9080; empty: follows [ports]",
    )
    emulator_grpc: str = Field(
        default="",
        pattern=r"^([^\s/@]+:\d+)?$",
        description="gRPC's host:port without a scheme; empty: follows [ports]",
    )

    @property
    def simulated(self) -> bool:
        """Whether what the cloud's APIs say comes from a simulated world; pages say so."""
        return self.target == "emulator"


class PortSettings(Section):
    """[ports]: where the three processes listen; `lb` is the emulated load balancer's."""

    console: Port = 8501
    serving: Port = 8080
    emulator: Port = 9080
    emulator_grpc: Port = 9081
    lb: Port = 8088

    @model_validator(mode="after")
    def _distinct(self) -> PortSettings:
        values = list(self.model_dump().items())
        for index, (name, port) in enumerate(values):
            for other, same in values[:index]:
                if port == same:
                    raise refuse(f"ports differ from each other; {other} has it", name, port)
        return self


class HostSettings(Section):
    """[hosts]: the address that all three processes bind."""

    bind: str = Field(default="127.0.0.1", min_length=1)

    @property
    def reach(self) -> str:
        """Host under which this machine reaches what binds `bind`."""
        if self.bind in ("0.0.0.0", "::"):
            return "127.0.0.1"
        return f"[{self.bind}]" if ":" in self.bind else self.bind


class DataSettings(Section):
    """[data]: what this machine keeps. A relative directory lies in the repository root."""

    dir: Path = Path(".heartwood")
    database_url: str = Field(
        default="", description="SQLAlchemy URL; empty: SQLite in the directory"
    )
    workflow_database_url: str = Field(
        default="", description="of durable workflows; empty: SQLite too"
    )

    @field_validator("dir", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if not str(value).strip():  # it would be the repository itself
            raise refuse("must name a directory; leave the key out for .heartwood")
        return value

    @field_validator("dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return (ROOT / value.expanduser()).resolve()

    @field_validator("database_url", "workflow_database_url")
    @classmethod
    def _database(cls, url: str, info: ValidationInfo) -> str:
        if url and not _DATABASE.match(url):
            raise refuse(
                "must be a database URL: sqlite:////path/to/file.db or"
                " postgresql://user:password@host/name; empty: SQLite in the directory"
            )
        if url or "dir" not in info.data:
            return url
        file = "heartwood.db" if info.field_name == "database_url" else "workflows.db"
        return f"sqlite:///{info.data['dir'] / file}"


class RefreshSettings(Section):
    """[refresh]: how often each source is read, in seconds; keys are `core.records.Source` + _s."""

    gke_s: Seconds = 10
    kube_s: Seconds = 15
    tpu_s: Seconds = 15
    vertex_s: Seconds = 15
    load_balancer_s: Seconds = 15
    load_s: Seconds = 15
    chips_s: Seconds = 30
    prices_s: Seconds = 3600
    costs_s: Seconds = 3600
    budgets_s: Seconds = 600
    inference_s: Seconds = 5
    alerts_s: Seconds = 30
    quotas_s: Seconds = 600
    machine_types_s: Seconds = 3600
    reservations_s: Seconds = 60
    recommender_s: Seconds = 3600

    def interval_s(self, source: Source) -> float:
        """Seconds between two reads of that source."""
        return float(getattr(self, f"{source.value}_s"))


class PlaygroundSettings(Section):
    """[playground]: which servers a person may have the console call, and our own one's key."""

    api_key: SecretStr = Field(
        default=SecretStr(""), description="of the local tier's server; empty: it asks for none"
    )
    allowed_servers: tuple[str, ...] = Field(
        default=(),
        description="host or host:port of each; empty: any, but none where the console listens "
        "beyond this machine",
    )

    @field_validator("allowed_servers")
    @classmethod
    def _servers(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for index, server in enumerate(servers):
            if not _SERVER.fullmatch(server):
                raise refuse("a server is host or host:port, nothing else", str(index), server)
        return servers


class LogSettings(Section):
    """[log]: auto is readable on a terminal and JSON elsewhere."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
