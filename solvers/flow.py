"""Place machines so that the most tokens flow through all layers, and bound what any placement can.

1. A row of networks of machines in series and in parallel, the best there is where types and
   machines are few (`flow_table`), else by column generation (`flow_pool`). It crosses slow
   links between sites by as many machines as they ask for (`flow_sites`, `flow_trail`).
2. A bound from covers of one layer (`flow_bound`) and from links (`flow_cut`), and the proof or the
   doubt whether whole machines reach it (`flow_cover`).
3. Annealing over placements scored by their flow (`flow_anneal`), which knows the links.

With one seed and as long as no limit of time stops a search, the same call gives the same answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache

from apex_opt.solvers.flow_anneal import Annealing
from apex_opt.solvers.flow_bound import CLOSE, bound
from apex_opt.solvers.flow_cover import coverable
from apex_opt.solvers.flow_cut import capped, cut_bound
from apex_opt.solvers.flow_data import FlowData, Placement
from apex_opt.solvers.flow_improve import improved
from apex_opt.solvers.flow_rows import another_row, best_row
from apex_opt.solvers.flow_verify import throughput

WORKERS = 2
NEAR = 1e-3
"""A bound is not brought nearer than this to what could not be excluded."""
PROOF_SHARE, ANNEALING_SHARE = 0.2, 0.7
"""Of the time: when the first try at a proof ends, and when annealing ends."""


@dataclass(frozen=True)
class FlowAnswer:
    """What was found. Rates are in tokens a second.

    Attributes:
        placement: the interval of each machine; those that carry nothing have one too.
        throughput: what flows through it.
        bound: no placement carries more.
        proved: whether the two are the same, to a millionth.
    """

    placement: Placement
    throughput: float
    bound: float

    @property
    def proved(self) -> bool:
        """Whether no placement carries more, but for a millionth."""
        return self.bound <= self.throughput * (1 + 2 * CLOSE)


def solve(
    data: FlowData, *, time_limit_s: float = 60.0, seed: int = 0, workers: int = WORKERS
) -> FlowAnswer:
    """Return the best placement found, and a bound on all.

    Args:
        data: machines and links.
        time_limit_s: for all searches together; what was begun may end a little later, and
            compiling, where that was not done before, does not count.
        seed: of whatever is drawn at random.
        workers: threads of the annealing.
    """
    compile_all()
    begin = time.monotonic()
    tight = capped(data)
    limit = cut_bound(tight, bound(tight.layers, tight.rates, tight.counts, 0.0))
    best = best_row(tight, limit, seed, begin + PROOF_SHARE * time_limit_s)
    answer = _answer(data, best, 0.0)
    closer = bound(tight.layers, tight.rates, tight.counts, answer.throughput)
    answer = replace(answer, bound=max(min(limit, closer), answer.throughput))
    answer = _prove(tight, answer, begin + PROOF_SHARE * time_limit_s)
    if answer.proved:
        return answer
    until = begin + ANNEALING_SHARE * time_limit_s
    better = improved(tight, answer.placement, answer.bound, until, seed=seed, workers=workers)
    answer = _answer(data, better, answer.bound)
    return _tighten(tight, answer, begin + time_limit_s)


@cache
def compile_all() -> None:
    """Compile the functions that searches call, or load them: a question of two machines."""
    links = ((0.0, 9.0), (9.0, 0.0))
    data = FlowData(2, ((2.0, 1.0), (1.0,)), (0, 1), (9.0, 9.0), (9.0, 9.0), links)
    best = best_row(data, 1.0, 0, float("inf"))
    another_row(data, 9.0, 1.0, 0)
    another_row(data, 10.0, 1.0, 0)
    bound(data.layers, data.rates, data.counts, 1.0)
    Annealing(data, 2.0).run(best, 1, 1.0, 0)


def _answer(data: FlowData, placement: Placement, limit: float) -> FlowAnswer:
    """Return the placement with its exact flow, and the bound, which is never below it."""
    flow = float(throughput(data, placement))
    return FlowAnswer(placement, flow, max(limit, flow))


def _prove(data: FlowData, answer: FlowAnswer, until: float) -> FlowAnswer:
    """Return the answer with a bound that proves it, if that is found in time."""
    left = until - time.monotonic()
    just = answer.throughput * (1 + CLOSE)
    if answer.proved or left <= 0 or not answer.throughput:
        return answer
    if coverable(data.layers, data.rates, data.counts, just, left) == "no":
        return replace(answer, bound=just)
    return answer


def _tighten(data: FlowData, answer: FlowAnswer, until: float) -> FlowAnswer:
    """Return the answer with the least bound that is found in time."""
    answer = _prove(data, answer, (time.monotonic() + until) / 2)
    low = answer.throughput
    while not answer.proved and answer.bound - low > NEAR * low:
        middle = (low + answer.bound) / 2
        left = (until - time.monotonic()) / 3
        if left <= 0:
            break
        if coverable(data.layers, data.rates, data.counts, middle, left) == "no":
            answer = replace(answer, bound=middle)
        else:
            low = middle
    return answer
