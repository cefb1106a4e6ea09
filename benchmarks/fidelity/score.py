"""Errors of predictions in percent, and whether plans are ranked as measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median
from typing import NamedTuple

from benchmarks.fidelity.outcome import Outcome

CLOSE = 0.03
"""Plans whose measured times differ by less, relatively, have no order: replicas of one run differ
by as much.
"""


class Errors(NamedTuple):
    """Errors of one figure over some runs, percent."""

    runs: int
    mean: float
    median: float
    bias: float


def errors(rows: Iterable[Outcome], metric: str, statistic: str = "mean") -> Errors | None:
    """Return the errors of a figure; None where no row has it."""
    found = [error for row in rows if (error := row.error(metric, statistic)) is not None]
    if not found:
        return None
    sizes = [abs(error) for error in found]
    return Errors(len(found), fmean(sizes), median(sizes), fmean(found))


@dataclass
class _Plan:
    """Sums over the requests of a plan: output tokens, measured and predicted E2E in ms."""

    tokens: float = 0.0
    measured: float = 0.0
    predicted: float = 0.0

    def add(self, row: Outcome, predicted: float) -> None:
        self.tokens += row.requests * row.output_tokens
        self.measured += row.requests * row.case.measured["e2e_ms"]["mean"]
        self.predicted += row.requests * predicted


def rank_agreement(rows: Sequence[Outcome]) -> float | None:
    """Return the share of pairs of plans that are ordered as measured; None without pairs.

    Plans are compared within a group by E2E per output token, over the means of their runs weighted
    by requests. Pairs that are measured closer than 3 % are left out.
    """
    groups: dict[str, dict[str, _Plan]] = {}
    for row in rows:
        if row.case.group is None or row.predicted is None or row.case.mean("e2e_ms") is None:
            continue
        plan = groups.setdefault(row.case.group, {}).setdefault(row.case.plan, _Plan())
        plan.add(row, row.predicted["e2e_ms"]["mean"])
    kept: list[bool] = []
    for plans in groups.values():
        for one, other in combinations(plans.values(), 2):
            measured = one.measured / one.tokens, other.measured / other.tokens
            predicted = one.predicted / one.tokens, other.predicted / other.tokens
            if max(measured) > (1 + CLOSE) * min(measured):
                kept.append((measured[0] < measured[1]) == (predicted[0] < predicted[1]))
    return fmean(kept) if kept else None
