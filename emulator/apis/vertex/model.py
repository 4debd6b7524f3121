"""Vertex's state: models with versions, endpoints, and the replicas of each deployed model.

Vertex makes its own nodes for them; they are in no GKE pool and on no TPU node list.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from core import tpu
from emulator.context import Cloud
from emulator.scenario import TierSeed

DEFAULT_ALIAS: Final = "default"
Key = tuple[str, str]


def numeric_id(*parts: str) -> str:
    """A 19-digit id, as Vertex gives, the same on every start."""
    digest = hashlib.blake2s("/".join(parts).encode(), digest_size=8).digest()
    return str(10**18 + int.from_bytes(digest) % (8 * 10**18))


@dataclass(slots=True)
class ModelVersion:
    """One version of a model.

    Attributes:
        given: the Model of a caller's request; None for the scenario's.
        aliases: names for it beside its number; one version of a model is "default".
        leaving: it is being deleted, alone or with its model.
    """

    id: str
    display_name: str
    created_at: float
    given: Any = None
    updated_at: float = 0.0
    revision: int = 0
    aliases: list[str] = field(default_factory=list)
    leaving: bool = False


@dataclass(slots=True)
class UploadedModel:
    """One model of a region's registry with its versions by number."""

    id: str
    region: str
    tier: str
    created_at: float
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    newest: int = 0

    @property
    def default(self) -> ModelVersion:
        """The version that the model's bare name means."""
        return next(v for v in self.versions.values() if DEFAULT_ALIAS in v.aliases)

    def add(self, made: ModelVersion) -> ModelVersion:
        """Keep a version; its aliases are no other's any more, and the first is the default."""
        if not self.versions and DEFAULT_ALIAS not in made.aliases:
            made.aliases.insert(0, DEFAULT_ALIAS)
        for other in self.versions.values():
            other.aliases = [a for a in other.aliases if a not in made.aliases]
        self.versions[made.id] = made
        return made


@dataclass(slots=True)
class Deployment:
    """One deployed model: `replicas` slices of `topology`, one host each, at most `most`."""

    id: str
    model: str
    display_name: str
    machine_type: str
    topology: str
    replicas: int
    created_at: float
    most: int = 0
    given: Any = None
    version: str = "1"


@dataclass(slots=True)
class VertexEndpoint:
    """One endpoint with the models deployed on it and their shares of its traffic in percent.

    Attributes:
        given: the Endpoint of a caller's request; None for the scenario's.
        coming: the model that is being deployed, if one is.
    """

    id: str
    display_name: str
    tier: str
    region: str
    created_at: float
    deployments: dict[str, Deployment] = field(default_factory=dict)
    traffic: dict[str, int] = field(default_factory=dict)
    revision: int = 0
    given: Any = None
    updated_at: float = 0.0
    coming: Deployment | None = None

    @property
    def holds(self) -> list[Deployment]:
        """What is deployed or being deployed."""
        return [*self.deployments.values(), *([self.coming] if self.coming else [])]


@dataclass
class VertexState:
    """All of it, by region and id; `serial` counts what callers made, ids follow from it."""

    serial: int = 0
    models: dict[Key, UploadedModel] = field(default_factory=dict)
    endpoints: dict[Key, VertexEndpoint] = field(default_factory=dict)


def initial_state(cloud: Cloud) -> VertexState:
    """One model and one endpoint per tier with Vertex replicas."""
    state = VertexState()
    for seed in cloud.scenario.tiers:
        if seed.vertex_replicas:
            _add(state, seed, cloud.project.region, cloud.clock.epoch())
    return state


def _add(state: VertexState, seed: TierSeed, region: str, created: float) -> None:
    model = UploadedModel(numeric_id("model", seed.name), region, seed.name, created, newest=1)
    model.add(ModelVersion("1", seed.model.name, created))
    deployment = Deployment(
        id=numeric_id("deployment", seed.name),
        model=model.id,
        display_name=f"hw-{seed.name}",
        machine_type=tpu.machine_type(seed.gen, seed.topology),
        topology=seed.topology,
        replicas=seed.vertex_replicas,
        most=seed.vertex_most,
        created_at=created,
    )
    endpoint = VertexEndpoint(
        id=numeric_id("endpoint", seed.name),
        display_name=f"hw-{seed.name}",
        tier=seed.name,
        region=region,
        created_at=created,
        deployments={deployment.id: deployment},
        traffic={deployment.id: 100},
    )
    state.models[region, model.id] = model
    state.endpoints[region, endpoint.id] = endpoint
