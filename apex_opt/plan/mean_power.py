"""What work that is due by a time draws as a mean until then: no peak of power is below it.

By each deadline (`apex_opt.plan.deadlines`), and by the end of the longest stable run, some work is
done and its energy spent. `apex_opt.solvers.fleet_power` holds limits on power against that, and
what replicas draw idle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apex_opt.plan.deadlines import Deadline
from apex_opt.plan.features import FEATURES
from apex_opt.plan.objective import Traffic
from apex_opt.plan.optimistic import Optimistic
from apex_opt.solvers.fleet_data import Due
from apex_opt.spec.spec import Spec

MILLI = 1000
LEAST_S = 1e-9


@dataclass(frozen=True)
class MeanPower:
    """Means of power above idle, a row for each time.

    Attributes:
        drawn: by replica and time, what all work that is due would draw there, milliwatts.
        late_mw: by time, the most that work may draw that is late, wherever that is.
    """

    drawn: tuple[tuple[Due, ...], ...]
    late_mw: tuple[int, ...]


def mean_power(
    spec: Spec, traffic: Traffic, bounds: Sequence[Optimistic], due: Sequence[Deadline]
) -> MeanPower:
    """Return what work draws until each deadline, and until the horizon; nothing if it is open.

    Nor where limits count no peaks, nor where a rate is maximised: what is served is open then.

    Args:
        spec: its limits and objective are read.
        traffic: the requests.
        bounds: the optimistic model of each replica.
        due: deadlines before the horizon.
    """
    limits, horizon_s = spec.limits, traffic.horizon_s
    asked = limits.power_w is not None or any(p.power_w is not None for p in spec.pools)
    by_peak = limits.power_by == "peak" and limits.power_window_s is None
    if not (asked and by_peak) or horizon_s is None or spec.objective.maximize is not None:
        return MeanPower(((),) * len(bounds), ())
    present = list(traffic.features.present)
    totals = np.array(traffic.features.totals, np.float64)[present]
    joules = np.array([one.energy_j for one in bounds])[:, present] * totals
    drawn: list[list[Due]] = [[] for _ in bounds]
    all_late = []
    for time in (*due, Deadline(max(horizon_s, LEAST_S), (1.0,) * len(FEATURES))):
        kept = np.array(time.kept)[present]
        work = np.where(kept > 0, joules, 0.0) / time.window_s * MILLI
        late = work * (1 - kept)
        all_late.append(math.ceil(late.max(axis=0).sum()))
        for rows, mine, later in zip(drawn, work.tolist(), late.sum(axis=1).tolist(), strict=True):
            rows.append(Due(tuple(map(math.floor, mine)), math.ceil(later)))
    return MeanPower(tuple(map(tuple, drawn)), tuple(all_late))
