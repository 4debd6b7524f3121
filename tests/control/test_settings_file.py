"""The repository's own settings file, and the command that tells the settings in force."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from control.settings import DEFAULT_FILE, ROOT, load_settings
from control.settings_sources import leaves
from control.tier_settings import TierSettings
from core.specs import PartKind
from tests.control.test_settings import make_file

_COMMENTED = re.compile(r"^# (?=\[|\w+ = )", re.M)


def test_the_file_in_the_repository_is_legal() -> None:
    """The default file loads; its five tiers keep their order, sizes and kinds."""
    settings = load_settings(environ={})
    assert [tier.name for tier in settings.tiers] == ["local", "small", "medium", "large", "dev"]
    assert settings.tier("small").slices == 64
    assert settings.tier("large").parts[0].kind is PartKind.GKE_MULTI_HOST
    assert settings.tier("local").usd_per_hour is None


def command(*argv: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m control …` with only those variables."""
    return subprocess.run(
        [sys.executable, "-m", "control", *argv],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_says_where_each_value_comes_from() -> None:
    """File, variable or default stand beside every value."""
    done = command("settings", "--json", environ={"HEARTWOOD_CONSOLE_PORT": "8600"})
    assert done.returncode == 0, done.stderr
    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert rows["ports.console"] == {
        "key": "ports.console",
        "value": 8600,
        "from": "HEARTWOOD_CONSOLE_PORT",
    }
    assert rows["project.id"]["from"] == "heartwood.toml"
    assert rows["log.format"]["from"] == "default"
    assert rows["tiers.small.topology"]["from"] == "heartwood.toml"


def test_a_wrong_setting_ends_a_command_with_2() -> None:
    """One readable block on stderr, no traceback."""
    done = command("settings", environ={"HEARTWOOD_CLOUD__TARGET": "aws"})
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cloud.target" in done.stderr


def test_a_reader_that_stops_early_is_no_error_of_ours() -> None:
    """`python -m control settings | head -1` ends without a traceback."""
    done = subprocess.run(
        f"{sys.executable} -m control settings | head -c 10; sleep 0.1",
        shell=True, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "project.id"
    assert done.stderr == ""


def test_the_file_shows_every_other_key_with_its_default(tmp_path: Path) -> None:
    """What stands there as a comment is what holds without it, and no section is left out."""
    text = DEFAULT_FILE.read_text(encoding="utf-8").partition("# --- tiers")[0]
    shown = text.partition("# --- everything else")[2].partition("\n")[2]
    plain = "\n".join(line.removeprefix("# ") for line in shown.splitlines())
    said = load_settings(make_file(tmp_path, plain), {})
    unsaid = load_settings(make_file(tmp_path, ""), {})
    assert said.model_dump() == unsaid.model_dump()
    sections = {
        "ports",
        "hosts",
        "data",
        "refresh",
        "access",
        "audit",
        "playground",
        "router",
        "log",
    }
    known = {key for key, _ in leaves(said.model_dump(include=sections))}
    assert known == {key for key, _ in leaves(tomllib.loads(plain))}


def test_every_commented_key_can_be_uncommented_where_it_stands(tmp_path: Path) -> None:
    """It lands in the table that it is shown under, the whole file at once."""
    text = _COMMENTED.sub("", DEFAULT_FILE.read_text(encoding="utf-8"))
    said = load_settings(make_file(tmp_path, text), {})
    assert said.read_only is False
    assert said.cloud.emulator_url == "http://127.0.0.1:9080"
    assert said.tier("local").usd_per_hour is not None
    assert said.tier("small").measured_tokens_per_s_per_slice is not None
    shown = tomllib.loads(text)
    keys = {key for tier in shown["tiers"] for key in tier}
    assert keys == set(TierSettings.model_fields)
    top = {key for key in shown if key != "tiers"}
    assert top == set(type(said).model_fields) - {"tiers"}
    for section in ("project", "cloud"):
        assert set(shown[section]) == set(said.model_dump()[section])
