"""`python -m control.run`, behind `make run`: starts emulator, inference server and console.

Only which processes there are and how each is started; running them is `control/supervisor.py`'s.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from control.settings import ROOT, Settings, load_settings
from control.supervisor import ChildSpec, Port, supervise
from core.errors import ConfigError

# A scenario is a file; what it may hold is the emulator's to say.
SCENARIOS: Final = tuple(sorted(p.stem for p in (ROOT / "emulator" / "scenarios").glob("*.toml")))
SCENARIO_VARIABLE: Final = "HEARTWOOD_EMULATOR_SCENARIO"
DEFAULT_SPEED: Final = 60.0
STATE_DIR_VARIABLE: Final = "HEARTWOOD_EMULATOR_STATE_DIR"
_OF_EMULATOR: Final = ("scenario", "speed", "fresh", "local-pods")


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m control.run",
        description="Start the emulator, the inference server and the console; stop all together.",
        epilog="Settings come from heartwood.toml and HEARTWOOD_* variables; "
        "`python -m control settings` prints those in force.",
    )
    parser.add_argument(
        "--scenario",
        choices=SCENARIOS,
        help=f"emulated fleet and story (default: {SCENARIO_VARIABLE}, else normal)",
    )
    parser.add_argument(
        "--speed",
        type=_positive,
        help=f"shortens emulated operations only (default: {DEFAULT_SPEED:g})",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="begin the emulated project anew: drop what was changed in earlier runs",
    )
    parser.add_argument(
        "--local-pods",
        type=_whole,
        metavar="N",
        help="up to N pods of the project's own server are processes (emulator/README.md)",
    )
    parser.add_argument(
        "--read-only", action="store_true", help="nobody may change anything from the console"
    )
    parser.add_argument("--config", type=Path, help="another file than heartwood.toml")
    parser.add_argument(
        "--start-limit-s", type=_positive, default=600.0, help="until all are healthy (%(default)g)"
    )
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def check_emulator_options(
    settings: Settings, arguments: argparse.Namespace, environment: Mapping[str, str]
) -> None:
    """Pass options that somebody will read: with Google as the target no emulator is started.

    Raises:
        ConfigError: one of them is the emulator's.
    """
    if settings.cloud.target != "google":
        return
    given = [f"--{name}" for name in _OF_EMULATOR if getattr(arguments, name.replace("-", "_"))]
    variables = (SCENARIO_VARIABLE, STATE_DIR_VARIABLE)
    given += [name for name in variables if environment.get(name, "").strip()]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: nobody would read it, since the target is Google Cloud"
            " (cloud.target is google) and no emulator is started.",
            hint="Leave it out, or choose the emulator: HEARTWOOD_CLOUD__TARGET=emulator",
        )


def chosen_scenario(environment: Mapping[str, str]) -> str:
    """What the environment names.

    Raises:
        ConfigError: there is no such scenario.
    """
    name = environment.get(SCENARIO_VARIABLE, "").strip() or "normal"
    if name not in SCENARIOS:
        raise ConfigError(
            f"{SCENARIO_VARIABLE} is {name!r}, which is no scenario.",
            hint=f"Scenarios: {', '.join(SCENARIOS)}",
        )
    return name


def chosen_state_dir(environment: Mapping[str, str]) -> Path | None:
    """Where the environment has the emulator keep what was changed; None: it does not say."""
    named = environment.get(STATE_DIR_VARIABLE, "").strip()
    return Path(named).expanduser().resolve() if named else None


def children(
    settings: Settings, scenario: str, speed: float, *, fresh: bool = False, local_pods: int = 0,
    state_dir: Path | None = None,
) -> tuple[ChildSpec, ...]:  # fmt: skip
    """The process table; without the emulator when the target is the real Google Cloud."""
    serving, console = _serving(settings), _console(settings)
    if settings.cloud.target == "google":
        return serving, console
    # One per scenario: a journal is of one starting state.
    kept = state_dir or settings.data.dir / f"emulator-{scenario}"
    emulator = _emulator(settings, scenario, speed, kept, fresh, local_pods)
    return emulator, serving, console


def _environment(settings: Settings) -> dict[str, str]:
    """What every child gets: the settings in force, whatever they came from."""
    ports = settings.ports
    return {
        "HEARTWOOD_CONSOLE_PORT": str(ports.console),
        "HEARTWOOD_SERVING_PORT": str(ports.serving),
        "HEARTWOOD_EMULATOR_PORT": str(ports.emulator),
        "HEARTWOOD_EMULATOR_GRPC_PORT": str(ports.emulator_grpc),
        "HEARTWOOD_LB_PORT": str(ports.lb),
        "HEARTWOOD_EMULATOR_HOST": settings.hosts.bind,
        "HEARTWOOD_SERVING_HOST": settings.hosts.bind,
        "HEARTWOOD_DATA_DIR": str(settings.data.dir),
        "PYTHONUNBUFFERED": "1",
        # glibc gives each thread an arena of its own and keeps what was freed in it: with dozens
        # of threads the emulator holds 230 MB that it does not use (measured).
        "MALLOC_ARENA_MAX": "2",
    }


def _emulator(
    settings: Settings, scenario: str, speed: float, state_dir: Path, fresh: bool, local_pods: int
) -> ChildSpec:
    bind, ports = settings.hosts.bind, settings.ports
    return ChildSpec(
        name="emulator",
        argv=(
            *(sys.executable, "-u", "-m", "emulator"),
            *("--scenario", scenario, "--speed", f"{speed:g}"),
            *("--state-dir", str(state_dir)),
            *(("--fresh",) if fresh else ()),
            *(("--local-pods", str(local_pods)) if local_pods else ()),
        ),
        health_url=f"{settings.url(ports.emulator)}/healthz",
        url=f"{settings.url(ports.emulator)}  gRPC {settings.reach}:{ports.emulator_grpc}"
        f"  load balancer {settings.url(ports.lb)}",
        log_path=settings.data.dir / "logs" / "emulator.log",
        cwd=ROOT,
        env=_environment(settings),
        ports=(
            Port(bind, ports.emulator, "HEARTWOOD_EMULATOR_PORT"),
            Port(bind, ports.emulator_grpc, "HEARTWOOD_EMULATOR_GRPC_PORT"),
            Port(bind, ports.lb, "HEARTWOOD_LB_PORT"),
        ),
    )


def _serving(settings: Settings) -> ChildSpec:
    key = settings.playground.api_key.get_secret_value()
    return ChildSpec(
        name="inference server",
        argv=(sys.executable, "-u", "-m", "serving"),
        health_url=f"{settings.serving_url}/ready",
        url=settings.serving_url,
        log_path=settings.data.dir / "logs" / "serving.log",
        cwd=ROOT,
        env=_environment(settings) | ({"HEARTWOOD_SERVING_API_KEY": key} if key else {}),
        ports=(Port(settings.hosts.bind, settings.ports.serving, "HEARTWOOD_SERVING_PORT"),),
        stop_limit_s=30.0,  # it finishes running answers first, within a limit of its own
    )


def _console(settings: Settings) -> ChildSpec:
    return ChildSpec(
        name="console",
        argv=(
            *(sys.executable, "-u", "-m", "streamlit", "run", "server.py"),
            *("--server.port", str(settings.ports.console)),
            *("--server.address", settings.hosts.bind),
            *("--server.headless", "true", "--browser.gatherUsageStats", "false"),
        ),
        health_url=f"{settings.console_url}/healthz",
        url=settings.console_url,
        log_path=settings.data.dir / "logs" / "console.log",
        cwd=ROOT,
        env=_environment(settings),
        ports=(Port(settings.hosts.bind, settings.ports.console, "HEARTWOOD_CONSOLE_PORT"),),
    )


class _Progress:
    """The one line of progress: rewritten on a terminal, told every few seconds elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._shown = ""

    def say(self, line: str) -> None:
        print(line, flush=True)

    def show(self, line: str) -> None:
        if self._terminal:
            print(f"\r\x1b[K{line}", end="", flush=True)
            return
        what = re.sub(r"\d+", "", line)  # elsewhere a line per phase, not per number
        if what and what != self._shown:
            self._shown = what
            print(line, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all until Ctrl-C; returns 0, 1 when a child died, 2 when a setting or port is wrong."""
    arguments = make_parser().parse_args(argv)
    progress = _Progress()
    try:
        settings = load_settings(arguments.config)
        check_emulator_options(settings, arguments, os.environ)
        scenario = arguments.scenario or chosen_scenario(os.environ)
        table = children(
            settings, scenario, arguments.speed or DEFAULT_SPEED, fresh=arguments.fresh,
            local_pods=arguments.local_pods or 0, state_dir=chosen_state_dir(os.environ),
        )  # fmt: skip
        if arguments.config is not None:
            config = {"HEARTWOOD_CONFIG": str(arguments.config.resolve())}
            table = tuple(_with_environment(child, config) for child in table)
        if arguments.read_only:
            table = tuple(_with_environment(c, {"HEARTWOOD_READ_ONLY": "true"}) for c in table)
        return supervise(
            table, say=progress.say, show=progress.show, start_limit_s=arguments.start_limit_s
        )
    except ConfigError as error:
        print(f"{error}\n{error.hint}".rstrip(), file=sys.stderr)
        return 2


def _with_environment(child: ChildSpec, added: dict[str, str]) -> ChildSpec:
    return replace(child, env={**child.env, **added})


if __name__ == "__main__":
    sys.exit(main())
