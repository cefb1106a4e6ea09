"""Place machines so that the most tokens flow through all layers, and bound what any placement can.

1. A row of networks of machines in series and in parallel, the best there is where types and
   machines are few (`flow_table`), else by column generation (`flow_pool`). Links are ignored.
2. A bound from covers of one layer (`flow_bound`), and the proof or the doubt whether whole
   machines reach it (`flow_cover`).
3. Annealing over placements scored by their flow (`flow_anneal`), which knows the links.

With one seed and as long as no limit of time stops a search, the same call gives the same answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from apex_opt.solvers.flow_anneal import Annealing
from apex_opt.solvers.flow_blocks import Part
from apex_opt.solvers.flow_bound import CLOSE, bound
from apex_opt.solvers.flow_cover import coverable
from apex_opt.solvers.flow_data import FlowData, Placement
from apex_opt.solvers.flow_pool import Block, Pool
from apex_opt.solvers.flow_table import table, work
from apex_opt.solvers.flow_verify import throughput

TABLE_WORK = 4 * 10**9
"""Most sums and minima for which the table of all uses is made: some seconds."""
GROWTH_ROUNDS = 20
NEAR = 1e-3
"""A bound is not brought nearer than this to what could not be excluded."""
WORKERS = 2
STEPS = 200_000
"""Moves that one run of annealing tries."""
TURNS = (
    (1e-4, True, False),
    (0.005, False, True),
    (0.02, False, True),
    (0.3, False, False),
    (1e-4, True, True),
    (0.05, False, True),
)
"""Runs of annealing, in turns: heat, whether gentle, whether from the best so far or the first."""
PATIENCE = 9
"""Annealing ends after so many rounds without a better placement."""
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
        time_limit_s: for all searches together; what was begun may end a little later.
        seed: of whatever is drawn at random.
        workers: threads of the annealing.
    """
    begin = time.monotonic()
    data = _used_types(data)
    best, above = _row(data, seed, begin + PROOF_SHARE * time_limit_s)
    answer = _answer(data, best, bound(data.layers, data.rates, data.counts, above))
    answer = _prove(data, answer, begin + PROOF_SHARE * time_limit_s)
    if answer.proved:
        return answer
    until = begin + ANNEALING_SHARE * time_limit_s
    answer = _annealed(data, answer, seed, workers, until)
    return _tighten(data, answer, begin + time_limit_s)


def _used_types(data: FlowData) -> FlowData:
    """Return the same question without types of which there is no machine."""
    used = sorted(set(data.machines))
    return replace(
        data,
        rates=tuple(data.rates[t] for t in used),
        machines=tuple(used.index(t) for t in data.machines),
    )


def _answer(data: FlowData, placement: Placement, limit: float) -> FlowAnswer:
    """Return the placement with its exact flow, and the bound, which is never below it."""
    flow = float(throughput(data, placement))
    return FlowAnswer(placement, flow, max(limit, flow))


def _row(data: FlowData, seed: int, until: float) -> tuple[Placement, float]:
    """Return a row of networks of machines, and what it carries where links carry anything."""
    if work(data.layers, data.counts) <= TABLE_WORK:
        best = table(data.layers, data.rates, data.counts)
        everything = best.rate.shape[1] - 1
        rate = float(best.rate[data.layers, everything])
        parts = [*best.parts(data.layers, everything)]
    else:
        rate, parts = _generated(data, seed, until)
    return _placed(data, parts), rate


def _generated(data: FlowData, seed: int, until: float) -> tuple[float, list[Part]]:
    """Close in on the greatest rate for which blocks in a row are found; none may be."""
    pool = Pool(data.layers, data.rates, data.counts, seed)
    low, high = 0.0, bound(data.layers, data.rates, data.counts, 0.0)
    parts: list[Part] = []
    asked = 0.8 * high
    while high - low > CLOSE * high and time.monotonic() < until:
        pool.grow(asked, GROWTH_ROUNDS)
        if found := pool.best(low):
            low, row = found
            parts = [*_in_a_row(row)]
        if low < asked:
            high = asked
        asked = (low + high) / 2 if low else high / 2
    return low, parts


def _in_a_row(row: list[Block]) -> Iterator[Part]:
    """Yield the machines of blocks that stand one after the other."""
    at = 0
    for block in row:
        for kind, first, last in block.parts:
            yield kind, at + first, at + last
        at += block.length


def _placed(data: FlowData, parts: list[Part]) -> Placement:
    """Give each part a machine of its type; machines that are left stand at the first layers."""
    placement = [(0, data.holds(i)) for i in range(len(data.machines))]
    free = {
        t: iter([i for i, kind in enumerate(data.machines) if kind == t])
        for t in range(len(data.rates))
    }
    for kind, first, last in parts:
        placement[next(free[kind])] = first, last
    return tuple(placement)


def _prove(data: FlowData, answer: FlowAnswer, until: float) -> FlowAnswer:
    """Return the answer with a bound that proves it, if that is found in time."""
    left = until - time.monotonic()
    just = answer.throughput * (1 + CLOSE)
    if answer.proved or left <= 0 or not answer.throughput:
        return answer
    if coverable(data.layers, data.rates, data.counts, just, left) == "no":
        return replace(answer, bound=just)
    return answer


def _annealed(
    data: FlowData, answer: FlowAnswer, seed: int, workers: int, until: float
) -> FlowAnswer:
    """Return the answer with the best placement that annealing finds.

    Workers take turns of `TURNS`, so that a gentle one, which only asks which machine of a type
    stands where, comes first.
    """
    annealing = Annealing(data, answer.bound)
    first, best, flow = answer.placement, answer.placement, answer.throughput
    lost, begun = 0, 0
    with ThreadPoolExecutor(workers) as pool:
        while lost < PATIENCE and time.monotonic() < until and flow < answer.bound * (1 - CLOSE):
            runs = []
            for turn in range(begun, begun + workers):
                heat, gentle, further = TURNS[turn % len(TURNS)]
                start, number = best if further else first, seed * 10**6 + turn
                runs.append(pool.submit(annealing.run, start, STEPS, heat, number, gentle=gentle))
            begun += workers
            found, placement = max(run.result() for run in runs)
            lost += 1
            if found > flow * (1 + CLOSE):
                flow, best, lost = found, placement, 0
    return _answer(data, best, answer.bound)


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
