"""What a spec names is replaced by what it stands for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from apex_opt.errors import SpecError
from apex_opt.spec import catalog, huggingface
from apex_opt.spec.loader import load
from apex_opt.spec.pools import Device
from apex_opt.spec.spec import Spec
from tests.spec.texts import TABLES, faults, spec, spec_text

VALID = Path(__file__).parent / "valid"
CONFIG = json.loads((VALID / "config.json").read_text(encoding="utf-8"))


def device(text: str) -> Device:
    """Return the device of a pool that is written as `text`."""
    return spec(pools=f"[[pools]]\nname = 'a'\ndevice = {text}").pools[0].device


def from_folder(folder: Path, config: object, *model: str) -> Spec:
    """Return a spec whose model is the config.json beside it."""
    (folder / "config.json").write_text(
        config if isinstance(config, str) else json.dumps(config), encoding="utf-8"
    )
    table = "\n".join(["[model]", 'config = "config.json"', *model])
    (folder / "spec.toml").write_text(spec_text(model=table), encoding="utf-8")
    return load(folder / "spec.toml")


def refused(folder: Path, config: object, *model: str) -> str:
    """Return the fault of such a spec, without its place."""
    with pytest.raises(SpecError) as caught:
        from_folder(folder, config, *model)
    place = f"{folder / 'spec.toml'}:2: model.config: config.json: "
    assert str(caught.value).startswith(place)
    return str(caught.value)[len(place) :]


def test_a_name_is_the_entry_of_the_catalogue():
    assert spec().model == catalog.model("llama-3.1-8b")
    assert device('"h100-sxm-80gb"') == catalog.device("h100-sxm-80gb")


def test_an_alias_is_the_entry_of_the_catalogue():
    assert device('"H100 SXM 80GB"') == catalog.device("h100-sxm-80gb")
    assert spec('[engine]\nname = "TRT-LLM"').engine.name == "tensorrt-llm"


def test_further_fields_change_the_model_of_that_name():
    changed = spec(
        model=TABLES["model"] + "\nmax_context = 4096\npattern = [{ layers = ['dense'] }]"
    )
    same = catalog.model("llama-3.1-8b").model_dump()
    assert changed.model.max_context == 4096
    assert changed.model.counts() == {"dense": 1}
    assert changed.model.model_dump() == same | {
        "max_context": 4096,
        "pattern": ({"layers": ("dense",), "repeat": 1},),
    }


def test_a_base_keeps_the_figures_that_are_not_given():
    base = catalog.device("h100-sxm-80gb")
    changed = device(
        '{ base = "H100", memory_bytes = 5, link = { latency_us = 1 }, peak_tflops = { fp4 = 9 } }'
    )
    assert changed.memory_bytes == 5
    assert changed.link == base.link.model_copy(update={"latency_us": 1.0})
    assert changed.peak_tflops == base.peak_tflops | {"fp4": 9.0}
    assert changed.efficiency == base.efficiency


def test_formats_are_names_or_tables_or_lists_of_both():
    own = '{ name = "mine", bytes_per_element = 0.75 }'
    assert spec("[quantization]\nweights = 'fp8'").quantization.weights == (
        catalog.weight_format("fp8"),
    )
    mixed = spec(f"[quantization]\nkv_cache = ['fp8', {own}]").quantization.kv_cache
    assert mixed is not None
    assert [f.name for f in mixed] == ["fp8", "mine"]


def test_a_version_must_be_known_to_the_catalogue():
    assert spec('[engine]\nversion = "v0.19.1"').engine.version == "v0.19.1"
    oldest = catalog.engine("vllm").releases[-1].version
    assert faults('[engine]\nversion = "0.0.1"') == [
        f"engine.version: vllm 0.0.1 is older than the oldest known, `{oldest}`"
    ]


def test_each_form_of_spec_is_loaded():
    inline = load(VALID / "inline.toml")
    assert inline.model.counts() == {"dense": 1, "moe": 4, "linear": 4, "latent": 4}
    assert inline.pools[0].device.peak_tflops == {"bf16": 100.0, "fp8": 200.5}
    config = load(VALID / "config.toml")
    assert config.model.name == "config"
    assert config.model.native_weights == "fp8"
    assert config.pools[0].device.name == "h100-of-tomorrow"


def test_a_config_is_found_beside_the_spec_and_its_fields_can_be_changed(tmp_path: Path):
    found = from_folder(tmp_path, CONFIG, "max_context = 4096")
    assert found.model.hidden_size == 2048
    assert found.model.max_context == 4096


@pytest.mark.parametrize(
    ("config", "table", "name"),
    [
        (CONFIG, [], "config"),
        (CONFIG | {"_name_or_path": "meta/llama"}, [], "meta/llama"),
        (CONFIG | {"_name_or_path": 3}, [], "config"),
        (CONFIG | {"_name_or_path": "meta/llama"}, ['name = "mine"'], "mine"),
    ],
)
def test_a_model_is_called_as_the_spec_says_else_as_its_config(
    tmp_path: Path, config: object, table: list[str], name: str
):
    assert from_folder(tmp_path, config, *table).model.name == name


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("{", "line 1: not JSON: expecting property name enclosed in double quotes"),
        ("[1]", "must hold a JSON object"),
        ("\0", "line 1: a NUL character; this is no text file"),
        ("[" * 10**5, "not a config.json: nested too deep"),
        ('{"a": ' + "1" * 5000 + "}", "not a config.json: a number has thousands of digits"),
        (" " * (2**20 + 1), "larger than 1 MiB, this cannot be the right file"),
    ],
    ids=["broken", "a list", "binary", "deep", "digits", "large"],
)
def test_a_config_that_cannot_be_read_is_a_fault_of_its_line(tmp_path: Path, config: str, why: str):
    assert refused(tmp_path, config) == why


def test_an_encoder_of_images_is_read_from_a_config_or_written_beside_it(tmp_path: Path):
    configs = json.loads((Path(__file__).parent / "configs.json").read_text(encoding="utf-8"))
    config = configs["qwen3-vl-8b"]
    read = from_folder(tmp_path, config).model.vision
    assert read == catalog.model("qwen3-vl-8b").vision
    assert read is not None
    lines = [f"{key} = {value}" for key, value in read.model_dump(exclude_none=True).items()]
    lines = [line.lower().replace("patches = 4096", "patches = 1024") for line in lines]
    written = from_folder(tmp_path, config, "[model.vision]", *lines).model.vision
    assert written == read.model_copy(update={"patches": 1024})


def test_a_config_of_an_unknown_family_is_a_fault_of_its_line(tmp_path: Path):
    why = refused(tmp_path, {"model_type": "llamma"})
    with pytest.raises(huggingface.ConfigError) as caught:
        huggingface.from_config({"model_type": "llamma"}, "x")
    assert why == str(caught.value)


def test_a_pipe_for_a_config_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    text = spec_text(model='[model]\nconfig = "pipe"')
    (tmp_path / "spec.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "spec.toml")
    assert str(caught.value).endswith(":2: model.config: pipe: a pipe, not a regular file")


def test_what_else_is_wrong_beside_an_unknown_name_is_told_too():
    pool = "[[pools]]\nname = ''\ndevice = 'zzz'\nnodes = 0"
    assert faults(model='[model]\nname = "zzz"\nmax_context = 0', pools=pool) == [
        "model.name: unknown model `zzz`; `apexopt catalog models` lists the known ones",
        "model.max_context: must be 1 or more, got 0",
        "pools[0].name: must not be empty; write a string",
        "pools[0].device: unknown device `zzz`; `apexopt catalog devices` lists the known ones",
        "pools[0].nodes: must be 1 or more, got 0",
    ]
