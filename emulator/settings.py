"""How the emulator is started (ports, scenario, speed, seed): arguments and environment."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emulator.local_pods.addresses import MOST_PODS
from emulator.scenario import SCENARIOS

PORT_VARIABLE = "HEARTWOOD_EMULATOR_PORT"
GRPC_PORT_VARIABLE = "HEARTWOOD_EMULATOR_GRPC_PORT"
LB_PORT_VARIABLE = "HEARTWOOD_LB_PORT"
TLS_PORT_VARIABLE = "HEARTWOOD_EMULATOR_TLS_PORT"
HOST_VARIABLE = "HEARTWOOD_EMULATOR_HOST"
SERVING_PORT_VARIABLE = "HEARTWOOD_SERVING_PORT"
SERVING_KEY_VARIABLE = "HEARTWOOD_SERVING_API_KEY"
FAULTS_VARIABLE = "HEARTWOOD_EMULATOR_FAULTS"
SCENARIO_VARIABLE = "HEARTWOOD_EMULATOR_SCENARIO"
STATE_DIR_VARIABLE = "HEARTWOOD_EMULATOR_STATE_DIR"

_EPILOG = f"""\
environment:
  {PORT_VARIABLE}       REST port (9080; 0 picks a free one)
  {GRPC_PORT_VARIABLE}  gRPC port (9081; 0 picks a free one)
  {LB_PORT_VARIABLE}            port of the load balancer's data plane (8088; 0 picks a free one)
  {TLS_PORT_VARIABLE}   port of --tls (9443; 0 picks a free one)
  {HOST_VARIABLE}       address to bind (127.0.0.1)
  {SERVING_PORT_VARIABLE}        port of the inference server whose metrics it collects (8080)
  {SERVING_KEY_VARIABLE}     that server's bearer key, for Vertex predictions (none)
  {SCENARIO_VARIABLE}   as --scenario
  {STATE_DIR_VARIABLE}  as --state-dir
  {FAULTS_VARIABLE}     as --faults

other commands:
  python -m emulator env        print the shell lines that point gcloud, kubectl and bq at it
"""


class SettingsError(Exception):
    """A value from the environment that cannot be used; the message names the variable."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One emulator's settings; without a `state_dir` nothing outlives the process.

    `local_pods`: how many pods of the serving image may be processes of this machine.
    """

    scenario: str = "normal"
    speed: float = 1.0
    seed: int = 7
    host: str = "127.0.0.1"
    rest_port: int = 9080
    grpc_port: int = 9081
    serving_port: int = 8080
    serving_key: str = field(default="", repr=False)
    lb_port: int = 8088
    state_dir: Path | None = None
    fresh: bool = False
    record: Path | None = None
    tls_port: int | None = None
    faults: Path | None = None
    local_pods: int = 0


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings of a start by these arguments.

    Raises:
        SettingsError: a variable holds what it cannot.
        ScenarioError: the file of a scenario cannot be taken.
        SystemExit: as argparse, on --help and on bad arguments.
    """
    chosen = _parser().parse_args(arguments)
    faults = chosen.faults or environment.get(FAULTS_VARIABLE, "").strip()
    state_dir = chosen.state_dir or environment.get(STATE_DIR_VARIABLE, "").strip()
    if chosen.fresh and not state_dir:
        raise SettingsError(
            f"--fresh drops what a folder holds: name it, --state-dir or {STATE_DIR_VARIABLE}"
        )
    return Settings(
        scenario=chosen.scenario or _scenario(environment),
        speed=chosen.speed,
        seed=chosen.seed,
        host=environment.get(HOST_VARIABLE) or "127.0.0.1",
        rest_port=_port(environment, PORT_VARIABLE, 9080),
        grpc_port=_port(environment, GRPC_PORT_VARIABLE, 9081),
        serving_port=_port(environment, SERVING_PORT_VARIABLE, 8080),
        serving_key=environment.get(SERVING_KEY_VARIABLE, "").strip(),
        lb_port=_port(environment, LB_PORT_VARIABLE, 8088),
        state_dir=Path(state_dir).expanduser().resolve() if state_dir else None,
        fresh=chosen.fresh,
        record=chosen.record,
        tls_port=_port(environment, TLS_PORT_VARIABLE, 9443) if chosen.tls else None,
        faults=Path(faults).expanduser() if faults else None,
        local_pods=chosen.local_pods,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description="Google Cloud on loopback: a project with TPU tiers, over Google's own wire.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scenario", choices=sorted(SCENARIOS), help="fleet and story (default: normal)"
    )
    parser.add_argument(
        "--speed",
        type=_positive,
        default=1.0,
        metavar="N",
        help="simulated seconds per second, for operations only (default 1)",
    )
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="(default 7)")
    parser.add_argument(
        "--faults", type=Path, metavar="FILE", help="fault rules, TOML or JSON (docs/faults.md)"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="append every request and its answer to FILE"
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help="keep accepted changes there, so that a restart goes on with them (default: nowhere)",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="begin anew: drop what the state directory holds"
    )
    parser.add_argument(
        "--tls", action="store_true", help="a TLS port too, for get-credentials (docs/rehearsal.md)"
    )
    parser.add_argument(
        "--local-pods",
        type=int,
        choices=range(MOST_PODS + 1),
        default=0,
        metavar="N",
        help="run up to N pods of the project's own server as processes, about 1 GiB each (0)",
    )
    return parser


def _scenario(environment: Mapping[str, str]) -> str:
    name = environment.get(SCENARIO_VARIABLE, "").strip() or "normal"
    if name not in SCENARIOS:
        raise SettingsError(f"{SCENARIO_VARIABLE}={name!r}: give one of {', '.join(SCENARIOS)}")
    return name


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise SettingsError(f"{name}={text!r} is no port: give a number from 0 to 65535")
    return int(text)
