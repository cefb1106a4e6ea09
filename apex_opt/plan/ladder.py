"""The same traffic at other loads: faster, or from more clients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from apex_opt.errors import CallError
from apex_opt.plan.highest import Between
from apex_opt.sim.load import Load
from apex_opt.trace.traffic import Traffic

STEP = 1.5
"""From one load of a grid to the next."""
REACH = 64.0
"""A grid of rates goes from this much below to this much above what is worked off at once."""


@dataclass(frozen=True)
class Ladder:
    """Loads that may be played.

    Attributes:
        own: the load of the traffic itself: requests a second, or clients.
        grid: loads, ascending, from one so low that requests hardly meet.
        between: where to look between two of them.
        at: the requests of a load.
    """

    own: float
    grid: tuple[float, ...]
    between: Between
    at: Callable[[float], Load]


def at_once(load: Load) -> Load:
    """Return the same requests, the first of all sessions at the start."""
    return replace(load, arrival_ns=np.zeros_like(load.arrival_ns))


def rates(offered: Traffic, worked_off_rps: float, tolerance: float) -> Ladder:
    """Return rates of an open loop, requests a second; rates differ by nothing but time.

    Args:
        offered: the traffic.
        worked_off_rps: the rate at which a plan works it off when all comes at once.
        tolerance: rates that differ by this share are near enough.

    Raises:
        CallError: the traffic has no rate.
    """
    own = offered.rate_rps
    if own is None:
        raise CallError("workload: all requests come at once: there is no rate to change")
    load, lowest = offered.load, (worked_off_rps or own) / REACH
    steps = math.ceil(2 * math.log(REACH) / math.log(STEP))

    def between(good: float, bad: float) -> float | None:
        return math.sqrt(good * bad) if bad > good * (1 + tolerance) else None

    def at(rate: float) -> Load:
        times = np.rint(load.arrival_ns * (own / rate)).astype(np.int64)
        return replace(load, arrival_ns=times)

    return Ladder(own, tuple(lowest * STEP**k for k in range(steps + 1)), between, at)


def clients(offered: Traffic, tolerance: float) -> Ladder:
    """Return numbers of clients of a closed loop, up to one for each request, or session."""
    load, most = offered.load, len(offered.load.opens)

    def between(good: float, bad: float) -> float | None:
        near = bad - good <= max(1.0, tolerance * good)
        return None if near else float((int(good) + int(bad)) // 2)

    def at(number: float) -> Load:
        return replace(load, concurrency=int(number))

    return Ladder(float(load.concurrency), tuple(_whole_steps(most)), between, at)


def _whole_steps(most: int) -> Iterator[float]:
    """Yield whole numbers from 1 to `most`, each the next above `STEP` times the one before."""
    number = 1
    while number < most:
        yield float(number)
        number = math.ceil(number * STEP)
    yield float(most)
