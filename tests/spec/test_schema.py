"""The JSON Schema of a spec: the one that is shipped, and what an editor makes of it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from apex_opt.cli.schema import schema as print_schema
from apex_opt.spec import catalog, schema
from apex_opt.spec.loader import load
from apex_opt.spec.spec import Spec
from apex_opt.spec.tree import hints, keys
from tests.spec.texts import spec_text

SHIPPED = files("apex_opt.specs")
EXAMPLES = sorted(Path(str(SHIPPED / "examples")).glob("**/*.toml"))
VALID = sorted((Path(__file__).parent / "valid").glob("*.toml"))


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    return schema.build()


def errors(built: dict[str, Any], text: str) -> list[str]:
    """Return where an editor would underline a text."""
    validator = jsonschema.Draft7Validator(built)
    found = validator.iter_errors(tomli.loads(text))
    return sorted({".".join(map(str, error.path)) for error in found})


def test_the_schema_that_is_shipped_is_the_generated_one():
    """`apexopt schema > specs/spec.schema.json` renews it."""
    assert (SHIPPED / "spec.schema.json").read_text(encoding="utf-8") == schema.text()


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]):
    print_schema()
    assert capsys.readouterr().out == schema.text()


def test_the_schema_is_of_draft_7(built: dict[str, Any]):
    jsonschema.Draft7Validator.check_schema(built)
    assert built["$schema"] == "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("path", [*VALID, *EXAMPLES], ids=lambda path: path.name)
def test_a_spec_that_loads_is_valid(built: dict[str, Any], path: Path):
    load(path)
    assert errors(built, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (spec_text("[slo]\nttft = 5"), "slo"),
        (spec_text("[slo]\nttft_ms = -1"), "slo.ttft_ms"),
        (spec_text("[quantization]\nweights = 'fp9'"), "quantization.weights"),
        (spec_text("[quantization]\nkv_cache = ['bf16', 'fp9']"), "quantization.kv_cache"),
        (spec_text("[engine]\nname = 'vlm'"), "engine.name"),
        (spec_text("[parallelism]\ntensor = 'all'"), "parallelism.tensor"),
        (spec_text("[[pools]]\nname = 'b'\ndevice = 'h100-sxm-8gb'"), "pools.1.device"),
        (spec_text("[[pools]]\nname = 'b'\ndevice = { base = 'h9' }"), "pools.1.device"),
        (spec_text(model="[model]\nmax_context = 5"), "model"),
        (spec_text(workload="[workload]\nprompt_tokens = 'x'"), "workload.prompt_tokens"),
        (spec_text(workload=""), ""),
    ],
)
def test_an_editor_underlines_what_the_loader_refuses(built: dict[str, Any], text: str, where: str):
    assert errors(built, text) == [where]


def test_an_editor_completes_the_names_of_the_catalogue(built: dict[str, Any]):
    tables = built["definitions"]
    device = tables["Pool"]["properties"]["device"]["anyOf"][0]["enum"]
    weights = tables["Quantization"]["properties"]["weights"]["anyOf"]
    assert set(catalog.names("devices")) <= set(device)
    assert set(catalog.names("weights")) <= set(weights[0]["enum"])
    assert set(catalog.names("weights")) <= set(weights[2]["items"]["anyOf"][0]["enum"])
    assert set(catalog.names("models")) <= set(
        tables["Model"]["properties"]["name"]["anyOf"][0]["enum"]
    )
    assert {"h100", "H100"} & set(device), "aliases are names too"


def test_each_key_of_each_table_is_described(built: dict[str, Any]):
    bare = {
        f"{name}.{key}"
        for name, table in built["definitions"].items()
        for key, node in table["properties"].items()
        if "description" not in node
    }
    assert bare == set()
    assert all("description" in node for node in built["properties"].values())


def test_defaults_stand_in_the_schema(built: dict[str, Any]):
    assert built["definitions"]["Network"]["properties"]["bandwidth_gbps"]["default"] == 400.0
    assert built["definitions"]["Parallelism"]["properties"]["tensor"]["default"] == "auto"


def test_the_schema_has_all_keys_of_the_tables_and_their_references(built: dict[str, Any]):
    assert list(built["properties"]) == list(hints(Spec))
    assert set(built["definitions"]["Model"]["properties"]) == set(keys(hints(Spec)["model"]))
    assert "base" in built["definitions"]["DeviceChanges"]["properties"]
    assert "required" not in built["definitions"]["LinkChanges"]


def test_toml_has_no_null_and_draft_7_hides_what_stands_beside_a_reference(
    built: dict[str, Any],
):
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            assert node.get("type") != "null"
            assert "$ref" not in node or len(node) == 1
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(built)
    assert "$defs" not in json.dumps(built)
