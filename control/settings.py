"""Heartwood's settings: one typed object, read from `heartwood.toml` and HEARTWOOD_* variables.

The whole of it. The keys of its tables are `control/settings_sections.py`'s and those beside it,
those of a tier `control/tier_settings.py`'s; reading the file and the variables is
`control/settings_sources.py`'s; what goes wrong is put into words by `control/settings_errors.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
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

from control.settings_access import AccessSettings
from control.settings_audit import AuditSettings
from control.settings_errors import in_words
from control.settings_guards import GuardSettings
from control.settings_router import RouterSettings
from control.settings_sections import (
    ROOT,
    CloudSettings,
    DataSettings,
    HostSettings,
    LogSettings,
    PlaygroundSettings,
    PortSettings,
    ProjectSettings,
    RefreshSettings,
)
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
from core.specs import PartKind, TierSpec

__all__ = ["DEFAULT_FILE", "ROOT", "Settings", "load_settings"]

DEFAULT_FILE: Final = ROOT / "heartwood.toml"
DEFAULT_SERVING_URL: Final = "http://127.0.0.1:8080"
DEFAULT_BALANCER_URL: Final = "http://127.0.0.1:8088"


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
    access: AccessSettings = AccessSettings()
    audit: AuditSettings = AuditSettings()
    playground: PlaygroundSettings = PlaygroundSettings()
    router: RouterSettings = RouterSettings()
    log: LogSettings = LogSettings()
    read_only: bool = Field(default=False, description="nobody may change anything from here")
    tiers: tuple[Annotated[TierSpec, GetPydanticSchema(_tier_schema)], ...] = ()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict[str, str])

    @field_validator("tiers")
    @classmethod
    def _tiers(cls, tiers: tuple[TierSpec, ...], info: ValidationInfo) -> tuple[TierSpec, ...]:
        check_distinct(tiers)
        guards: GuardSettings | None = info.data.get("guards")
        if guards is not None:
            guards.check_tiers(tier.name for tier in tiers)
        ports: PortSettings | None = info.data.get("ports")
        hosts: HostSettings | None = info.data.get("hosts")
        if ports is None or hosts is None:
            return tiers
        cloud: CloudSettings | None = info.data.get("cloud")
        balancer = f"http://{hosts.reach}:{ports.lb}" if cloud and cloud.simulated else ""
        url = f"http://{hosts.reach}:{ports.serving}"
        return tuple(_with_addresses(tier, url, balancer) for tier in tiers)

    @model_validator(mode="after")
    def _no_names_for_real(self) -> Self:
        if self.access.login == "local" and not self.cloud.simulated:
            raise refuse(
                "users without a password are for the emulator only; here it is oidc or iap",
                "access.login",
                "local",
            )
        return self

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


def _with_addresses(tier: TierSpec, serving: str, balancer: str) -> TierSpec:
    """A tier whose default addresses follow the ports; `balancer` is "" where none is emulated."""
    local = all(part.kind is PartKind.LOCAL for part in tier.parts)
    if local and tier.endpoint_url.rstrip("/") in ("", DEFAULT_SERVING_URL):
        return replace(tier, endpoint_url=serving)
    base, found, path = tier.endpoint_url.partition(DEFAULT_BALANCER_URL)
    if found and not base and path[:1] in ("", "/"):
        return replace(tier, endpoint_url=f"{balancer}{path}" if balancer else "")
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
