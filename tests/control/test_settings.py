"""Settings: where they come from, what is refused, and in which words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.settings import DEFAULT_FILE, ROOT, Settings, load_settings
from control.settings_sources import leaves, overlay, read_file
from control.show_settings import settings_rows
from control.tier_settings import TierSettings
from core.errors import ConfigError
from core.records import Source
from core.specs import TierSpec

TIER = """
[[tiers]]
name = "a"
generation = "TPU7x"
topology = "{topology}"
zone = "us-central1-c"
[[tiers.parts]]
kind = "{kind}"
slices = 1
name_prefix = "a-"
cluster = "c"
cluster_location = "us-central1"
location = "us-central1-c"
"""


def make_file(folder: Path, text: str) -> Path:
    """A settings file with that text."""
    file = folder / "other.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(environ: dict[str, str] | None = None, path: Path | None = None) -> ConfigError:
    """The error that those settings are refused with."""
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ or {})
    return caught.value


def test_every_key_of_a_tier_can_be_set() -> None:
    """What a TierSpec holds and what the file may say do not drift apart."""
    assert set(TierSettings.model_fields) == {f.name for f in dataclasses.fields(TierSpec)}


def test_every_source_has_an_interval() -> None:
    """A new source without an interval would never be read."""
    refresh = load_settings(environ={}).refresh
    assert all(refresh.interval_s(source) > 0 for source in Source)


def test_endpoints_follow_ports() -> None:
    """One variable moves a process and everybody who talks to it."""
    settings = load_settings(
        environ={
            "HEARTWOOD_SERVING_PORT": "18080",
            "HEARTWOOD_EMULATOR_PORT": "19080",
            "HEARTWOOD_EMULATOR_GRPC_PORT": "19081",
            "HEARTWOOD_CONSOLE_PORT": "18501",
        }
    )
    assert settings.tier("local").endpoint_url == "http://127.0.0.1:18080"
    assert settings.serving_url == "http://127.0.0.1:18080"
    assert settings.emulator_url == "http://127.0.0.1:19080"
    assert settings.emulator_grpc == "127.0.0.1:19081"
    assert settings.console_url == "http://127.0.0.1:18501"


def test_an_endpoint_set_explicitly_stays() -> None:
    """The local tier follows the port only as long as nobody points it elsewhere."""
    settings = load_settings(
        environ={
            "HEARTWOOD_SERVING_PORT": "18080",
            "HEARTWOOD_TIERS__LOCAL__ENDPOINT_URL": "http://10.0.0.7:8000",
        }
    )
    assert settings.tier("local").endpoint_url == "http://10.0.0.7:8000"


def test_everything_binds_loopback_alone() -> None:
    """Nothing is reachable from outside unless somebody asks for it."""
    assert load_settings(environ={}).hosts.bind == "127.0.0.1"
    wide = load_settings(environ={"HEARTWOOD_HOSTS__BIND": "0.0.0.0"})
    assert wide.console_url == "http://127.0.0.1:8501"


def test_the_local_tier_is_reached_where_its_server_listens() -> None:
    """Bound to one address of the machine, the server does not listen on 127.0.0.1."""
    bound = load_settings(environ={"HEARTWOOD_HOSTS__BIND": "10.0.0.5"})
    assert bound.tier("local").endpoint_url == bound.serving_url == "http://10.0.0.5:8080"
    everywhere = load_settings(environ={"HEARTWOOD_HOSTS__BIND": "0.0.0.0"})
    assert everywhere.tier("local").endpoint_url == "http://127.0.0.1:8080"


def test_data_lie_in_the_repository_unless_moved(tmp_path: Path) -> None:
    """One directory holds all that this machine keeps, its databases too."""
    assert load_settings(environ={}).data.dir == ROOT / ".heartwood"
    moved = load_settings(environ={"HEARTWOOD_DATA_DIR": str(tmp_path)}).data
    assert moved.dir == tmp_path
    assert moved.database_url == f"sqlite:///{tmp_path}/heartwood.db"


def test_another_file_can_be_named(tmp_path: Path) -> None:
    """HEARTWOOD_CONFIG names the file; one that is not there is an error, not a default."""
    file = make_file(tmp_path, '[project]\nid = "other-project"\n')
    settings = load_settings(environ={"HEARTWOOD_CONFIG": str(file)})
    assert settings.project.id == "other-project"
    assert settings.origin("project.id") == str(file)
    missing = refusal({"HEARTWOOD_CONFIG": str(tmp_path / "none.toml")})
    assert "none.toml" in str(missing)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HEARTWOOD_CONSOLE_PORT": "x"}, ["HEARTWOOD_CONSOLE_PORT", "ports.console", '"x"']),
        ({"HEARTWOOD_CONSOLE_PORT": "8080"}, ["ports.serving", "8080", "differ"]),
        ({"HEARTWOOD_CONSOL_PORT": "1"}, ["did you mean HEARTWOOD_CONSOLE_PORT"]),
        ({"HEARTWOOD_COLOUR": "1"}, ["HEARTWOOD_COLOUR", "no such setting", "project"]),
        ({"HEARTWOOD_CLOUD__TARGET": "aws"}, ["cloud.target", '"aws"', "'emulator' or 'google'"]),
        ({"HEARTWOOD_GUARDS__STALE_S": "1"}, ["did you mean stale_after_s", "known here"]),
        ({"HEARTWOOD_TIERS__LARGE__TOPOLOGY": "4x8x9"}, ["tiers.large.topology", "4x8x8"]),
        ({"HEARTWOOD_TIERS__LARGE__ZONE": "us-east1-b"}, ["tiers.large.zone", "us-central1-ai1a"]),
        ({"HEARTWOOD_TIERS__LARGE__GENERATION": "v7"}, ["large.generation", '"v7"', "TPU7x, v6e"]),
        ({"HEARTWOOD_TIERS__HUGE__ZONE": "x"}, ["'huge'", "local, small, medium, large, dev"]),
        ({"HEARTWOOD_TIERS__LARGE__PARTS__0__SLICES": "-1"}, ["large.parts.0.slices", "-1"]),
        ({"HEARTWOOD_TIERS__LARGE__PARTS": "[1"}, ["HEARTWOOD_TIERS__LARGE__PARTS", "JSON"]),
        ({"HEARTWOOD_TIERS__DEV__NAME": "small"}, ["tiers", "unique"]),
        ({"HEARTWOOD_TIERS__DEV__NAME": "Dev_1"}, ['"Dev_1"', "lower-case"]),
        ({"HEARTWOOD_PROJECT": "x"}, ["project", "HEARTWOOD_PROJECT"]),
        ({"HEARTWOOD_PROJECT__ID__X": "x"}, ["HEARTWOOD_PROJECT__ID__X", "single value"]),
        (
            {"HEARTWOOD_CONSOLE_PORT": "1234", "HEARTWOOD_PORTS__CONSOLE": "1235"},
            ["HEARTWOOD_CONSOLE_PORT", "HEARTWOOD_PORTS__CONSOLE", "keep one"],
        ),
    ],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], words: list[str]) -> None:
    """The error names the variable or key, the value, and what is allowed."""
    message = str(refusal(environ))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("kind", "topology", "words"),
    [
        ("gke_single_host", "2x2x4", ["4 hosts", "gke_multi_host"]),
        ("gke_multi_host", "2x2x1", ["one host", "gke_single_host"]),
        ("vertex", "2x2x2", ["single-host", "2 hosts"]),
        ("tpu_vm", "2x2x1", ["Cloud TPU API does not support TPU7x"]),
        ("local", "2x2x1", ["has no generation"]),
        ("bare_metal", "2x2x1", ["'gke_single_host'", "'local'"]),
    ],
)
def test_a_part_must_fit_its_slices(
    tmp_path: Path, kind: str, topology: str, words: list[str]
) -> None:
    """A tier whose parts cannot exist is refused at the start, not at its first action."""
    message = str(refusal(path=make_file(tmp_path, TIER.format(kind=kind, topology=topology))))
    assert "tiers.a.parts" in message
    assert "other.toml" in message
    for word in words:
        assert word in message


def test_two_tiers_may_not_match_the_same_resources(tmp_path: Path) -> None:
    """A prefix that another tier's prefix begins with would count machines twice."""
    one = TIER.format(kind="gke_single_host", topology="2x2x1")
    two = one.replace('name = "a"', 'name = "b"').replace('"a-"', '"a-b-"')
    message = str(refusal(path=make_file(tmp_path, one + two)))
    assert "same resources" in message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to start five times to learn of five mistakes."""
    text = '[project]\nidd = "x"\n[log]\nformat = "xml"\n[guards]\nstale_after_s = -1\n'
    message = str(refusal(path=make_file(tmp_path, text)))
    assert message.startswith("3 settings are wrong")
    for word in ("project.idd", "did you mean id", "log.format", "guards.stale_after_s"):
        assert word in message


def test_a_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    """The line is named, as an editor shows it."""
    message = str(refusal(path=make_file(tmp_path, "[project]\nid = \n")))
    assert "other.toml" in message
    assert "line 2" in message


ports = st.integers(min_value=1, max_value=65535)


@given(
    chosen=st.lists(ports, min_size=5, max_size=5, unique=True),
    factor=st.floats(min_value=1, max_value=100, allow_nan=False),
    slices=st.integers(min_value=0, max_value=10**6),
)
def test_a_variable_and_the_file_mean_the_same(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[int], factor: float, slices: int
) -> None:
    """Whatever legal value is set, by file or by variable, comes out equal."""
    names = ("console", "serving", "emulator", "emulator_grpc", "lb")
    tier = TIER.format(kind="gke_single_host", topology="2x2x1").replace(
        "slices = 1", f"slices = {slices}"
    )
    table = "\n".join(f"{n} = {p}" for n, p in zip(names, chosen, strict=True))
    folder = tmp_path_factory.mktemp("settings")
    file = make_file(
        folder, f"[ports]\n{table}\n[guards]\ncapacity_safety_factor = {factor!r}\n{tier}"
    )
    by_file = load_settings(file, {})
    bare = make_file(folder, TIER.format(kind="gke_single_host", topology="2x2x1"))
    environ = {f"HEARTWOOD_{n.upper()}_PORT": str(p) for n, p in zip(names, chosen, strict=True)}
    environ["HEARTWOOD_GUARDS__CAPACITY_SAFETY_FACTOR"] = repr(factor)
    environ["HEARTWOOD_TIERS__A__PARTS__0__SLICES"] = str(slices)
    by_variable = load_settings(bare, environ)
    assert by_file.model_dump() == by_variable.model_dump()


@given(
    value=st.text(max_size=20).filter(lambda t: "\x00" not in t and not t.startswith(("[", "{")))
)
def test_any_text_reaches_the_key_unchanged(value: str) -> None:
    """A variable's value is not cut, quoted or interpreted on its way to its key."""
    tree = read_file(DEFAULT_FILE)
    paths = {"tiers.small.description": "HEARTWOOD_TIERS__SMALL__DESCRIPTION"}
    overlay(tree, paths, {"HEARTWOOD_TIERS__SMALL__DESCRIPTION": value})
    assert dict(leaves(tree))["tiers.small.description"] == value


def test_settings_do_not_change_once_read() -> None:
    """Threads share them without a lock."""
    settings = load_settings(environ={})
    with pytest.raises(ValueError, match="frozen"):
        settings.ports.console = 1  # type: ignore[misc]


def test_passwords_are_not_printed() -> None:
    """`python -m control settings` may be pasted into a ticket."""
    url = "postgresql://ops:secret@db/heartwood"
    rows = settings_rows(load_settings(environ={"HEARTWOOD_DATABASE_URL": url}))
    shown = {key: value for key, value, _ in rows}
    assert shown["data.database_url"] == "postgresql://ops:***@db/heartwood"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CONSOLE_PORT", "abc", "must be a whole number"),
        ("CONSOLE_PORT", "99999", "must be at most 65535"),
        ("PROJECT__ID", "My Project", "must be a project's id (not its number or name)"),
        ("PROJECT__REGION", "us-central1-c", "must be a region such as us-central1, not a zone"),
        ("PROJECT__BILLING_EXPORT", "export", "as project.dataset.table"),
        ("READ_ONLY", "maybe", "must be true or false"),
        ("CLOUD__TARGET", "aws", "must be one of 'emulator' or 'google'"),
        ("CLOUD__EMULATOR_GRPC", "http://x:1", "host:port without a scheme"),
        ("REFRESH__GKE_S", "-1", "must be more than 0"),
        ("GUARDS", "5", "must be a table, with the keys capacity_safety_factor"),
        ("PLAYGROUND__ALLOWED_SERVERS", "a", "must be a list; in a variable as JSON"),
        ("PLAYGROUND__ALLOWED_SERVERS", '["http://a"]', "host or host:port, nothing else"),
        ("HOSTS__BIND", "", "it is empty"),
        ("DATA_DIR", "", "must name a directory"),
        ("DATABASE_URL", "heartwood.db", "must be a database URL: sqlite:////path"),
        ("TIERS__LOCAL__ENDPOINT_URL", "http://u:hunter2@h", "without user, password"),
        ("TIERS__SMALL__PARTS__0__KIND", "gke", "must be one of 'gke_single_host'"),
    ],
)
def test_a_wrong_value_is_told_in_words(variable: str, value: str, words: str) -> None:
    """What is allowed, for who does not know the library behind it; a password is not repeated."""
    told = str(refusal({f"HEARTWOOD_{variable}": value}))
    assert words in told
    assert "hunter2" not in told
    assert f"HEARTWOOD_{variable}" in told


def test_no_setting_is_undocumented() -> None:
    """Every section and every tier key is explained where it is defined."""
    for name, field in Settings.model_fields.items():
        model = field.annotation
        if name != "tiers":
            assert isinstance(model, type)
            assert model.__doc__
