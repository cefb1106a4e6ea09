from dataclasses import fields

import pytest

from apex_opt.spec import catalog
from benchmarks.fidelity.clients import WORKLOADS
from benchmarks.fidelity.recipe import Recipe
from benchmarks.fidelity.scripts import FAMILIES, FORMULAS, scripts

CONDITIONS = {"engine", "models", "on", "weights", "since", "before", "image", "points"}
POINTS = {"devices", "wide", "spread", "ranks", "guesses", "clients", *WORKLOADS.values()}


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script["of"][:40])
def test_a_script_is_told_in_words_that_are_read(script):
    settings = {field.name for field in fields(Recipe)}
    assert script.keys() <= CONDITIONS | {"of", "set"}
    assert script["set"].keys() <= settings - {"acceptance"}
    assert all(point.keys() <= POINTS for point in script.get("points", []))
    texts = {value for value in script["set"].values() if isinstance(value, str)}
    assert texts <= FORMULAS.keys() | {"bf16", "fp8"}


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script["of"][:40])
def test_a_script_is_of_what_the_catalogue_has(script):
    def begins_one(kind, start):
        return any(name.startswith(start) for name in catalog.names(kind))

    assert script["engine"] in catalog.names("engines")
    assert all(begins_one("models", start) for start in script["models"])
    assert all(begins_one("devices", n) for d in script.get("on", []) for n in FAMILIES.get(d, [d]))
    assert all(catalog.version_key(script.get(key, "0")) for key in ("since", "before"))
