"""How a tier is written in `heartwood.toml`, and what makes it legal.

Turns what the file says into `core.specs.TierSpec`. What a generation, topology or zone may be is
`core.tpu`'s knowledge; where the file and the variables are read is `control/settings.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from core import tpu
from core.specs import Objectives, PartKind, PartSpec, TierSpec

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_URL: Final = re.compile(r"(https?://[^\s@?#\\]+)?")
_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)
_ZONAL: Final = (*_GKE, PartKind.TPU_VM)


def refuse(reason: str, at: str = "", value: object = None) -> PydanticCustomError:
    """An error for a key below the one being validated: `at` is its path from there."""
    context = {"reason": reason.replace("{", "(").replace("}", ")"), "at": at, "value": value}
    return PydanticCustomError("heartwood", "{reason}", context)


class PartSettings(BaseModel):
    """One entry of a tier's `parts`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: PartKind = Field(description="how it runs, which decides the API that shows it")
    slices: int = Field(ge=0, description="slices the tier is meant to have here")
    name_prefix: str = Field(
        default="", description="of node pools, TPU nodes, the Vertex endpoint"
    )
    cluster: str = Field(default="", description="GKE cluster")
    cluster_location: str = Field(default="", description="region or zone of the GKE cluster")
    location: str = Field(
        default="", description="zone of the chips, or region of the Vertex endpoint"
    )

    def spec(self) -> PartSpec:
        """As the rest of Heartwood knows it."""
        return PartSpec(
            kind=self.kind,
            slices=self.slices,
            name_prefix=self.name_prefix,
            cluster=self.cluster,
            cluster_location=self.cluster_location,
            location=self.location,
        )


class ObjectiveSettings(BaseModel):
    """A tier's service level objectives; a key left out sets none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    availability_ratio: float | None = Field(default=None, gt=0, lt=1)
    ttft_p95_ms: float | None = Field(default=None, gt=0)
    latency_p95_ms: float | None = Field(default=None, gt=0)
    window_days: int = Field(default=28, ge=1, le=90)

    def spec(self) -> Objectives:
        """As the rest of Heartwood knows it."""
        return Objectives(
            availability_ratio=self.availability_ratio,
            ttft_p95_ms=self.ttft_p95_ms,
            latency_p95_ms=self.latency_p95_ms,
            window_days=self.window_days,
        )


class TierSettings(BaseModel):
    """One `[[tiers]]` table. Keys are those of `core.specs.TierSpec`, where they are explained.

    Fields are validated in this order: later ones look at earlier ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: str
    title: str = ""
    description: str = ""
    generation: str | None = None
    topology: str = ""
    zone: str = ""
    parts: tuple[PartSettings, ...]
    namespace: str = ""
    backend_service: str = ""
    endpoint_url: str = ""
    objectives: ObjectiveSettings = ObjectiveSettings()
    monthly_budget_usd: float | None = Field(default=None, gt=0)
    usd_per_hour: float | None = Field(default=None, gt=0)
    measured_tokens_per_s_per_slice: float | None = Field(default=None, gt=0)
    model: str = ""
    model_parameters: float | None = Field(default=None, gt=0)
    model_active_parameters: float | None = Field(default=None, gt=0)
    weight_bytes_per_parameter: float = Field(default=2.0, gt=0)
    kv_bytes_per_token: float | None = Field(default=None, gt=0)
    server_chips: int | None = Field(default=None, ge=1)
    max_sequences: int | None = Field(default=None, ge=1)
    production: bool = True

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise refuse("a name has lower-case letters, digits and hyphens, letter first, ≤63")
        return name

    @field_validator("generation")
    @classmethod
    def _generation(cls, name: str | None) -> str | None:
        return None if name is None else _legal(lambda: tpu.generation(name)).name

    @field_validator("topology")
    @classmethod
    def _topology(cls, topology: str, info: ValidationInfo) -> str:
        gen = _generation_of(info)
        if gen is not None and topology:
            _legal(lambda: tpu.check_topology(gen, topology))
        return topology

    @field_validator("zone")
    @classmethod
    def _zone(cls, zone: str, info: ValidationInfo) -> str:
        gen = _generation_of(info)
        if gen is not None and zone:
            _legal(lambda: tpu.check_zone(gen, zone))
        return zone

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_url(cls, url: str) -> str:
        if not _URL.fullmatch(url):
            raise refuse("must be http://host:port or the like, without user, password, ? or #")
        return url

    @field_validator("parts")
    @classmethod
    def _parts(
        cls, parts: tuple[PartSettings, ...], info: ValidationInfo
    ) -> tuple[PartSettings, ...]:
        if not {"generation", "topology", "zone"} <= info.data.keys():
            return parts  # those are wrong already, and said to be
        if not parts:
            raise refuse("a tier has at least one part")
        if any(part.kind is PartKind.LOCAL for part in parts):
            _check_local(parts, info.data)
            return parts
        for key in ("generation", "topology", "zone"):
            if not info.data[key]:
                raise refuse(f"a tier on TPUs needs the key {key}")
        for index, part in enumerate(parts):
            _check_part(index, part, tpu.generation(info.data["generation"]), info.data["topology"])
        return parts

    def spec(self) -> TierSpec:
        """As the rest of Heartwood knows it."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        fields |= {
            "title": self.title or self.name.capitalize(),
            "namespace": self.namespace or self.name,
            "parts": tuple(part.spec() for part in self.parts),
            "objectives": self.objectives.spec(),
        }
        return TierSpec(**fields)


def _generation_of(info: ValidationInfo) -> tpu.Generation | None:
    name: str | None = info.data.get("generation")
    return None if name is None else tpu.generation(name)


def _legal(check: Any) -> Any:
    try:
        return check()
    except ValueError as error:
        raise refuse(str(error)) from error


def _check_local(parts: tuple[PartSettings, ...], tier: dict[str, Any]) -> None:
    if len(parts) != 1:
        raise refuse("a tier on this machine has exactly one part, of kind local")
    for key in ("generation", "topology", "zone"):
        if tier[key]:
            raise refuse(f"a tier on this machine has no {key}; leave the key out")


def _check_part(index: int, part: PartSettings, gen: tpu.Generation, topology: str) -> None:
    """Pass a part that can exist: its kind fits the slice's hosts, its names are all there."""
    hosts = tpu.hosts_per_slice(gen, topology)
    kind, at = part.kind, f"{index}.kind"
    if kind is PartKind.GKE_SINGLE_HOST and hosts > 1:
        reason = f"a {gen.name} slice of {topology} has {hosts} hosts: use gke_multi_host"
        raise refuse(reason, at, kind.value)
    if kind is PartKind.GKE_MULTI_HOST and hosts == 1:
        reason = f"a {gen.name} slice of {topology} has one host: use gke_single_host"
        raise refuse(reason, at, kind.value)
    if kind is PartKind.VERTEX and hosts > 1:
        reason = f"Vertex serves single-host slices only; {topology} has {hosts} hosts"
        raise refuse(reason, at, kind.value)
    if kind is PartKind.TPU_VM and gen.tpu_api_type is None:
        reason = f"the Cloud TPU API does not support {gen.name}: use a gke_… kind"
        raise refuse(reason, at, kind.value)
    needed = ["name_prefix", "location", *(["cluster", "cluster_location"] if kind in _GKE else [])]
    for key in needed:
        if not getattr(part, key):
            raise refuse(f"a part of kind {kind.value} needs the key {key}", f"{index}.{key}", "")
    if kind in _ZONAL:
        try:
            tpu.check_zone(gen, part.location)
        except ValueError as error:
            raise refuse(str(error), f"{index}.location", part.location) from error


def check_distinct(tiers: Iterable[TierSpec]) -> None:
    """Pass tiers whose names and selectors tell their resources apart.

    Raises:
        PydanticCustomError: two tiers have one name, or one's prefix also matches another's.
    """
    seen: dict[str, int] = {}
    prefixes: list[tuple[PartKind, str, str]] = []
    for index, tier in enumerate(tiers):
        if tier.name in seen:
            raise refuse("tier names are unique; this one is taken", f"{index}.name", tier.name)
        seen[tier.name] = index
        for part in tier.parts:
            for kind, prefix, owner in prefixes:
                if kind is part.kind and part.name_prefix and owner != tier.name:
                    _check_prefixes(part.name_prefix, prefix, owner, index)
            prefixes.append((part.kind, part.name_prefix, tier.name))


def _check_prefixes(mine: str, other: str, owner: str, index: int) -> None:
    if mine.startswith(other) or other.startswith(mine):
        reason = f"name_prefix {mine!r} and tier {owner}'s {other!r} match the same resources"
        raise refuse(reason, f"{index}.parts", mine)
