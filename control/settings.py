"""Heartwood's settings: one typed object, read from `heartwood.toml` and HEARTWOOD_* variables.

The keys, their defaults and what they may be. A tier's own keys are `control/tier_settings.py`'s;
reading the file and the variables is `control/settings_sources.py`'s; what goes wrong is put into
words by `control/settings_errors.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from control.settings_errors import in_words
from control.settings_sources import (
    CONFIG_VARIABLE,
    Tree,
    TreeSource,
    leaves,
    overlay,
    read_environ,
    read_file,
)
from control.tier_settings import TierSettings, check_distinct, refuse
from core.records import Source
from core.specs import PartKind, TierSpec

ROOT: Final = Path(__file__).resolve().parents[1]
DEFAULT_FILE: Final = ROOT / "heartwood.toml"
DEFAULT_SERVING_URL: Final = "http://127.0.0.1:8080"

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ProjectSettings(Section):
    """[project]: the Google Cloud project that is watched."""

    id: str = Field(default="heartwood-demo", pattern=r"^[a-z][-a-z0-9:.]{4,61}[a-z0-9]$")
    billing_account: str = Field(
        default="", pattern=r"^(billingAccounts/[0-9A-Z]{6}-[0-9A-Z]{6}-[0-9A-Z]{6})?$"
    )
    billing_export: str = Field(
        default="",
        pattern=r"^([^.\s`]+\.[^.\s`]+\.[^.\s`]+)?$",
        description="the detailed export as project.dataset.table; empty: there is none",
    )
    region: str = Field(default="us-central1", pattern=r"^[a-z]+-[a-z]+\d+$")


class CloudSettings(Section):
    """[cloud]: which Google Cloud is talked to. Empty addresses follow [ports]."""

    target: Literal["emulator", "google"] = "emulator"
    emulator_url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", description="REST, no slash at end"
    )
    emulator_grpc: str = Field(default="", pattern=r"^(\S+:\d+)?$", description="gRPC, host:port")

    @property
    def simulated(self) -> bool:
        """Whether what the cloud's APIs say comes from a simulated world; pages say so."""
        return self.target == "emulator"


class PortSettings(Section):
    """[ports]: where the three processes listen."""

    console: Port = 8501
    serving: Port = 8080
    emulator: Port = 9080
    emulator_grpc: Port = 9081

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

    @field_validator("dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return (ROOT / value.expanduser()).resolve()

    @field_validator("database_url", "workflow_database_url")
    @classmethod
    def _database(cls, url: str, info: ValidationInfo) -> str:
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

    def interval_s(self, source: Source) -> float:
        """Seconds between two reads of that source."""
        return float(getattr(self, f"{source.value}_s"))


class GuardSettings(Section):
    """[guards]: thresholds of the guards on the write path."""

    capacity_safety_factor: float = Field(
        default=1.3,
        ge=1,
        description="p95 demand of the last hour × this must fit into what is left",
    )
    stale_after_s: Seconds = Field(default=120, description="a plan may not rest on older data")
    plan_expires_after_s: Seconds = 300


class LogSettings(Section):
    """[log]: auto is readable on a terminal and JSON elsewhere."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


def _to_spec(tier: TierSettings) -> TierSpec:
    return tier.spec()


def _to_table(tier: TierSpec) -> dict[str, Any]:
    return asdict(tier)


def _tier_schema(_type: object, handler: Any) -> Any:
    return handler(Annotated[TierSettings, AfterValidator(_to_spec), PlainSerializer(_to_table)])


class Settings(BaseSettings):
    """Everything that can be set. Read it with `load_settings`, not by calling it.

    `tiers` are `core.specs.TierSpec` objects, in the file's order.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=True)

    project: ProjectSettings = ProjectSettings()
    cloud: CloudSettings = CloudSettings()
    ports: PortSettings = PortSettings()
    hosts: HostSettings = HostSettings()
    data: DataSettings = DataSettings()
    refresh: RefreshSettings = RefreshSettings()
    guards: GuardSettings = GuardSettings()
    log: LogSettings = LogSettings()
    read_only: bool = Field(default=False, description="nobody may change anything from here")
    tiers: tuple[Annotated[TierSpec, GetPydanticSchema(_tier_schema)], ...] = ()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict[str, str])

    @field_validator("tiers")
    @classmethod
    def _tiers(cls, tiers: tuple[TierSpec, ...], info: ValidationInfo) -> tuple[TierSpec, ...]:
        check_distinct(tiers)
        ports: PortSettings | None = info.data.get("ports")
        hosts: HostSettings | None = info.data.get("hosts")
        if ports is None or hosts is None:
            return tiers
        url = f"http://{hosts.reach}:{ports.serving}"
        return tuple(_with_serving_url(tier, url) for tier in tiers)

    @property
    def emulator_url(self) -> str:
        """Base URL of the emulator's REST port, as clients reach it."""
        return self.cloud.emulator_url.rstrip("/") or self.url(self.ports.emulator)

    @property
    def emulator_grpc(self) -> str:
        """host:port of the emulator's gRPC port, as clients reach it."""
        return self.cloud.emulator_grpc or f"{self.reach}:{self.ports.emulator_grpc}"

    @property
    def serving_url(self) -> str:
        """Base URL of the inference server that `make run` starts."""
        return self.url(self.ports.serving)

    @property
    def console_url(self) -> str:
        """URL of the console."""
        return self.url(self.ports.console)

    @property
    def reach(self) -> str:
        """Host under which this machine reaches what binds `hosts.bind`."""
        return self.hosts.reach

    def url(self, port: int) -> str:
        """URL of that port on this machine."""
        return f"http://{self.reach}:{port}"

    def tier(self, name: str) -> TierSpec:
        """The tier of that name; KeyError when there is none."""
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise KeyError(name)

    def origin(self, path: str) -> str:
        """Where a key's value comes from: a file, a variable, or "default"."""
        while path:
            if path in self._origins:
                return self._origins[path]
            path = path.rpartition(".")[0]
        return "default"

    def with_origins(self, origins: Mapping[str, str]) -> Self:
        """These settings, knowing where each key (dotted path) comes from."""
        self._origins.update(origins)
        return self

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *args: object, **kwargs: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """None by itself: `load_settings` adds the file with its overlay of variables."""
        return (TreeSource(settings_cls, {}),)


def _with_serving_url(tier: TierSpec, url: str) -> TierSpec:
    local = all(part.kind is PartKind.LOCAL for part in tier.parts)
    if local and tier.endpoint_url.rstrip("/") in ("", DEFAULT_SERVING_URL):
        return replace(tier, endpoint_url=url)
    return tier


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from a file overlaid with HEARTWOOD_* variables.

    Args:
        path: the file; None: the one that HEARTWOOD_CONFIG names, else the repository's own.
        environ: None: `os.environ`.

    Raises:
        ConfigError: a key or value is wrong; `str()` of it is one readable block that names the
            file or variable, the key, the value and what is allowed.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(CONFIG_VARIABLE)
    file = path or (Path(named).expanduser() if named else DEFAULT_FILE)
    tree = read_file(file)
    origins = {key: file.name if file == DEFAULT_FILE else str(file) for key, _ in leaves(tree)}
    variables = read_environ(environ, tuple(Settings.model_fields))
    origins |= overlay(tree, variables, environ)
    try:
        settings = _reader(tree)()
    except ValidationError as error:
        raise in_words(error, tree, origins, str(file), Settings) from error
    return settings.with_origins(origins)


def _reader(tree: Tree) -> type[Settings]:
    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *args: object, **kwargs: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (TreeSource(settings_cls, tree),)

    return Loaded
