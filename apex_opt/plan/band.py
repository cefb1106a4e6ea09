"""The band of a prediction: the plan is played again, with all its steps faster and slower.

Nine in ten measured runs are expected between the two ends. At each, every step takes longer, or
shorter, by the half-width of the time of its kind of replica: what queues near saturation grows by
more than the steps, and only playing it says by how much. First tokens are then moved further where
TTFT of the engine is known less well than its steps are. Steps of all replicas err to the same
side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from apex_opt.cost.rates import power_limit_w
from apex_opt.plan.check import checks
from apex_opt.plan.grounds import Widths, widths
from apex_opt.plan.predict import Pace, Played, Run, play_parts, predict
from apex_opt.plan.result import Band, Check, End, Ground, Prediction, Statistics
from apex_opt.plan.use import Part
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, Log
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec.spec import Spec

WATTS = ("power_mean_w", "power_peak_w")
Pick = Callable[[Iterable[float]], float]


def banded(spec: Spec, load: Load, played: Played, threads: int = 1) -> Played:
    """Return a simulated plan with the band of its prediction, and which of its levels are sure.

    The same of what is left of it without its spare replicas. Where a plan does not end at other
    paces, it has no band, and none of its levels is sure.

    Args:
        spec: its service levels are read.
        load: the requests.
        played: what they met on the plan.
        threads: see `Run`.
    """
    lost = None if played.lost is None else banded(spec, load, played.lost, threads)
    known = [widths(part, did) for part, did in zip(played.parts, played.did, strict=True)]
    try:
        ends = [_end(spec, load, played, known, threads, sign) for sign in (-1, 1)]
    except EndlessRunError:
        unsure = (check.model_copy(update={"sure": False}) for check in played.checks)
        return replace(played, checks=tuple(unsure), lost=lost)
    found = [played.prediction, *ends]
    band = Band(low=_end_of(found, min), high=_end_of(found, max), rests_on=_grounds(known))
    told = [checks(spec, end) for end in ends]
    return replace(
        played,
        prediction=played.prediction.model_copy(update={"band": band}),
        checks=tuple(map(_sure, played.checks, *told)),
        lost=lost,
    )


def _end(
    spec: Spec, load: Load, played: Played, known: Sequence[Widths], threads: int, sign: int
) -> Prediction:
    """Return the prediction where everything takes longer (`sign` 1) or shorter (-1)."""
    paces = tuple(Pace((1 + w.tpot) ** sign, (1 + w.power) ** sign) for w in known)
    log = play_parts(spec, load, played.parts, Run(played.router, threads, paces=paces))
    mean_ms = predict(spec, load, played.parts, log).ttft_ms.mean
    aim_ms = played.prediction.ttft_ms.mean * (1 + max(w.ttft for w in known)) ** sign
    short = sign * (aim_ms - mean_ms) > 0 and mean_ms > 0
    moved = replace(log, log=first_moved(log.log, aim_ms / mean_ms)) if short else log
    return _capped(predict(spec, load, played.parts, moved), played.parts)


def first_moved(log: Log, factor: float) -> Log:
    """Return a log in which first tokens come so many times as late, and all others with them."""
    by = np.where(log.status == DONE, (factor - 1) * (log.first_ns - log.arrival_ns), 0.0)
    delay_ns = np.rint(by).astype(np.int64)
    return replace(log, first_ns=log.first_ns + delay_ns, last_ns=log.last_ns + delay_ns)


def _capped(found: Prediction, parts: Sequence[Part]) -> Prediction:
    """Return a prediction that draws no more than its devices can."""
    shapes = [(p.count, p.candidate.shape) for p in parts]
    most = sum(
        count * stages * shape.stage_devices * power_limit_w(pool)
        for count, shape in shapes
        for pool, stages in shape.pools()
    )
    return found.model_copy(update={name: min(getattr(found, name), most) for name in WATTS})


def _end_of(found: Sequence[Prediction], pick: Pick) -> End:
    """Return the least, or the most, of every figure over some predictions."""

    def values(name: str) -> float | Statistics:
        every = [getattr(one, name) for one in found]
        if not isinstance(every[0], Statistics):
            return pick(every)
        fields = Statistics.model_fields
        return Statistics(**{field: pick(getattr(s, field) for s in every) for field in fields})

    return End.model_validate({name: values(name) for name in End.model_fields})


def _grounds(known: Sequence[Widths]) -> tuple[Ground, ...]:
    """Return what the deployments of a plan rest on, each ground once."""
    return tuple(dict.fromkeys(ground for one in known for ground in one.grounds))


def _sure(check: Check, *ends: Check) -> Check:
    """Return a level with whether both ends say what the prediction says."""
    return check.model_copy(update={"sure": all(end.met == check.met for end in ends)})
