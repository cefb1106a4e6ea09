"""A case and what became of it: predicted, or not and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from apex_opt.cost.drawn import Drawn
from apex_opt.cost.shape import Shape
from apex_opt.errors import ApexError
from apex_opt.sim.replica import EndlessRunError
from benchmarks.fidelity.case import Case
from benchmarks.fidelity.coverage import Factors
from benchmarks.fidelity.predict import Values, play
from benchmarks.fidelity.setup import Run, prepare


@dataclass(frozen=True)
class Outcome:
    """A case and its prediction.

    Attributes:
        case: as measured.
        predicted: by metric and statistic, ms; None: it could not be predicted.
        reason: why not.
        weights: weight format.
        requests: how many were simulated.
        output_tokens: mean of a request.
        band: both ends of each mean, over its prediction.
        shape: the replica that was simulated.
    """

    case: Case
    predicted: Values | None = None
    reason: str = ""
    weights: str = ""
    requests: int = 0
    output_tokens: float = 0.0
    band: Factors = field(default_factory=dict)
    shape: Shape | None = None

    def inside(self, metric: str) -> bool | None:
        """Return whether the measured mean lies within the band; None where either is missing."""
        measured, ends = self.case.mean(metric), self.band.get(metric)
        if self.predicted is None or not measured or ends is None:
            return None
        return ends[0] <= measured / self.predicted[metric]["mean"] <= ends[1]

    def error(self, metric: str, statistic: str = "mean") -> float | None:
        """Return predicted less measured, in percent of measured; None where either is missing."""
        measured = self.case.measured.get(metric, {}).get(statistic)
        if self.predicted is None or not measured:
            return None
        return 100.0 * (self.predicted[metric][statistic] / measured - 1.0)


def outcomes(cases: Sequence[Case]) -> list[Outcome]:
    """Return what becomes of cases, in their order."""
    found: dict[int, Outcome] = {}
    ready: list[tuple[int, Run]] = []
    for number, case in enumerate(cases):
        run = prepared(case)
        if isinstance(run, Outcome):
            found[number] = run
        else:
            ready.append((number, run))
    for number, run in _alike_together(ready):
        found[number] = outcome(cases[number], run)
    return [found[number] for number in range(len(cases))]


def prepared(case: Case) -> Run | Outcome:
    """Return what is simulated for a case, or why it is not predicted."""
    try:
        return prepare(case)
    except Exception as why:  # noqa: BLE001
        return Outcome(case, reason=_told(why))


def outcome(case: Case, run: Run) -> Outcome:
    """Return what becomes of a prepared case."""
    try:
        values, band = play(case, run)
    except Exception as why:  # noqa: BLE001
        return Outcome(case, reason=_told(why))
    shape, load = run.part.candidate.shape, run.load
    mean = float(load.output_tokens.mean())
    return Outcome(case, values, "", shape.weights.name, len(load), mean, band, shape)


def _told(why: Exception) -> str:
    """Return why a case is not predicted; what nobody foresaw with its type, and others go on."""
    foreseen = isinstance(why, ApexError | EndlessRunError | ValueError)
    return str(why) if foreseen else f"{type(why).__name__}: {why}"


def _alike_together(ready: list[tuple[int, Run]]) -> Iterator[tuple[int, Run]]:
    """Yield runs such that those with one step table, of which few are kept, follow each other."""
    alike: dict[Drawn, list[tuple[int, Run]]] = {}
    for number, run in ready:
        alike.setdefault(Drawn(run.part.candidate.shape), []).append((number, run))
    for same in alike.values():
        yield from same
