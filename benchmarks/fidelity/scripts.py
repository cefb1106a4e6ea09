"""Launch scripts of InferenceX: which of them made a run, and what they set (`scripts.toml`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import tomli

from apex_opt.spec import catalog
from benchmarks.fidelity.case import Case
from benchmarks.fidelity.clients import WORKLOADS, total
from benchmarks.fidelity.degrees import Degrees, counted_once, degrees, flagged
from benchmarks.fidelity.recipe import Recipe

FACTS = Path(__file__).with_suffix(".toml")

FAMILIES = {
    "hopper": ("h100", "h200", "gh200"),
    "blackwell": ("b200", "b300", "gb200", "gb300"),
}

BITS = {"nvfp4": "fp4", "mxfp4": "fp4", "fp8-block": "fp8", "int4-experts": "int4"}
"""Weight formats of the catalogue under the names of the scripts; others: their own."""

NODE = 8
"""Most devices of a tensor group that is one worker."""

OLDEST, NEWEST = (0,), (1 << 30,)


@dataclass(frozen=True)
class Facts:
    """What a script is chosen by.

    Attributes:
        engine, model, device, weights: names of the catalogue; weights as the scripts call them.
        version: as recorded; empty: none is.
        shape: degrees of the record.
        prompt, output: tokens.
        clients: all of them.
    """

    engine: str
    model: str
    device: str
    weights: str
    version: str
    shape: Degrees
    prompt: int
    output: int
    clients: int

    @property
    def number(self) -> tuple[int, ...]:
        """The version, to be compared."""
        return (catalog.version_key(self.version) or NEWEST) if self.version else OLDEST


def facts(case: Case, weights: str) -> Facts:
    """Return what is known of a closed loop; `weights`: its format in the catalogue."""
    parallel = case.parallel
    return Facts(
        engine=case.engine["name"],
        model=catalog.model(case.model).name,
        device=catalog.device(case.device).name,
        weights=BITS.get(weights, weights),
        version=str(case.engine.get("version") or ""),
        shape=flagged(parallel) or counted_once(parallel) or degrees(parallel),
        prompt=round(case.workload["prompt_tokens"]),
        output=round(case.workload["output_tokens"]),
        clients=total(parallel, case.workload["concurrency"]),
    )


def follow(run: Facts, guess: Recipe) -> Recipe:
    """Return the settings of a run of InferenceX; `guess`: what its scripts do not say."""
    found, said = guess, dict[str, Any]()
    for script in scripts():
        if _is_of(script, run) and _is_at(script, run, found):
            said |= script["set"]
            found = _settings(said, run, found)
    return _settings(said, run, found)


@cache
def scripts() -> tuple[Mapping[str, Any], ...]:
    """Return the tables of `scripts.toml`, each with the conditions of its script."""
    return tuple(_flat(tomli.loads(FACTS.read_text(encoding="utf-8"))["script"]))


def _flat(tables: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for script in tables:
        more = script.pop("also", [])
        yield script
        for also in more:
            yield script | also


def _is_of(script: Mapping[str, Any], run: Facts) -> bool:
    """Return whether a script starts this engine, model, device, weights and version."""
    devices = [name for family in script.get("on", [""]) for name in FAMILIES.get(family, [family])]
    since, before = (catalog.version_key(script.get(key, "")) for key in ("since", "before"))
    return (
        script["engine"] == run.engine
        and run.model.startswith(tuple(script["models"]))
        and run.device.startswith(tuple(devices))
        and run.weights in script.get("weights", [run.weights])
        and script.get("image", run.version) == run.version
        and (since or OLDEST) <= run.number
        and run.number < (before or (*NEWEST, 0))
    )


def _is_at(script: Mapping[str, Any], run: Facts, found: Recipe) -> bool:
    """Return whether a script was run at the point of this run."""
    known = {
        "devices": run.shape.stage_devices,
        "wide": run.shape.tensor > NODE,
        "spread": run.shape.expert if found.spread is None else found.spread,
        "ranks": (found.ranks or run.shape.attention_data) > 1,
        "guesses": found.guesses > 0,
    }
    return any(
        all(point.get(key, value) == value for key, value in known.items())
        and _has(point, run, point.keys() - known)
        for point in script.get("points", [{}])
    )


def _has(point: Mapping[str, Any], run: Facts, named: set[str]) -> bool:
    """Return whether a point has the clients of a run, in its workload; none named: it has."""
    own = {"clients", WORKLOADS.get((run.prompt, run.output), "")}
    spans = [point[key] for key in named & own]
    return any(low <= run.clients <= high for low, high in spans) or not named


def _settings(said: Mapping[str, Any], run: Facts, found: Recipe) -> Recipe:
    """Return the settings, formulas in terms of `found`."""
    known = {
        key: FORMULAS[value](run, found) if value in FORMULAS else value
        for key, value in said.items()
    }
    return replace(found, **known)


def _each(run: Facts, found: Recipe) -> int:
    """Clients of an attention rank."""
    return -(-run.clients // (found.ranks or run.shape.attention_data))


def _step(run: Facts, found: Recipe) -> int:
    """Tokens of one prompt and of all sequences, guesses too, up to the next 64 but one."""
    sequences = found.max_num_seqs if found.guesses and found.max_num_seqs else run.clients
    return ((found.guesses + 1) * sequences + run.prompt + 127) // 64 * 64


FORMULAS: Mapping[str, Callable[[Facts, Recipe], int]] = {
    "clients": lambda run, _: run.clients,
    "clients of a rank": _each,
    "a quarter of the clients": lambda run, _: max(run.clients // 4, 1),
    "devices": lambda run, _: run.shape.stage_devices,
    "two prompts": lambda run, _: 2 * run.prompt,
    "prompt and sequences": _step,
    "prompt and sequences, 8192 or more": lambda run, found: max(_step(run, found), 8192),
}
"""What scripts compute."""
