"""The JSON Schema of a spec, for editors: what each key means, its default, the names it may take.

Generated from the tables, and then turned into what a user writes: a name of the catalogue for a
table, no `null`. Draft 7, as the editors' TOML tools read it (taplo, Even Better TOML), where a
`$ref` hides all that stands beside it.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from apex_opt.spec import catalog
from apex_opt.spec.spec import Spec

Json = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"
REF = "#/definitions/{model}"


class _Draft7(GenerateJsonSchema):
    schema_dialect = DIALECT


def text() -> str:
    """Return the schema as `specs/spec.schema.json` holds it."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


def build() -> Json:
    """Return the JSON Schema of a spec."""
    raw = Spec.model_json_schema(ref_template=REF, schema_generator=_Draft7)
    definitions: Json = {name: _tidy(table) for name, table in raw.pop("$defs").items()}
    _name_models(definitions["Model"])
    _name_devices(definitions)
    _name_formats(definitions["Quantization"])
    definitions["Engine"]["properties"]["name"]["enum"] = _names("engines")
    body = _tidy(raw)
    return {"$schema": DIALECT, "title": "apexopt spec", **body, "definitions": definitions}


def _tidy(node: Any) -> Any:
    """Return a schema without `null`, without titles, with nothing beside a `$ref`."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {
        key: {name: _tidy(item) for name, item in value.items()}
        if key == "properties"
        else _tidy(value)
        for key, value in node.items()
        if not (key == "default" and value is None) and key not in {"discriminator", "title"}
    }
    if "anyOf" in tidy:
        tidy = _without_null(tidy)
    if "$ref" in tidy and len(tidy) > 1:
        tidy = {"allOf": [{"$ref": tidy.pop("$ref")}], **tidy}
    return tidy


def _without_null(node: Json) -> Json:
    """Return an `anyOf` without `null`, which TOML lacks; a lone member takes its place."""
    members = [member for member in node["anyOf"] if member != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**members[0], **rest} if len(members) == 1 else {"anyOf": members, **rest}


def _names(kind: catalog.Kind) -> list[str]:
    """Return the names and aliases of a shelf of the catalogue, of models all checkpoints too."""
    said = {"name", "aliases", "checkpoints"}
    entries = [entry.model_dump(include=said) for entry in catalog.entries(kind)]
    names = (
        [e["name"], *e["aliases"], *chain(*e.get("checkpoints", {}).values())] for e in entries
    )
    return sorted(set(chain(*names)))


def _name_models(model: Json) -> None:
    """A model: a name of the catalogue, a file, or its fields; fields change those of a name."""
    properties = model["properties"]
    about = properties["name"]["description"]
    any_name = {"type": "string", "minLength": 1, "maxLength": 200}
    properties["name"] = {"anyOf": [{"enum": _names("models")}, any_name], "description": about}
    properties["config"] = {
        "type": "string",
        "minLength": 1,
        "description": "Hugging Face config.json, a path relative to the spec.",
    }
    del model["required"]
    model["anyOf"] = [{"required": ["name"]}, {"required": ["config"]}]


def _name_devices(definitions: Json) -> None:
    """A device: a name of the catalogue, a data sheet, or changes to a device of the catalogue."""
    names = {"enum": _names("devices")}
    changes = _partial("Device", definitions)
    definitions[changes]["properties"]["base"] = {
        **names,
        "description": "Device of the catalogue whose other figures hold.",
    }
    definitions[changes]["required"] = ["base"]
    device = definitions["Pool"]["properties"]["device"]
    device["anyOf"] = [names, *device.pop("allOf"), {"$ref": REF.format(model=changes)}]


def _partial(name: str, definitions: Json) -> str:
    """Define a table like `name` in which no key is required; return what it is called."""
    table = json.loads(json.dumps(definitions[name]))
    table.pop("required", None)
    for node in table["properties"].values():
        for ref in [node, *node.get("allOf", ())]:
            if "$ref" in ref:
                inner = _partial(ref["$ref"].rpartition("/")[2], definitions)
                ref["$ref"] = REF.format(model=inner)
    definitions[f"{name}Changes"] = table
    return f"{name}Changes"


def _name_formats(quantization: Json) -> None:
    """A format: a name of the catalogue or a table, or a list of them."""
    shelves: tuple[tuple[str, catalog.Kind], ...] = (
        ("weights", "weights"),
        ("kv_cache", "kv-cache"),
    )
    for key, kind in shelves:
        node = quantization["properties"][key]
        one, many = node["anyOf"]
        names = {"enum": _names(kind)}
        node["anyOf"] = [names, one, {**many, "items": {"anyOf": [names, many["items"]]}}]
