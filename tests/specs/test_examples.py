from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import tomli

from apex_opt import api
from apex_opt.report.console import as_text
from apex_opt.spec.loader import load, require_built
from apex_opt.trace.traffic import traffic

SPECS = Path(__file__).parents[2] / "specs"
EXAMPLES = sorted((SPECS / "examples").glob("*.toml"))
IDS = [path.stem for path in EXAMPLES]


def test_there_are_examples() -> None:
    assert "quickstart" in IDS


@pytest.mark.parametrize("path", EXAMPLES, ids=IDS)
def test_an_example_names_its_schema_and_keeps_to_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first == "#:schema ../spec.schema.json"
    schema = json.loads((path.parent / first.removeprefix("#:schema ")).read_text())
    jsonschema.validate(tomli.loads(text), schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=IDS)
def test_an_example_loads_and_asks_for_nothing_that_is_not_built(path: Path) -> None:
    spec = load(path)
    require_built(spec)
    assert len(traffic(spec.workload, spec.search.seed, path.parent, spec.model).load) >= 500


@pytest.mark.parametrize("path", EXAMPLES, ids=IDS)
def test_an_example_has_a_proved_plan_that_meets_its_levels(path: Path) -> None:
    result = api.solve(api.load(path))
    assert result.proof.status == "optimal"
    assert all(check.met for plan in result.plans for check in plan.checks)
    assert max(map(len, as_text(result, 80).splitlines())) <= 80
