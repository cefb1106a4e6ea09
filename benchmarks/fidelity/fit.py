"""The overheads of an engine's release, fitted to the measured runs of its versions.

The loss is the mean absolute error of TTFT and TPOT, percent; a run counts with 100 at most in
each, so that no faulty record draws a fit. With one part of the runs left out in turn, by model,
device or group, each part is scored with what was fitted to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from apex_opt.cost.curves import Array
from apex_opt.errors import ApexError
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec import catalog
from apex_opt.spec.engine import EngineRelease, Overheads
from benchmarks.fidelity.case import METRICS, Case
from benchmarks.fidelity.predict import play
from benchmarks.fidelity.search import LEAST_GAIN, Point, descend
from benchmarks.fidelity.setup import Run, engine, prepare, with_overheads

UNITS: Point = {
    "request_ms": 10.0,
    "step_us": 200.0,
    "host_layer_us": 800.0,
    "sync_us": 1.0,
    "expert_layer_us": 10.0,
    "expert_visit_ns": 10.0,
}
"""What is searched, and what a zero is lifted to."""

MOST_PERCENT = 100.0
THREADS = 2
ROUNDS = 5
"""Most points at which slopes are taken."""

SHARES = (1.0, 0.5, 0.2)
"""Of the way to what the slopes promise."""

Measured = tuple[Case, Run]


@dataclass(frozen=True)
class Score:
    """Mean absolute errors over some runs, percent."""

    runs: int
    ttft: float
    tpot: float


Part = Literal["model", "device", "group"]

PARTS: dict[Part, Callable[[Case], str]] = {
    "model": lambda case: case.model.rpartition("/")[2],
    "device": lambda case: case.device,
    "group": lambda case: case.group or case.plan,
}


def of_release(cases: Sequence[Case], release: EngineRelease, name: str) -> list[Measured]:
    """Return the cases that a release stands for, prepared; those that cannot run are left out."""
    found = []
    for case in cases:
        if case.engine["name"] != name or case.set_apart:
            continue
        asked = engine(case)
        if catalog.release(asked.name, asked.version) == release:
            try:
                found.append((case, prepare(case)))
            except (ApexError, ValueError):
                continue
    return found


def shipped(runs: Sequence[Measured]) -> Overheads:
    """Return the overheads of runs of a release as they stand; `request_ms` of clients with it."""
    return runs[0][1].part.candidate.shape.release.overheads


def predicted(runs: Sequence[Measured], overheads: Overheads) -> Array:
    """Return (n, 2) means of TTFT and TPOT of runs under these overheads, ms.

    A run that cannot be played shows nothing: zeros, which are 100 % off.
    """

    def one(pair: Measured) -> tuple[float, float]:
        case, run = pair
        try:
            values, _ = play(case, replace(run, part=with_overheads(run.part, overheads)))
        except (ApexError, EndlessRunError, ValueError):
            return 0.0, 0.0
        return values["ttft_ms"]["mean"], values["tpot_ms"]["mean"]

    with ThreadPoolExecutor(THREADS) as pool:
        return np.array(list(pool.map(one, runs)))


def errors(runs: Sequence[Measured], means: Array) -> Array:
    """Return (2,) mean absolute errors of TTFT and TPOT, percent."""
    measured = np.array([[case.measured[m]["mean"] for m in METRICS[:2]] for case, _ in runs])
    return np.minimum(100.0 * np.abs(means / measured - 1.0), MOST_PERCENT).mean(axis=0)


def score(runs: Sequence[Measured], overheads: Overheads) -> Score:
    """Return the errors of runs under these overheads."""
    ttft, tpot = errors(runs, predicted(runs, overheads))
    return Score(len(runs), float(ttft), float(tpot))


def fitted(runs: Sequence[Measured], start: Overheads) -> tuple[Overheads, Score]:
    """Return the overheads that meet runs best, found from `start`, and their errors.

    Means are nearly linear in overheads: their slopes are taken at a point, the loss that these
    promise is searched by coordinate descent, and what is found, or a part of the way there, is the
    next point, as long as the runs themselves are met better.
    """
    best = {key: float(getattr(start, key)) for key in UNITS}
    means = predicted(runs, start)
    for _ in range(ROUNDS):
        slopes = {key: _slope(runs, start, best, means, key) for key in UNITS}
        goal = _promised(runs, best, means, slopes)
        least = (1.0 - LEAST_GAIN) * errors(runs, means).sum()
        for share in SHARES:
            point = {key: best[key] + share * (goal[key] - best[key]) for key in UNITS}
            found = predicted(runs, start.model_copy(update=point))
            if errors(runs, found).sum() < least:
                break
        else:
            break
        best, means = point, found
    ttft, tpot = errors(runs, means)
    return start.model_copy(update=best), Score(len(runs), float(ttft), float(tpot))


def _slope(
    runs: Sequence[Measured], start: Overheads, point: Point, means: Array, key: str
) -> Array:
    """Return (n, 2) how means change with one overhead."""
    step = max(0.3 * point[key], 0.5 * UNITS[key])
    moved = start.model_copy(update=point | {key: point[key] + step})
    return np.asarray((predicted(runs, moved) - means) / step)


def _promised(
    runs: Sequence[Measured], start: Point, means: Array, slopes: dict[str, Array]
) -> Point:
    """Return the point of least loss where means are linear, none farther than a factor of 3."""

    def loss(point: Point) -> float:
        if any(point[key] > 3.0 * max(start[key], UNITS[key]) for key in point):
            return float("inf")
        line = means + sum((point[key] - start[key]) * slopes[key] for key in slopes)
        return float(errors(runs, np.asarray(line)).sum())

    return descend(loss, start, UNITS)


def held_out(runs: Sequence[Measured], part: Part, start: Overheads) -> Iterator[tuple[str, Score]]:
    """Yield each part's name and its errors under overheads that were fitted to the others."""
    label = PARTS[part]
    for name in sorted({label(case) for case, _ in runs}):
        others = [pair for pair in runs if label(pair[0]) != name]
        left = [pair for pair in runs if label(pair[0]) == name]
        if others:
            yield name, score(left, fitted(others, start)[0])


def report(cases: Sequence[Case], asked: str, leave_out: Part | None, every: int) -> Iterator[str]:
    """Yield the lines of a fit: errors before and after, the numbers, what was held out.

    Args:
        cases: of any engine.
        asked: `engine:version`.
        leave_out: a key of `PARTS`; None: nothing is.
        every: of the release's cases, each so many-th counts.

    Raises:
        ApexError, ValueError: there is no such release, or none of its cases can be predicted.
    """
    name, _, version = asked.partition(":")
    release = catalog.release(name, version or None)
    runs = of_release(cases, release, catalog.engine(name).name)[::every]
    if not runs:
        raise ValueError(f"no case of {name} {release.version} can be predicted")
    start = shipped(runs)
    yield line("as shipped", score(runs, start))
    best, found = fitted(runs, start)
    yield line("fitted", found)
    yield "  ".join(f"{key} = {getattr(best, key):.3g}" for key in UNITS)
    if leave_out is not None:
        for label, left in held_out(runs, leave_out, start):
            yield line(f"without {label}", left)


def line(label: str, found: Score) -> str:
    """Return a line of errors."""
    return f"{label:<40}{found.runs:>6}  TTFT {found.ttft:5.1f}  TPOT {found.tpot:5.1f}"
