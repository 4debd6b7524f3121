"""Vertex's state: models, endpoints, and the replicas of each deployed model.

Vertex makes its own nodes for them; they are in no GKE pool and on no TPU node list.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from core import tpu
from emulator.context import Cloud
from emulator.scenario import TierSeed


def numeric_id(*parts: str) -> str:
    """A 19-digit id, as Vertex gives, the same on every start."""
    digest = hashlib.blake2s("/".join(parts).encode(), digest_size=8).digest()
    return str(10**18 + int.from_bytes(digest) % (8 * 10**18))


@dataclass(slots=True)
class UploadedModel:
    """One model of the registry.

    Attributes:
        given: the Model of a caller's request; None for the scenario's.
    """

    id: str
    display_name: str
    tier: str
    created_at: float
    given: Any = None
    updated_at: float = 0.0
    revision: int = 0


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


@dataclass(slots=True)
class VertexEndpoint:
    """One endpoint with the models deployed on it and their shares of its traffic in percent.

    Attributes:
        given: the Endpoint of a caller's request; None for the scenario's.
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


@dataclass
class VertexState:
    """All of it, by id; `serial` counts what callers made, ids follow from it."""

    serial: int = 0
    models: dict[str, UploadedModel] = field(default_factory=dict)
    endpoints: dict[str, VertexEndpoint] = field(default_factory=dict)


def initial_state(cloud: Cloud) -> VertexState:
    """One model and one endpoint per tier with Vertex replicas."""
    state = VertexState()
    for seed in cloud.scenario.tiers:
        if seed.vertex_replicas:
            _add(state, seed, cloud.project.region, cloud.clock.epoch())
    return state


def _add(state: VertexState, seed: TierSeed, region: str, created: float) -> None:
    model = UploadedModel(numeric_id("model", seed.name), seed.model.name, seed.name, created)
    deployment = Deployment(
        id=numeric_id("deployment", seed.name),
        model=model.id,
        display_name=f"hw-{seed.name}",
        machine_type=tpu.machine_type(seed.gen, seed.topology),
        topology=seed.topology,
        replicas=seed.vertex_replicas,
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
    state.models[model.id] = model
    state.endpoints[endpoint.id] = endpoint
