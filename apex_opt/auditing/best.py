"""The best plan of a spec that can be met: the certified search, over what the judge remembers."""

from __future__ import annotations

import time

from apex_opt.auditing.judge import Judge
from apex_opt.plan.events import Listen
from apex_opt.plan.result import Result
from apex_opt.plan.search import search
from apex_opt.plan.solve import AT_ONCE, content_with, silent
from apex_opt.plan.tell import tell
from apex_opt.spec.spec import Spec


def best(
    judge: Judge, spec: Spec, seconds: float, most: int | None, listen: Listen = silent
) -> Result | None:
    """Return the best plans of a spec, proved as far as time and simulations go; None: none found.

    Args:
        judge: bounds replicas and simulates plans.
        spec: the spec.
        seconds: time for the search.
        most: simulations after which the search ends; None: no limit.
        listen: told of progress.
    """
    start = time.monotonic()
    offered, asked = judge.traffic(spec), judge.problem(spec)
    if asked is None:
        return None
    found = search(
        asked,
        lambda counts: judge.play(spec, offered, asked, counts),
        top_k=spec.search.top_k,
        time_limit_s=seconds,
        threads=AT_ONCE,
        listen=listen,
        gap=content_with(spec),
        most=most,
    )
    if not found.best:
        return None
    return tell(spec, offered, asked, found, time.monotonic() - start)
