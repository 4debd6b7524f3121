"""The house's rules, read from the syntax trees: who imports whom, sizes, docstrings."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "services", "control", "ui", "pages", "serving", "emulator", "rehearsal")

# What each room may import of ours. Downward only: app → pages → ui → control → services → core.
ALLOWED = {
    "core": {"core"},
    "services": {"services", "core"},
    "control": {"control", "services", "core"},
    "ui": {"ui", "control", "services", "core"},
    "pages": {"pages", "ui", "control", "services", "core"},
    "app": {"pages", "ui", "control", "services", "core"},
    "server": {"ui", "control", "services", "core"},
    "serving": {"serving", "core.tpu"},
    "emulator": {"emulator", "core.tpu"},
    "rehearsal": {"rehearsal"},  # a caller from outside, over the wire
}
# Third-party packages that belong to certain rooms alone.
ONLY_IN = {
    "google": {"services", "emulator"},
    "kubernetes": {"services", "emulator"},
    "grpc": {"services", "emulator"},
    "streamlit": {"app", "server", "pages", "ui"},
    "jax": {"serving"},
    "dbos": {"control"},
    "sqlalchemy": {"control"},
    "alembic": {"control"},
}
# What of such a package another room may import all the same: weights come from buckets.
ALSO = {
    "serving": ("google.cloud.storage", "google.cloud.exceptions", "google.auth", "google.api_core")
}
# Who may decide by whether the cloud is the emulator, and why.
KNOWS_THE_TARGET = {
    "services/clients.py": "builds the clients: endpoint, credentials, transport",
    "control/run.py": "starts the emulator's process, or leaves it out",
    "control/settings_sections.py": "defines the setting",
    "control/settings.py": "names without a password are for the emulator alone",
    "control/people.py": "a real project may only be looked at without a sign-in",
    "ui/chrome.py": "says on every page that figures are simulated",
}
LONGEST_MODULE = 350
LONGEST_PAGE = 80
LONGEST_APP = 60


def sources() -> list[Path]:
    """Every Python file of the product, tests left out."""
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return sorted([*found, *(p for p in (ROOT / "app.py", ROOT / "server.py") if p.exists())])


def room_of(path: Path, root: Path = ROOT) -> str:
    """Top-level folder of a file, or its stem for app.py and server.py."""
    relative = path.relative_to(root)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every absolutely imported module with its line, `import_module("x")` included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value, node.lineno


def forbidden(room: str, module: str) -> str | None:
    """Why that room may not import that module; None: it may."""
    top = module.split(".")[0]
    if top in ROOMS or top in ("app", "server"):
        fine = any(module == ok or module.startswith(f"{ok}.") for ok in ALLOWED[room])
        return None if fine else f"{room} may import of ours only {sorted(ALLOWED[room])}"
    also = any(module == ok or module.startswith(f"{ok}.") for ok in ALSO.get(room, ()))
    if top in ONLY_IN and room not in ONLY_IN[top] and not also:
        return f"{top} is for {sorted(ONLY_IN[top])} only"
    return None


def violations(path: Path, root: Path = ROOT) -> list[str]:
    """One line for each forbidden import of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    room = room_of(path, root)
    found = ((module, line, forbidden(room, module)) for module, line in imports(tree))
    return [
        f"{path.relative_to(root)}:{line}: {module}: {why}" for module, line, why in found if why
    ]


def test_imports_go_downward_only() -> None:
    """No file imports against the direction of the house."""
    assert [line for path in sources() for line in violations(path)] == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("core/bad.py", "import streamlit"),
        ("core/bad.py", "from services import gke"),
        ("control/bad.py", "from google.cloud import tpu_v2"),
        ("ui/bad.py", "def f():\n    from emulator import log"),
        ("control/bad.py", "import importlib\nimportlib.import_module('serving.engine')"),
        ("serving/bad.py", "from core import records"),
        ("serving/bad.py", "from google.cloud import tpu_v2"),
        ("emulator/bad.py", "from core.records import Host"),
        ("services/bad.py", "import jax.numpy as jnp"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, text: str) -> None:
    """The rule above can fail: each kind of forbidden import is reported with its line."""
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(text)
    assert len(violations(path, tmp_path)) == 1


def test_what_is_allowed_is_not_reported(tmp_path: Path) -> None:
    """core.tpu is the one module that the emulator and the inference server share with us."""
    path = tmp_path / "emulator" / "good.py"
    path.parent.mkdir()
    path.write_text("from core import tpu\nfrom core.tpu import TPU7X\nimport emulator.log\n")
    assert violations(path, tmp_path) == []


def target_decisions(tree: ast.AST) -> list[int]:
    """Lines at which something is decided by whether the cloud is the emulator."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("simulated", "emulated"):
            found.add(node.lineno)
        elif isinstance(node, ast.Compare):
            words = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
            if words & {"emulator", "google"}:
                found.add(node.lineno)
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            if "emulator" in ast.dump(node.test).lower():
                found.add(node.lineno)
        elif isinstance(node, ast.Match) and "emulator" in ast.dump(node).lower():
            found.add(node.lineno)
    return sorted(found)


def test_only_the_client_builder_knows_of_the_emulator() -> None:
    """One code path: adapters, control, core and pages never branch on the target."""
    found: dict[str, list[int]] = {}
    for path in sources():
        if room_of(path) not in ("serving", "emulator", "rehearsal"):
            lines = target_decisions(ast.parse(path.read_text(encoding="utf-8")))
            if lines:
                found[path.relative_to(ROOT).as_posix()] = lines
    assert {name: lines for name, lines in found.items() if name not in KNOWS_THE_TARGET} == {}
    assert set(KNOWS_THE_TARGET) <= set(found), "an exemption that nothing needs"


@pytest.mark.parametrize(
    "text",
    [
        "if settings.cloud.simulated:\n    pass",
        "x = 1 if target.kind == 'emulator' else 2",
        "fake = cloud.target != 'google'",
        "while clients.is_emulator():\n    pass",
        "match kind:\n    case 'emulator':\n        pass",
    ],
)
def test_a_planted_branch_on_the_target_is_found(text: str) -> None:
    """The rule above can fail, in whatever words the branch is written."""
    assert target_decisions(ast.parse(text))
    assert not target_decisions(ast.parse("if cloud.region == 'us-central1':\n    pass"))


def test_modules_stay_small() -> None:
    """A module fits a reader's head; pages and app.py are wiring only."""
    limits = {**dict.fromkeys(("pages",), LONGEST_PAGE), "app": LONGEST_APP}
    long: list[str] = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        limit = limits.get(room_of(path), LONGEST_MODULE)
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > limit:
            long.append(f"{name}: {lines} lines, at most {limit}")
    assert long == []


def test_every_module_says_what_lives_there() -> None:
    """A newcomer learns from the first line of a file what it is for."""
    bare = [p for p in sources() if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))]
    assert [p.relative_to(ROOT).as_posix() for p in bare] == []


def test_every_direct_dependency_has_its_reason() -> None:
    """docs/dependencies.md names each package of the .in files."""
    reasons = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    missing: list[str] = []
    for path in sorted((ROOT / "requirements").glob("*.in")):
        for line in path.read_text(encoding="utf-8").splitlines():
            package = (
                line.split("#")[0].split("=")[0].split(">")[0].split("<")[0].split("[")[0].strip()
            )
            if package and not package.startswith("-") and f"`{package}`" not in reasons:
                missing.append(package)
    assert missing == []


def test_the_settings_file_is_valid_toml() -> None:
    """The shipped heartwood.toml parses and names the five tiers."""
    data = tomllib.loads((ROOT / "heartwood.toml").read_text(encoding="utf-8"))
    assert [tier["name"] for tier in data["tiers"]] == ["local", "small", "medium", "large", "dev"]
