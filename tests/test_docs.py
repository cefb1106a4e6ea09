import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from apex_opt.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "specs").rglob("*.toml")]
PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_pages_that_follow_from_the_code_are_current(name):
    shown = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert shown == PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")))
def test_links_of_a_page_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = [part.partition(")")[0] for part in text.split("](")[1:]]
    for target in targets:
        if not target.startswith(("http", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_drivers_that_pages_and_specs_name_exist():
    named = {
        name
        for page in WRITTEN
        for name in re.findall(r"python -m (benchmarks[.\w]*)", page.read_text(encoding="utf-8"))
    }
    assert "benchmarks.heuristic" in named
    assert [name for name in sorted(named) if find_spec(name) is None] == []


def test_the_readme_shows_what_the_program_prints():
    spec = "specs/examples/quickstart.toml"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition(f"$ apexopt solve {spec}\n")[2].partition("...\n```")[0].splitlines()
    told = CliRunner().invoke(app, ["solve", str(ROOT / spec)], env={"COLUMNS": "80"})
    assert len(shown) > 30
    assert [line.rstrip() for line in told.stdout.splitlines()[: len(shown)]] == shown


def test_the_page_on_audits_shows_a_spec_and_what_the_program_says_of_it(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    spec, _, rest = page.partition("```toml\n")[2].partition("```\n")
    block = rest.partition("\nThe entries of a conflict")[0].strip("\n")
    (tmp_path / "spec.toml").write_text(spec, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["audit", "spec.toml"], env={"COLUMNS": "80"})
    assert told.exit_code == 3
    lines = [line.rstrip() for line in told.stdout.partition("\nConflict:")[2].splitlines()]
    assert [line.removeprefix("    ") for line in block.splitlines()] == [
        "Conflict:" + lines[0],
        *lines[1:],
    ]
