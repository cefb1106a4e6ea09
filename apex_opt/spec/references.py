"""What a spec only names: models, devices and formats of the catalogue, a config.json.

`resolve` replaces each name by the table it stands for, so that the validator sees a spec as if the
user had written everything out. Where a name is unknown, the fault is noted and any other entry
stands in, so that what else is wrong in that table is found in the same run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from apex_opt.spec import catalog, huggingface
from apex_opt.spec.catalog import UnknownNameError
from apex_opt.spec.faults import Fault
from apex_opt.spec.files import UnreadableError, read_text
from apex_opt.spec.lines import Loc
from apex_opt.spec.model import Model
from apex_opt.spec.table import Table
from apex_opt.spec.words import SHORT, got, name, printable

MAX_CONFIG_BYTES = 1 << 20
INLINE_MODEL = frozenset({"hidden_size", "vocab_size", "layers", "pattern"})
"""Keys that no entry of the catalogue lacks: who writes one describes a model of their own."""

T = TypeVar("T", bound=Table)


@dataclass
class Resolved:
    """A spec without references, and the faults of its references."""

    data: dict[str, Any]
    faults: list[Fault] = field(default_factory=list)
    config: str | None = None
    """The config.json that the model comes from."""

    def find(self, loc: Loc, noun: str, lookup: Callable[[str], T], wanted: str) -> T | None:
        """Return an entry of the catalogue; None, and a fault at `loc`, where it is unknown."""
        try:
            return look_up(noun, lookup, wanted)
        except UnknownNameError as e:
            self.faults.append(Fault(loc, str(e)))
            return None


def look_up(noun: str, lookup: Callable[[str], T], wanted: str) -> T:
    """Return what the catalogue has under a name, be the name ever so long or odd.

    Raises:
        UnknownNameError: no such entry; the text is short and printable.
    """
    if len(wanted) > SHORT or not wanted.isprintable():
        raise UnknownNameError(f"unknown {noun} {name(wanted)}")
    return lookup(wanted)


def resolve(data: dict[str, Any], folder: Path) -> Resolved:
    """Return `data` with every reference replaced by what it refers to.

    Args:
        data: a parsed spec, tuples for arrays; it may be wrong in any way.
        folder: where relative paths begin.
    """
    resolved = Resolved(dict(data))
    for table, replace in _TABLES.items():
        if table in data:
            resolved.data[table] = replace(data[table], resolved, folder)
    return resolved


def _model(table: Any, resolved: Resolved, folder: Path) -> Any:
    if not isinstance(table, dict):
        return table
    given = {key: value for key, value in table.items() if key not in {"name", "config"}}
    if "config" in table:
        return {**_from_config(table, resolved, folder), **given}
    wanted = table.get("name")
    if INLINE_MODEL & table.keys() and not _is_catalogued(wanted):
        return table
    entry = _named_model(wanted, resolved)
    if entry and not given:
        return entry
    return {**(entry.model_dump() if entry else _any_model()), **given}


def _named_model(wanted: Any, resolved: Resolved) -> Model | None:
    """Return the model of that name; None, and a fault, where there is none."""
    loc: Loc = ("model", "name")
    if isinstance(wanted, str):
        return resolved.find(loc, "model", catalog.model, wanted)
    if wanted is None:
        why = 'missing; write `name = "llama-3.1-70b"` or another name of the catalogue, '
        why += '`config = "config.json"`, or the fields of a model'
    else:
        why = f'must be a name of the catalogue such as "llama-3.1-70b", got {got(wanted)}'
    resolved.faults.append(Fault(loc, why))
    return None


def _is_catalogued(wanted: Any) -> bool:
    try:
        return isinstance(wanted, str) and bool(catalog.model(wanted))
    except UnknownNameError:
        return False


def _any_model() -> dict[str, Any]:
    """Return some model that stands in for one that could not be found."""
    return catalog.model(catalog.names("models")[0]).model_dump()


def _from_config(table: dict[str, Any], resolved: Resolved, folder: Path) -> dict[str, Any]:
    """Return the model in the config.json that a `[model]` table refers to."""
    loc: Loc = ("model", "config")
    path = table["config"]
    if not isinstance(path, str) or not path:
        why = f'must be a path such as "config.json", got {got(path)}'
        resolved.faults.append(Fault(loc, why))
        return _any_model()
    try:
        config = _json_object(read_text(folder / path, MAX_CONFIG_BYTES))
        resolved.config = path
        return huggingface.from_config(config, table.get("name", _own_name(config, path)))
    except huggingface.ConfigError as e:
        resolved.faults += [Fault(loc, f"{printable(path)}: {fault}") for fault in e.faults]
    except UnreadableError as e:
        at = f"line {e.line}: " if e.line else ""
        resolved.faults.append(Fault(loc, f"{printable(path)}: {at}{e}"))
    return _any_model()


def _own_name(config: dict[str, Any], path: str) -> str:
    """Return what a config calls its model, else what its file is called."""
    own = config.get("_name_or_path")
    return own if isinstance(own, str) and 0 < len(own) <= SHORT else Path(path).stem


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as e:
        raise UnreadableError(f"not JSON: {e.msg.lower()}", e.lineno) from None
    except RecursionError:
        raise UnreadableError("not a config.json: nested too deep") from None
    except ValueError:  # int() refuses thousands of digits
        raise UnreadableError("not a config.json: a number has thousands of digits") from None
    if not isinstance(value, dict):
        raise UnreadableError("must hold a JSON object")
    return value


def _pools(pools: Any, resolved: Resolved, _: Path) -> Any:
    if not isinstance(pools, tuple):
        return pools
    return tuple(_pool(nth, pool, resolved) for nth, pool in enumerate(pools))


def _pool(nth: int, pool: Any, resolved: Resolved) -> Any:
    if not isinstance(pool, dict) or "device" not in pool:
        return pool
    return {**pool, "device": _device(("pools", nth, "device"), pool["device"], resolved)}


def _device(loc: Loc, value: Any, resolved: Resolved) -> Any:
    """Return a device by name, or a table on top of the device that it is based on."""
    if isinstance(value, dict) and "base" in value:
        given = {key: item for key, item in value.items() if key != "base"}
        base = value["base"]
        if isinstance(base, str):
            return _merged(_device((*loc, "base"), base, resolved).model_dump(), given)
        why = f"must be a name of the catalogue, got {got(base)}"
        resolved.faults.append(Fault((*loc, "base"), why))
        return _merged(_any_device().model_dump(), given)
    if not isinstance(value, str):
        return value
    return resolved.find(loc, "device", catalog.device, value) or _any_device()


def _any_device() -> Table:
    """Return some device that stands in for one that could not be found."""
    return catalog.device(catalog.names("devices")[0])


def _merged(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with what is given on top; tables are merged, all else is replaced."""
    merged = dict(base)
    for key, value in given.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def _quantization(table: Any, resolved: Resolved, _: Path) -> Any:
    if not isinstance(table, dict):
        return table
    lookups: tuple[tuple[str, str, Callable[[str], Table]], ...] = (
        ("weights", "weight format", catalog.weight_format),
        ("kv_cache", "KV-cache format", catalog.kv_format),
    )
    formats = {}
    for key, noun, lookup in lookups:
        if key in table:
            formats[key] = _formats(("quantization", key), noun, lookup, table[key], resolved)
    return {**table, **formats}


def _formats(
    loc: Loc, noun: str, lookup: Callable[[str], Table], value: Any, resolved: Resolved
) -> Any:
    """Return a format or a list of them, tables for names; bf16 stands in for unknown ones."""
    if isinstance(value, tuple):
        items = enumerate(value)
        return tuple(_formats((*loc, nth), noun, lookup, item, resolved) for nth, item in items)
    if isinstance(value, str):
        return resolved.find(loc, noun, lookup, value) or lookup("bf16")
    return value


def _engine(table: Any, resolved: Resolved, _: Path) -> Any:
    """Return the table with the engine's own name for an alias; its version must be known."""
    if not isinstance(table, dict):
        return table
    wanted, version = table.get("name", "vllm"), table.get("version")
    try:
        known = catalog.engine(wanted).name if isinstance(wanted, str) else None
    except UnknownNameError:
        known = None  # the validator lists the choices
    if known is None:
        return table
    if isinstance(version, str) and version:
        loc: Loc = ("engine", "version")
        resolved.find(loc, "version", lambda said: catalog.release(known, said), version)
    return {**table, "name": known}


_TABLES: dict[str, Callable[[Any, Resolved, Path], Any]] = {
    "model": _model,
    "pools": _pools,
    "quantization": _quantization,
    "engine": _engine,
}
