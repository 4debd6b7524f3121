"""Files of scenarios: those there are can be taken, and a wrong one is told clearly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from control import run
from core.errors import ConfigError
from emulator import settings
from emulator.scenario import MODELS, SCENARIOS
from emulator.scenarios.files import ScenarioError, read_files
from emulator.settings import SettingsError

TIER = """
[[tiers]]
name = "small"
generation = "TPU7x"
topology = "2x2x1"
zone = "us-central1-c"
model = "Qwen3-8B"
share = 0.5
gke_slices = 4
pools = 1
"""
STORY = """
[story]
cause = "something went wrong"
lasts_min = 30
signs = [{ page = "fleet", sign = "something is seen" }]
[[story.disruptions]]
tiers = ["small"]
slices = 1
hosts = "lost"
"""
GOOD = f'title = "a fleet of one tier"\n{TIER}{STORY}'


def refusal(folder: Path, text: str) -> str:
    """What reading a file with that text is refused with."""
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as raised:
        read_files(list(MODELS), folder)
    return str(raised.value)


def test_a_good_one_is_taken(tmp_path: Path) -> None:
    """Its name is the file's."""
    (tmp_path / "mine.toml").write_text(GOOD, encoding="utf-8")
    assert list(read_files(list(MODELS), tmp_path)) == ["mine"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('hosts = "lost"', 'hosts = "gone"',
         r"story\.disruptions\[0\]\.hosts: must be one of lost, preempted, .*; it is 'gone'"),
        ("slices = 1", "slicse = 1", r"slicse: no such key; the keys are .*Did you mean slices\?"),
        ("lasts_min = 30\n", "", r"story\.lasts_min: must be given"),
        ("lasts_min = 30", 'lasts_min = "30"', r"story\.lasts_min: .*valid number; it is '30'"),
        ("slices = 1", "slices = -1", r"disruptions\[0\]\.slices: .*greater.*; it is -1"),
        ('hosts = "lost"', "", r"disruptions\[0\]: hosts goes with slices"),
        ('tiers = ["small"]', 'tiers = ["smal"]',
         r"disruptions\[0\]\.tiers: must be of small; it is 'smal'"),
        ('tiers = ["small"]', 'zone = "mars"', r"zone: must be one of us-central1-c; it is 'mars'"),
        ('"Qwen3-8B"', '"Qwen4"', r"tiers\[0\]\.model: must be one of Llama.*; it is 'Qwen4'"),
        ('"2x2x1"', '"2x2"', r"tiers\[0\]\.topology: must be one of 1x1x1, 2x2x1.*; it is '2x2'"),
        ("[[tiers]]", 'fleet = "x"\n[[tiers]]', r"tiers: fleet and tiers exclude each other"),
        ("[[tiers]]", "[[tiers]", r"cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_one_is_refused_with_file_key_and_what_may_be(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """The message names all three, in one line."""
    assert old in GOOD
    told = refusal(tmp_path, GOOD.replace(old, new, 1))
    assert re.fullmatch(rf"\S*mine\.toml: .*{words}.*", told.splitlines()[0]), told


def test_both_programs_know_all_of_them() -> None:
    """The supervisor offers what the emulator knows; a wrong one from the environment is named."""
    assert set(run.SCENARIOS) == set(SCENARIOS)
    assert settings.parse([], {"HEARTWOOD_EMULATOR_SCENARIO": "hot-key"}).scenario == "hot-key"
    with pytest.raises(SettingsError, match="HEARTWOOD_EMULATOR_SCENARIO='hot': give one of"):
        settings.parse([], {"HEARTWOOD_EMULATOR_SCENARIO": "hot"})
    with pytest.raises(ConfigError, match="HEARTWOOD_EMULATOR_SCENARIO is 'hot'"):
        run.chosen_scenario({"HEARTWOOD_EMULATOR_SCENARIO": "hot"})


def test_a_fresh_start_without_a_folder_is_refused() -> None:
    """There is nothing to drop, and nobody would read the flag."""
    with pytest.raises(SettingsError, match="--state-dir or HEARTWOOD_EMULATOR_STATE_DIR"):
        settings.parse(["--fresh"], {})
    assert settings.parse(["--fresh"], {"HEARTWOOD_EMULATOR_STATE_DIR": "/tmp/x"}).fresh
