"""Power as limits count it: at the peak, as a mean over a window, or what devices may draw at most.

Devices of a cluster that serves seldom draw their most at the same time, so limits hold more of
them than the sum of what they are rated for would. The peak is the sum of what the replicas draw at
their own peaks, which need not coincide: it bounds the plan's. Breakers and supplies stand more
than they are rated for as long as it is short: over a window the mean counts, all replicas together
at the same time.

Source: P. Patel et al., "Characterizing Power Management Opportunities for LLMs in the Cloud"
(POLCA), ASPLOS 2024: peaks of inference are short and rarely fall together, which leaves room for
some 30 % more servers under the same limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apex_opt.cost.rates import most_w, standing_w
from apex_opt.cost.shape import Shape
from apex_opt.plan.levels import NS_PER_S, drain_limit_s
from apex_opt.plan.timeline import carried
from apex_opt.plan.use import Part, peak_in_w, peaks_w
from apex_opt.sim.line import Line
from apex_opt.sim.load import Load
from apex_opt.sim.member import FleetLog
from apex_opt.sim.state import JOULES
from apex_opt.sim.steps import Float64
from apex_opt.spec.spec import Spec

FINE = 8
"""Rows of the time line in a window, at least, where `MOST_ROWS` allow it."""

MOST_ROWS = 1 << 20
"""Rows of all replicas together: 64 bytes each."""


@dataclass(frozen=True)
class Power:
    """What the parts of a plan draw, as its limits count it.

    Attributes:
        parts: the deployments.
        drawn_w: of each, one value or one for each moment, the same moments for all.
    """

    parts: tuple[Part, ...]
    drawn_w: tuple[Float64, ...]

    @property
    def total_w(self) -> float:
        """The most that the whole plan draws at one moment."""
        return float(np.max(np.sum(self.drawn_w, axis=0)))

    def in_pool_w(self, pool: int) -> float:
        """Return the most that the plan draws in the pool of this number at one moment."""
        each = [
            np.array([peak_in_w(part, watts, pool) for watts in drawn.tolist()])
            for part, drawn in zip(self.parts, self.drawn_w, strict=True)
        ]
        return float(np.max(np.sum(each, axis=0)))


def counted(spec: Spec, parts: Sequence[Part], played: FleetLog) -> Power:
    """Return what a simulated plan draws as `limits.power_by` and `power_window_s` count it.

    Where a window is too short for the rows of the time line the peak counts, which is no less.
    """
    drawn = [np.array([watts]) for watts in peaks_w(parts, played.members)]
    if spec.limits.power_by == "rated":
        drawn = [np.array([rated_w(part)]) for part in parts]
    elif spec.limits.power_window_s is not None:
        means = [
            _means_w(part, line, spec.limits.power_window_s * NS_PER_S)
            for part, line in zip(parts, played.lines, strict=True)
        ]
        if all(len(watts) for watts in means):
            drawn = means
    return Power(tuple(parts), tuple(drawn))


def rated_w(part: Part) -> float:
    """Return the most that all devices of a part may draw, with their nodes and the facility.

    Raises:
        ValueError: as `apex_opt.cost.rates.most_w`.
    """
    shape = part.candidate.shape
    each = sum(stages * shape.stage_devices * most_w(pool) for pool, stages in shape.pools())
    return part.count * each


def least_w(spec: Spec, shape: Shape) -> tuple[float, ...]:
    """Return what limits count of a replica at the least, in each of its pools, watts."""
    each = most_w if spec.limits.power_by == "rated" else standing_w
    return tuple(stages * shape.stage_devices * each(pool) for pool, stages in shape.pools())


def rows_for(spec: Spec, load: Load, replicas: int) -> int:
    """Return how many rows of the time line a window asks for; even; 0 where none is asked for.

    Rows double in width until they hold the run, so that half of them may be in use.
    """
    window_s = spec.limits.power_window_s
    if window_s is None or spec.limits.power_by == "rated":
        return 0
    span_s = float(load.arrival_ns.max() - load.arrival_ns.min()) / NS_PER_S
    longest_s = span_s + drain_limit_s(spec.slo, span_s, int(load.output_tokens.max()))
    return 2 * min(math.ceil(FINE * longest_s / window_s) + 1, MOST_ROWS // (2 * replicas))


def _means_w(part: Part, line: Line, window_ns: float) -> Float64:
    """Return the mean power of a part over the window that begins at each row of its time line.

    Windows are rounded down to whole rows; nothing where not even two of them fit.
    """
    rows = int(window_ns // line.tick_ns) if line.tick_ns else 0
    if rows < 2:
        return np.empty(0)
    flights = part.count * part.ranks * part.candidate.shape.pipeline
    joules = carried(line.tracks, float(flights * line.tick_ns))[:, JOULES]
    sums = np.concatenate([[0.0], np.cumsum(joules)])
    rows = min(rows, len(joules))
    window_s = rows * line.tick_ns / NS_PER_S
    return np.asarray(part.idle_w + (sums[rows:] - sums[:-rows]) / window_s)
