"""Reads the files of scenarios and says clearly what is wrong with one.

A file describes a fleet (`tiers`), or names another file's (`fleet`) and what differs from it
(`changes`), and has a story or not. What a scenario is once read stands in emulator/scenario.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError

from core import tpu
from emulator.story import Story, Strict

FOLDER: Final = Path(__file__).parent
_SCALE: Final = Field(gt=0.0, le=100.0)
_COUNT: Final = Field(ge=0, le=10_000)


class ScenarioError(Exception):
    """A file of a scenario that cannot be taken: the file, the key, and what may stand there."""


class TierFile(Strict):
    """One tier of a fleet; the fields are those of scenario.TierSeed."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,20}$")]
    generation: str
    topology: str
    zone: str
    model: str
    share: Annotated[float, Field(ge=0.0, le=10.0)]
    gke_slices: Annotated[int, _COUNT] = 0
    pools: Annotated[int, _COUNT] = 0
    vertex_replicas: Annotated[int, _COUNT] = 0
    vertex_most: Annotated[int, _COUNT] = 0
    tpu_vms: Annotated[int, _COUNT] = 0
    spot: bool = False
    behind_load_balancer: bool = True
    engine_chips: Annotated[int, _COUNT] = 0
    max_batch: Annotated[int, Field(ge=1, le=4096)] = 256
    prompt_scale: Annotated[float, _SCALE] = 1.0
    output_scale: Annotated[float, _SCALE] = 1.0


class Changes(Strict):
    """What of another file's tier differs here."""

    share: Annotated[float, Field(ge=0.0, le=10.0)] | None = None
    gke_slices: Annotated[int, _COUNT] | None = None
    vertex_replicas: Annotated[int, _COUNT] | None = None
    vertex_most: Annotated[int, _COUNT] | None = None
    spot: bool | None = None


class ScenarioFile(Strict):
    """One file; `fleet` names the scenario whose tiers it has."""

    title: Annotated[str, Field(min_length=8)]
    fleet: str = ""
    project_budget_usd: Annotated[int, Field(ge=1)] | None = None
    tiers: list[TierFile] = Field(default_factory=list[TierFile])
    changes: dict[str, Changes] = Field(default_factory=dict[str, Changes])
    story: Story | None = None


def read_files(models: Sequence[str], folder: Path = FOLDER) -> dict[str, ScenarioFile]:
    """All scenarios by name (that of the file), their tiers filled in.

    Args:
        models: names that a tier may serve.

    Raises:
        ScenarioError: one of them cannot be taken.
    """
    given = {path.stem: (path, _parsed(path)) for path in sorted(folder.glob("*.toml"))}
    if not given:
        raise ScenarioError(f"{folder}: there is no scenario, a file NAME.toml")
    found: dict[str, ScenarioFile] = {}
    for name, (path, file) in given.items():
        fleets = {n: f.tiers for n, (_, f) in given.items() if not f.fleet}
        found[name] = _filled(path, file, fleets)
        _check(path, found[name], models)
    return found


def _parsed(path: Path) -> ScenarioFile:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    try:
        return ScenarioFile.model_validate(given)
    except ValidationError as error:
        raise ScenarioError("\n".join(f"{path}: {_told(e)}" for e in error.errors())) from error


def _told(error: Any) -> str:
    """One line: the key and what may stand there."""
    where = ""
    for step in error["loc"]:
        where += f"[{step}]" if isinstance(step, int) else f".{step}" if where else str(step)
    if error["type"] == "extra_forbidden":
        keys = _keys(error["loc"])
        near = get_close_matches(str(error["loc"][-1]), keys, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"{where}: no such key; the keys are {', '.join(keys)}.{hint}"
    if error["type"] == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"{where}: must be one of {allowed}; it is {error['input']!r}"
    if error["type"] == "missing":
        return f"{where}: must be given"
    words = str(error["msg"]).removeprefix("Value error, ")
    if isinstance(error["input"], dict):
        return f"{where}: {words}"
    return f"{where}: {words}; it is {error['input']!r}"


def _keys(place: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand where one stands that may not."""
    model: Any = ScenarioFile
    for step in place[:-1]:
        if isinstance(model, type) and issubclass(model, BaseModel) and isinstance(step, str):
            model = _model_in(model.model_fields[step].annotation)
    return sorted(model.model_fields)


def _model_in(annotation: Any) -> Any:
    """The model that an annotation such as list[Model] or Model | None holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(one) for one in getattr(annotation, "__args__", ()))
    return next((one for one in inner if one is not None), None)


def _filled(path: Path, file: ScenarioFile, fleets: dict[str, list[TierFile]]) -> ScenarioFile:
    """The file with its tiers: its own, or another's with the changes."""
    if not file.fleet:
        if file.changes:
            raise ScenarioError(f"{path}: changes: goes with the key fleet")
        return file
    if file.tiers:
        raise ScenarioError(f"{path}: tiers: fleet and tiers exclude each other")
    if file.fleet not in fleets:
        known = ", ".join(sorted(fleets))
        raise ScenarioError(f"{path}: fleet: must be one of {known}; it is {file.fleet!r}")
    tiers = {tier.name: tier for tier in fleets[file.fleet]}
    for name, changes in file.changes.items():
        if name not in tiers:
            raise ScenarioError(f"{path}: changes.{name}: must be one of {', '.join(tiers)}")
        tiers[name] = tiers[name].model_copy(update=changes.model_dump(exclude_none=True))
    return file.model_copy(update={"tiers": list(tiers.values())})


def _check(path: Path, file: ScenarioFile, models: Sequence[str]) -> None:
    """Names that have to be of something that there is."""
    for place, tier in enumerate(file.tiers):
        where = f"{path}: tiers[{place}]"
        if tier.model not in models:
            told = f"must be one of {', '.join(models)}; it is {tier.model!r}"
            raise ScenarioError(f"{where}.model: {told}")
        check_topology(where, tier.generation, tier.topology)
    names = [tier.name for tier in file.tiers]
    for place, disruption in enumerate(file.story.disruptions if file.story else ()):
        where = f"{path}: story.disruptions[{place}]"
        for name in disruption.tiers:
            if name not in names:
                told = f"must be of {', '.join(names)}; it is {name!r}"
                raise ScenarioError(f"{where}.tiers: {told}")
        if disruption.zone and disruption.zone not in {tier.zone for tier in file.tiers}:
            zones = ", ".join(sorted({tier.zone for tier in file.tiers}))
            told = f"must be one of {zones}; it is {disruption.zone!r}"
            raise ScenarioError(f"{where}.zone: {told}")
        if disruption.pools is not None:
            pools = disruption.pools
            check_topology(f"{where}.pools", pools.generation, pools.topology)


def check_topology(where: str, generation: str, topology: str) -> None:
    """Pass a generation with a topology that it has.

    Raises:
        ScenarioError: it has not.
    """
    if generation not in tpu.GENERATIONS:
        told = f"must be one of {', '.join(tpu.GENERATIONS)}; it is {generation!r}"
        raise ScenarioError(f"{where}.generation: {told}")
    legal = tpu.legal_topologies(tpu.generation(generation))
    if topology not in legal:
        told = f"must be one of {', '.join(legal)}; it is {topology!r}"
        raise ScenarioError(f"{where}.topology: {told}")
