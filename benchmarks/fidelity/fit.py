"""The overheads of an engine's release, fitted to measured runs.

Steps are what tokens wait for: all overheads but the time of a request are fitted to TPOT. What
first tokens take beside the steps is then `request_ms`, fitted to TTFT; were all fitted to both at
once, first tokens that come late for another reason would be taken for slow steps.

The loss is the mean absolute error, percent; a run counts with 100 at most, so that no faulty
record draws a fit. First the runs of all releases of an engine that schedule alike are met, from
round numbers on; from there those of the release itself. Numbers that runs hardly tell of stay
where they were: what one release leaves open is told by the others. The same runs give the same
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from apex_opt.cost.curves import Array
from apex_opt.errors import ApexError
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec import catalog
from apex_opt.spec.engine import EngineRelease, Overheads
from benchmarks.fidelity.case import METRICS, Case
from benchmarks.fidelity.outcome import prepared
from benchmarks.fidelity.predict import simulate
from benchmarks.fidelity.search import LEAST_GAIN, Point, descend
from benchmarks.fidelity.setup import Run, engine, with_overheads

UNITS: Point = {
    "request_ms": 10.0,
    "step_us": 200.0,
    "host_layer_us": 800.0,
    "sync_us": 1.0,
    "expert_layer_us": 10.0,
    "expert_visit_ns": 10.0,
}
"""What is searched, and what a zero is lifted to."""

V0_UNITS: Point = {
    "request_ms": 10.0,
    "step_us": 2000.0,
    "sequence_us": 100.0,
    "eager_layer_us": 100.0,
    "sync_us": 1.0,
}
"""The same of vLLM V0, which makes each step's batch in Python once the last step is done."""

MOST_PERCENT = 100.0
THREADS = 2
ROUNDS = 5
"""Most points at which slopes are taken."""

OF_REQUESTS = "request_ms"
"""The overhead that first tokens show and steps do not."""

HELD_PERCENT = 4.0
"""By so much, over the number of models, the loss must sink for a number to move by a factor of e:
errors of the runs of one model have most in common, so that more of them are hardly more evidence.
"""

NO_OVERHEADS: Point = dict.fromkeys(Overheads.model_fields.keys() - {"source"}, 0.0)
BELIEVED = 1.3
"""No fit learns from a run whose TPOT is predicted longer by this factor with no overheads at all:
prompts hit a cache, tokens were guessed ahead, or the stated concurrency was not reached.
"""

SHARES = (1.0, 0.5, 0.2)
"""Of the way to what the slopes promise."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A prepared case, and its means of TTFT and TPOT by the overheads it was played with, ms.

    What a point does not say is as its release has it.
    """

    case: Case
    run: Run
    seen: dict[tuple[tuple[str, float], ...], tuple[float, float]] = field(default_factory=dict)

    @property
    def believed(self) -> bool:
        """Whether its tokens are not far faster than its kernels alone: else something is amiss."""
        return self.means(NO_OVERHEADS)[1] <= BELIEVED * self.case.measured["tpot_ms"]["mean"]

    @property
    def release(self) -> EngineRelease:
        """The release of the catalogue that stands for its engine."""
        asked = engine(self.case)
        return catalog.release(asked.name, asked.version)

    def shipped(self, keys: Iterable[str]) -> Point:
        """Return overheads of its release as shipped; `request_ms` of clients with it."""
        own = self.run.part.candidate.shape.release.overheads
        return {key: float(getattr(own, key)) for key in keys}

    def under(self, point: Point) -> Run:
        """Return the run with other overheads."""
        own = self.run.part.candidate.shape.release.overheads
        return replace(self.run, part=with_overheads(self.run.part, own.model_copy(update=point)))

    def means(self, point: Point) -> tuple[float, float]:
        """Return its means; zeros, which are 100 % off, where it cannot be played."""
        key = tuple(sorted(point.items()))
        if key not in self.seen:
            try:
                values, _ = simulate(self.case, self.under(point))
                ttft, tpot = (values[metric]["mean"] for metric in METRICS[:2])
            except (ApexError, EndlessRunError, ValueError):
                ttft, tpot = 0.0, 0.0
            self.seen[key] = ttft, tpot
        return self.seen[key]


@dataclass(frozen=True)
class Score:
    """Mean absolute errors over some runs, percent."""

    runs: int
    ttft: float
    tpot: float


def by_release(cases: Sequence[Case], every: int) -> dict[str, dict[str, list[Trial]]]:
    """Return each so many-th case by engine and release; none that is set apart or cannot run."""
    found: dict[str, dict[str, list[Trial]]] = {}
    for case in cases:
        run = None if case.set_apart else prepared(case)
        if isinstance(run, Run):
            trial = Trial(case, run)
            own = found.setdefault(case.engine["name"], {})
            own.setdefault(trial.release.version, []).append(trial)
    return {
        engine: {version: runs[::every] for version, runs in own.items()}
        for engine, own in found.items()
    }


def units(release: EngineRelease) -> Point:
    """Return which overheads of a release are searched, and what a zero of each is lifted to."""
    return V0_UNITS if release.scheduler == "vllm-v0" else UNITS


def predicted(runs: Sequence[Trial], point: Point) -> Array:
    """Return (n, 2) means of TTFT and TPOT of runs under these overheads, ms."""
    with ThreadPoolExecutor(THREADS) as pool:
        return np.array(list(pool.map(lambda trial: trial.means(point), runs)))


def errors(runs: Sequence[Trial], means: Array) -> Array:
    """Return (n, 2) absolute errors of TTFT and TPOT, percent."""
    measured = np.array([[t.case.measured[m]["mean"] for m in METRICS[:2]] for t in runs])
    return np.minimum(100.0 * np.abs(means / measured - 1.0), MOST_PERCENT)


def score(runs: Sequence[Trial], point: Point) -> Score:
    """Return the errors of runs under these overheads."""
    ttft, tpot = errors(runs, predicted(runs, point)).mean(axis=0)
    return Score(len(runs), float(ttft), float(tpot))


def fitted(runs: Sequence[Trial], begin: Point, searched: Point) -> Point:
    """Return the overheads that meet runs best, found from where the search begins.

    Those of steps meet TPOT, then the time of a request meets TTFT.
    """
    of_steps = {key: unit for key, unit in searched.items() if key != OF_REQUESTS}
    found = _met(runs, begin, of_steps, METRICS.index("tpot_ms"))
    return _met(runs, found, {OF_REQUESTS: searched[OF_REQUESTS]}, METRICS.index("ttft_ms"))


def _met(runs: Sequence[Trial], begin: Point, searched: Point, metric: int) -> Point:
    """Return the point that meets one metric of runs best; what is not searched stays.

    Means are nearly linear in overheads: their slopes are taken at a point, the loss that these
    promise is searched by coordinate descent, and what is found, or a part of the way there, is the
    next point, as long as the runs themselves are met better.
    """
    models = len({trial.case.model for trial in runs})

    def loss(point: Point, means: Array) -> float:
        moved = sum(
            abs(math.log((point[key] + unit) / (begin[key] + unit)))
            for key, unit in searched.items()
        )
        return float(errors(runs, means)[:, metric].mean()) + HELD_PERCENT / models * moved

    best, means = begin, predicted(runs, begin)
    for _ in range(ROUNDS):
        slopes = {key: _slope(runs, best, means, key, unit) for key, unit in searched.items()}
        goal = _promised(loss, best, means, slopes, searched)
        least = (1.0 - LEAST_GAIN) * loss(best, means)
        for share in SHARES:
            point = {key: best[key] + share * (goal[key] - best[key]) for key in best}
            found = predicted(runs, point)
            if loss(point, found) < least:
                break
        else:
            break
        best, means = point, found
    return best


def _slope(runs: Sequence[Trial], point: Point, means: Array, key: str, unit: float) -> Array:
    """Return (n, 2) how means change with one overhead."""
    step = max(0.3 * point[key], 0.5 * unit)
    moved = predicted(runs, point | {key: point[key] + step})
    return np.asarray((moved - means) / step)


def _promised(
    loss: Callable[[Point, Array], float],
    best: Point,
    means: Array,
    slopes: dict[str, Array],
    searched: Point,
) -> Point:
    """Return the point of least loss where means are linear, none farther than a factor of 3."""

    def promised(point: Point) -> float:
        if any(point[key] > 3.0 * max(best[key], searched[key]) for key in searched):
            return float("inf")
        line = means + sum((point[key] - best[key]) * slopes[key] for key in slopes)
        return loss(point, np.asarray(line))

    return descend(promised, best, searched)


def fitted_release(release: EngineRelease, seen: Mapping[str, Sequence[Trial]]) -> Point:
    """Return overheads of a release, fitted to the believed runs of its engine, then to its own.

    Args:
        release: what is searched, and the round numbers where the fit begins, follow from it.
        seen: runs of the engine by the version of their release.
    """
    found = searched = units(release)
    alike = [t for runs in seen.values() for t in runs if units(t.release) is searched]
    for runs in (alike, seen.get(release.version, ())):
        if believed := [trial for trial in runs if trial.believed]:
            found = fitted(believed, found, searched)
    return found


def report(cases: Sequence[Case], asked: str, every: int) -> Iterator[str]:
    """Yield the lines of a fit: errors before and after, the numbers.

    Args:
        cases: of any engine.
        asked: `engine:version`.
        every: of the cases of a release, each so many-th counts.

    Raises:
        ApexError, ValueError: there is no such release, or none of its cases can be predicted.
    """
    name, _, version = asked.partition(":")
    release = catalog.release(name, version or None)
    seen = by_release(cases, every).get(catalog.engine(name).name, {})
    runs = seen.get(release.version)
    if not runs:
        raise ValueError(f"no case of {name} {release.version} can be predicted")
    yield line("as shipped", score(runs, runs[0].shipped(units(release))))
    best = fitted_release(release, seen)
    yield line("fitted", score(runs, best))
    yield "  ".join(f"{key} = {value:.3g}" for key, value in best.items())


def line(label: str, found: Score) -> str:
    """Return a line of errors."""
    return f"{label:<40}{found.runs:>6}  TTFT {found.ttft:5.1f}  TPOT {found.tpot:5.1f}"
