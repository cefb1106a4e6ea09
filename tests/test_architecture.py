"""The tree is the architecture: what may import what, and that packaging knows every folder."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [
    "spec",
    "trace",
    "cost",
    "calibrate",
    "plan",
    "auditing",
    "report",
    "cli",
]  # bottom to top
LINKS = {"sim", "solvers", "specs"}
PACKAGES = [p for p in (ROOT / "apex_opt").iterdir() if p.is_dir() and p.name not in LINKS]


def imported(path):
    """Return the modules that a file imports, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def of_package(module):
    parts = module.split(".")
    return parts[1] if parts[0] == "apex_opt" and len(parts) > 1 else None


@pytest.mark.parametrize("folder", ["sim", "solvers"])
def test_engines_of_numbers_import_nothing_of_ours_but_themselves(folder):
    for path in (ROOT / folder).glob("*.py"):
        ours = {of_package(m) for m in imported(path)} - {None}
        assert ours <= {folder}, path


@pytest.mark.parametrize("layer", LAYERS)
def test_arrows_run_from_top_to_bottom(layer):
    below = set(LAYERS[: LAYERS.index(layer) + 1]) | {
        "sim",
        "solvers",
        "specs",
        "errors",
        "version",
    }
    # The command line stands on the API, which stands on the planner.
    allowed = below | {"api"} if layer == "cli" else below
    for path in (ROOT / "apex_opt" / layer).rglob("*.py"):
        ours = {of_package(m) for m in imported(path)} - {None}
        assert ours <= allowed, path


def test_only_solvers_import_ortools():
    for path in (ROOT / "apex_opt").rglob("*.py"):
        if "solvers" not in path.relative_to(ROOT / "apex_opt").parts[:1]:
            assert not any(m.startswith("ortools") for m in imported(path)), path


def test_the_verifier_imports_no_solver():
    seen, queue = set(), [ROOT / "solvers" / "fleet_verify.py"]
    while queue:
        path = queue.pop()
        for module in imported(path):
            assert not module.startswith("ortools"), path
            file = ROOT / "solvers" / f"{module.rsplit('.', 1)[-1]}.py"
            if module.startswith("apex_opt.solvers.") and file.exists() and file not in seen:
                seen.add(file)
                queue.append(file)


def test_packaging_lists_every_package():
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    folders = {"apex_opt"} | {
        ".".join(path.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in [package, *(p for p in package.rglob("*") if p.is_dir())]
        if path.name != "__pycache__"
    }
    assert listed == folders | {f"apex_opt.{link}" for link in LINKS}


def test_links_lead_to_the_folders_beside_the_package():
    for link in LINKS:
        assert (ROOT / "apex_opt" / link).resolve() == ROOT / link


def shown(code):
    """Return what a program prints in a process of its own."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, apex_opt, apex_opt.cli.app;"
        "heavy = {'numpy', 'ortools', 'numba', 'pydantic', 'rich'} & set(sys.modules);"
        "print(sorted(heavy))"
    )
    assert shown(code) == "[]"


@pytest.mark.parametrize("verifier", ["flow_verify", "placement_verify", "fleet_verify"])
def test_a_verifier_loads_no_solver(verifier):
    code = (
        f"import sys, apex_opt.solvers.{verifier};"
        "print(sorted({'ortools', 'numba'} & set(sys.modules)))"
    )
    assert shown(code) == "[]"


@pytest.mark.parametrize("command", ["solve", "audit"])
def test_a_faulty_spec_is_told_of_before_solver_and_simulator_are_loaded(command, tmp_path):
    (tmp_path / "spec.toml").write_text("model = 1\n")
    code = (
        "import sys; from typer.testing import CliRunner; from apex_opt.cli.app import app;"
        f"said = CliRunner().invoke(app, ['{command}', '{tmp_path / 'spec.toml'}']);"
        "print(type(said.exception).__name__, sorted({'ortools', 'numba'} & set(sys.modules)))"
    )
    assert shown(code) == "SpecError []"
