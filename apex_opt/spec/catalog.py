"""The catalogue: models, devices, number formats and engines, found by name or by alias.

One TOML file an entry, named after it, in the package `apex_opt.specs`. A name that is a file's
stem reads that file alone; any other name costs one look at the aliases of its kind. Case does not
matter, and `_` and a space are as good as `-`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any, Generic, Literal, TypeVar, get_args

import tomli

from apex_opt.spec.engine import EngineEntry, EngineRelease
from apex_opt.spec.model import Model
from apex_opt.spec.pools import Device
from apex_opt.spec.quantization import KvFormat, WeightFormat
from apex_opt.spec.table import Table, frozen

Kind = Literal["models", "devices", "weights", "kv-cache", "engines"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NEAREST, AS_NEAR = 3, 0.05
"""Names that are offered in place of an unknown one, and how much less alike than the first."""

T = TypeVar("T", bound=Table)


class UnknownNameError(ValueError):
    """The catalogue has no entry of that name; the text names the nearest one."""


@dataclass(frozen=True)
class Shelf(Generic[T]):
    """One kind of entry: what to call it, where its files stand, which table they hold."""

    kind: Kind
    noun: str
    folder: str
    table: type[T]


MODELS = Shelf("models", "model", "models", Model)
DEVICES = Shelf("devices", "device", "devices", Device)
WEIGHTS = Shelf("weights", "weight format", "quantization/weights", WeightFormat)
KV_CACHE = Shelf("kv-cache", "KV-cache format", "quantization/kv_cache", KvFormat)
ENGINES = Shelf("engines", "engine", "engines", EngineEntry)
SHELVES: tuple[Shelf[Any], ...] = (MODELS, DEVICES, WEIGHTS, KV_CACHE, ENGINES)


def model(name: str) -> Model:
    """Return the model called `name`, in the format of that checkpoint; raises UnknownNameError."""
    return _checkpoint(find(MODELS, name), fold(name))


def device(name: str) -> Device:
    """Return the device called `name`; raises UnknownNameError."""
    return find(DEVICES, name)


def weight_format(name: str) -> WeightFormat:
    """Return the weight format called `name`; raises UnknownNameError."""
    return find(WEIGHTS, name)


def kv_format(name: str) -> KvFormat:
    """Return the KV-cache format called `name`; raises UnknownNameError."""
    return find(KV_CACHE, name)


def engine(name: str) -> EngineEntry:
    """Return the engine called `name`, with all its releases; raises UnknownNameError."""
    return find(ENGINES, name)


def release(engine_name: str, version: str | None = None) -> EngineRelease:
    """Return what is known of one version of an engine.

    Args:
        engine_name: name or alias of the engine.
        version: `0.19`, `0.19.0`, `v0.5.10.post1`, …; none: the newest known.

    Returns:
        The newest entry that is no newer than `version`.

    Raises:
        UnknownNameError: no such engine, not a version, or older than the oldest entry.
    """
    entry = engine(engine_name)
    if version is None:
        return entry.releases[0]
    asked = version_key(version)
    if asked is None:
        raise UnknownNameError(f"`{version}` is no version of {entry.name}; write one like `0.19`")
    for known in entry.releases:
        if (version_key(known.version) or ()) <= asked:
            return known
    oldest = entry.releases[-1].version
    raise UnknownNameError(f"{entry.name} {version} is older than the oldest known, `{oldest}`")


def version_key(version: str) -> tuple[int, ...] | None:
    """Return the leading numbers of a version, to be compared; None where it has none."""
    match = re.match(r"v?(\d{1,9}(?:\.\d{1,9})*)", version.strip())
    return tuple(int(part) for part in match[1].split(".")) if match else None


def names(kind: Kind) -> list[str]:
    """Return the names of all entries of a kind, sorted."""
    return sorted(_stems(_shelf(kind).folder))


def entries(kind: Kind) -> list[Table]:
    """Return all entries of a kind, sorted by name."""
    shelf = _shelf(kind)
    return [_read(shelf, stem) for stem in names(kind)]


def get(kind: Kind, name: str) -> Table:
    """Return the entry of a kind called `name`; raises UnknownNameError."""
    entry: Table = model(name) if kind == "models" else find(_shelf(kind), name)
    return entry


def knows(kind: Kind, name: str) -> bool:
    """Return whether a kind has an entry called `name`."""
    folder, wanted = _shelf(kind).folder, fold(name)
    return wanted in _stems(folder) or wanted in _aliases(folder)


def find(shelf: Shelf[T], name: str) -> T:
    """Return the entry of `shelf` called `name`, a file's stem or an alias.

    Raises:
        UnknownNameError: no such entry.
    """
    wanted = fold(name)
    if wanted not in _stems(shelf.folder):
        known = _aliases(shelf.folder)
        if wanted not in known:
            raise UnknownNameError(f"unknown {shelf.noun} `{name[:80]}`; {_hint(shelf, wanted)}")
        wanted = known[wanted]
    entry: T = _read(shelf, wanted)
    return entry


def fold(name: str) -> str:
    """Return `name` as it is compared: lower case, `-` for `_` and for spaces."""
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def _checkpoint(found: Model, wanted: str) -> Model:
    """Return a model as its checkpoint of that name is published; itself, if it has none such.

    It is called as the checkpoint is, without the owner where that is enough to find it.
    """
    taken = set(_stems(MODELS.folder))
    for weights, checkpoints in found.checkpoints.items():
        for checkpoint in checkpoints:
            whole = fold(checkpoint)
            short = whole.rpartition("/")[2]
            name = whole if short in taken else short
            if wanted in (whole, name):
                own = {"name": name, "aliases": (checkpoint,), "native_weights": weights}
                return found.model_copy(update={**own, "checkpoints": {}})
            taken.add(short)
    return found


def _shelf(kind: Kind) -> Shelf[Any]:
    return next(shelf for shelf in SHELVES if shelf.kind == kind)


def _hint(shelf: Shelf[T], wanted: str) -> str:
    stems, aliases = _stems(shelf.folder), _aliases(shelf.folder)
    near = difflib.get_close_matches(wanted[:200], [*sorted(stems), *aliases], n=NEAREST)
    alike = [difflib.SequenceMatcher(None, name, wanted[:200]).ratio() for name in near]
    names = dict.fromkeys(
        f"`{aliases.get(name, name)}`"
        for name, ratio in zip(near, alike, strict=True)
        if ratio >= alike[0] - AS_NEAR
    )
    if names:
        return f"did you mean {' or '.join(names)}?"
    return f"`apexopt catalog {shelf.kind}` lists the known ones"


@cache
def _stems(folder: str) -> frozenset[str]:
    file_names = (path.name for path in (files("apex_opt.specs") / folder).iterdir())
    return frozenset(name[: -len(".toml")] for name in file_names if name.endswith(".toml"))


@cache
def _aliases(folder: str) -> dict[str, str]:
    """Return whose alias each name is; an `owner/name` of Hugging Face may go without its owner."""
    index: dict[str, str] = {}
    for stem in sorted(_stems(folder)):
        entry = _toml(folder, stem)
        checkpoints = chain.from_iterable(entry.get("checkpoints", {}).values())
        for alias in map(fold, [*entry.get("aliases", ()), *checkpoints]):
            index[alias] = stem
            index.setdefault(alias.rpartition("/")[2], stem)
    return index


def _toml(folder: str, stem: str) -> dict[str, Any]:
    path = files("apex_opt.specs") / folder / f"{stem}.toml"
    return tomli.loads(path.read_text(encoding="utf-8"))


@cache
def _read(shelf: Shelf[T], stem: str) -> T:
    data: dict[str, Any] = frozen(_toml(shelf.folder, stem))
    return shelf.table.model_validate(data)
