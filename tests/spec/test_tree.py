"""The tables as a tree, and where in a document a validator's steps lead."""

from __future__ import annotations

from typing import Literal

import pytest
import tomli

from apex_opt.spec.engine import Engine
from apex_opt.spec.goals import Percentiles, Slo
from apex_opt.spec.lines import Loc
from apex_opt.spec.model import LayerKind, Model
from apex_opt.spec.pools import Device, Pool
from apex_opt.spec.spec import Spec
from apex_opt.spec.table import Table, frozen
from apex_opt.spec.tree import choices, hints, keys, kind, literals, place
from apex_opt.spec.words import key_text
from apex_opt.spec.workload import Fixed, Uniform, Workload

PROMPT = ("workload", "prompt_tokens")
PROMPT_KEY = "workload.prompt_tokens"
LAYERS = ("model", "layers")
KEY_NORMS = 'model.layers."[key]".norms'
SEQS = "max_num_seqs"


@pytest.mark.parametrize(
    ("steps", "text", "key", "table"),
    [
        ((), "", "", Spec),
        (("slo", "itl"), "slo.itl = 1", "slo.itl", Slo),
        (("pools", 1, "name"), "pools = [{}, {}]", "pools[1].name", Pool),
        (("engine", SEQS, 0), "engine.max_num_seqs = 0", "engine.max_num_seqs", Engine),
        (("engine", SEQS, 0), "engine.max_num_seqs = [0]", "engine.max_num_seqs[0]", Engine),
        (("slo", "tpot_ms", "each"), "slo.tpot_ms = 0", "slo.tpot_ms", Slo),
        (("slo", "tpot_ms", "statistics", "x"), "slo.tpot_ms.x = 0", "slo.tpot_ms.x", Percentiles),
        ((*PROMPT, "fixed", "value"), f"{PROMPT_KEY} = 0", PROMPT_KEY, Fixed),
        ((*PROMPT, "fixed", "value"), f"{PROMPT_KEY}.value = 0", f"{PROMPT_KEY}.value", Fixed),
        ((*PROMPT, "uniform", "low"), f"{PROMPT_KEY}.uniform = 0", f"{PROMPT_KEY}.low", Uniform),
        ((*LAYERS, "a", "norms"), "model.layers.a.norms = 9", "model.layers.a.norms", LayerKind),
        ((*LAYERS, "[key]", "norms"), "model.layers.'[key]' = {}", KEY_NORMS, LayerKind),
        ((*LAYERS, "", "[key]"), "model.layers.'' = {}", 'model.layers.""', Model),
        (("slo", "attainment", "beyond", 3), "slo.attainment = {}", "slo.attainment", Slo),
    ],
)
def test_steps_lead_to_what_is_written(steps: Loc, text: str, key: str, table: type[Table]):
    found = place(steps, frozen(tomli.loads(text)))
    assert key_text(found.loc) == key
    assert found.table is table
    assert found.is_key == (steps[-1:] == ("[key]",))


def test_keys_include_what_the_loader_replaces():
    assert keys(Model) == [*Model.model_fields, "config"]
    assert keys(Device) == [*Device.model_fields, "base"]
    assert keys(Slo) == list(Slo.model_fields)


def test_a_kind_is_told_without_none_and_annotations():
    assert kind(hints(Spec)["model"]).table is Model
    assert kind(kind(hints(Spec)["pools"]).items).table is Pool
    assert kind(hints(Workload)["rate_rps"]).type is float
    assert kind(hints(Workload)["prompt_tokens"]).discriminator == "distribution"
    assert kind(hints(Slo)["ttft_ms"]).discriminator is None
    assert kind(hints(Model)["layers"]).items is LayerKind


def test_choices_are_the_values_of_literals_alone():
    assert choices(Workload, "arrival")[:2] == ("constant", "poisson")
    assert choices(Workload, "rate_rps") == ()
    assert literals(Literal["a"] | None) == ("a",)
    assert literals(Literal["a"] | int) == ()
