"""Placements as rows of blocks: a block is a network of machines that carries the whole flow.

Blocks stand one after the other; each has a length, a use of machines of each type and a rate. For
a given rate F, blocks are found by column generation: the linear programme

    min  theta
    s.t. sum_b u[b,t] z[b] <= n[t] theta      t in kinds       dual: price of a machine
         sum_b m[b] z[b] = L
         z >= 0

over the blocks found so far that carry F prices machines; the cheapest networks at these prices are
new blocks. From all that were found, whole numbers z with theta <= 1 make a placement. A block
stands in one site; links between sites ask for some behind gates (`flow_trail`).

Source: P. C. Gilmore, R. E. Gomory, "A linear programming approach to the cutting-stock problem",
Operations Research 9, 1961. Blocks of machines in series and in parallel are our own.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator

import numpy as np
from ortools.math_opt.python import mathopt
from ortools.sat.python.cp_model import FEASIBLE, OPTIMAL, CpSolver

from apex_opt.solvers.flow_blocks import SERIES, Floats, Ints, behind, cheapest
from apex_opt.solvers.flow_sites import ANYWHERE, Sites
from apex_opt.solvers.flow_trail import Block, trail

STEPS = 600
"""Rates are rounded to this fraction of the whole flow while blocks are sought. Their real rate is
kept, so that only what is found depends on it."""
TINY_PRICE = 1e-7
IDLE_ROUNDS = 6
EFFORT = 2.0
"""Most that one search for whole numbers of blocks may take, in the solver's count of work."""


class Pool:
    """The blocks found so far for a model of `layers` layers.

    Args:
        layers: of the model.
        sites: machines by kind, and where they stand.
        seed: of the noise on prices, which brings blocks that no one price would.
    """

    def __init__(self, layers: int, sites: Sites, seed: int = 0) -> None:
        self.layers, self.sites = layers, sites
        self._random = random.Random(seed)
        self._found: dict[tuple[int, tuple[int, ...], float], Block] = {}

    def carrying(self, rate: float) -> list[Block]:
        """Return the blocks that carry `rate`."""
        return [block for block in self._found.values() if block.rate >= rate]

    def grow(self, rate: float, rounds: int, until: float = math.inf) -> float:
        """Add blocks that carry `rate`; return the least theta of those there are.

        Above 1 no placement that is made of these blocks carries `rate`.

        Args:
            rate: tokens a second.
            rounds: how often prices are found and blocks at them, once at least; it ends sooner
                where several in turn bring nothing new.
            until: when to stop, on the monotonic clock.
        """
        theta, price, idle = float("inf"), 1.0 / np.array(self.sites.counts, float), 0
        for _ in range(rounds):
            new = sum(self._add(rate, price, up) for up in (False, True))
            theta, dual = self._relax(rate)
            noise = 0.05 if new else 0.4
            factors = np.array([self._random.gauss(0.0, noise) for _ in self.sites.counts])
            price = dual * np.exp(factors)
            idle = 0 if new else idle + 1
            if idle == IDLE_ROUNDS or time.monotonic() >= until:
                break
        return theta

    def _add(self, rate: float, price: Floats, up: bool) -> int:
        """Add the cheapest blocks of each length at these prices; return how many are new.

        Rates are rounded down, or `up`: then blocks that only seem to carry `rate` are left out.
        """
        longest = min(self.layers, max(map(len, self.sites.rates)))
        steps = np.zeros((len(self.sites.rates), longest), np.int64)
        for t, row in enumerate(self.sites.rates):
            exact = np.array(row[:longest]) * (STEPS / rate)
            steps[t, : len(row)] = np.ceil(exact) if up else np.floor(exact * (1 + 1e-12))
        steps, new = np.minimum(steps, STEPS), 0
        for site in dict.fromkeys(self.sites.of):
            for block in self._blocks(site, price, steps, rate):
                key = block.length, block.use, block.gate
                known = self._found.get(key)
                if block.rate >= rate and (known is None or known.rate < block.rate):
                    self._found[key] = block
                    new += 1
        return new

    def _blocks(self, site: int, price: Floats, steps: Ints, rate: float) -> Iterator[Block]:
        """Yield the cheapest blocks of each length at a site, without and with each gate."""
        also, kinds = self.sites.also, [k for k, at in enumerate(self.sites.of) if at == site]
        rates = [self.sites.rates[k] for k in kinds]
        plain = cheapest(self.layers, STEPS, price[kinds], steps[kinds])
        tables = [plain]
        for gate in self.sites.gates(site, rate) if site != ANYWHERE else ():
            least = math.floor(gate / rate * STEPS * (1 + 1e-12))
            tables.append(behind(plain, price[kinds], np.minimum(steps[kinds], least), gate))
        for table in tables:
            for m in range(1, len(table.cost)):
                if np.isinf(table.cost[m, STEPS]) or table.how[m, STEPS] == SERIES:
                    continue
                parts = tuple((kinds[t], first, last) for t, first, last in table.parts(m, STEPS))
                uses = [k in {kind, also[kind]} for kind, _, _ in parts for k in range(len(also))]
                use = tuple(sum(uses[k :: len(also)]) for k in range(len(also)))
                if all(u <= n for u, n in zip(use, self.sites.counts, strict=True)):
                    yield Block(m, table.rate(m, STEPS, rates), use, parts, site, table.gate)

    def _relax(self, rate: float) -> tuple[float, Floats]:
        """Return the least theta and the prices; where there is none, infinity and any prices."""
        blocks = self.carrying(rate)
        model = mathopt.Model()
        z = [model.add_variable(lb=0.0) for _ in blocks]
        theta = model.add_variable(lb=0.0)
        rows = [
            model.add_linear_constraint(
                mathopt.fast_sum([b.use[t] * x for b, x in zip(blocks, z, strict=True)])
                <= n * theta
            )
            for t, n in enumerate(self.sites.counts)
        ]
        lengths = mathopt.fast_sum([b.length * x for b, x in zip(blocks, z, strict=True)])
        model.add_linear_constraint(lengths == self.layers)
        model.minimize(theta)
        result = mathopt.solve(model, mathopt.SolverType.GLOP)
        if result.termination.reason != mathopt.TerminationReason.OPTIMAL:
            spread = [self._random.random() for _ in self.sites.counts]
            return float("inf"), (0.1 + np.array(spread)) / np.array(self.sites.counts)
        duals = result.dual_values()
        own = np.array([max(-duals[row], TINY_PRICE) for row in rows])
        also = np.array(self.sites.also)
        shared = np.where(also == np.arange(len(also)), 0.0, own[also])
        return result.objective_value(), own + shared

    def row(self, rate: float) -> list[Block] | None:
        """Return blocks that carry `rate` and hold all layers with the machines there are."""
        blocks = self.carrying(rate)
        t = trail(blocks, [self._most(block) for block in blocks], self.sites, rate)
        t.model.add(t.totals([block.length for block in blocks]) == self.layers)
        for kind, n in enumerate(self.sites.counts):
            t.model.add(t.totals([block.use[kind] for block in blocks]) <= n)
        solver = CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_deterministic_time = EFFORT
        if solver.solve(t.model) not in (OPTIMAL, FEASIBLE):
            return None
        value = [[solver.value(x) for x in role] for role in t.z]
        return [*t.row(value, [solver.boolean_value(x) for *_, x in t.arcs])]

    def _most(self, block: Block) -> int:
        """Return how often a block can stand in a row."""
        uses = zip(self.sites.counts, block.use, strict=True)
        return min(self.layers // block.length, *(n // u for n, u in uses if u))

    def best(self, above: float) -> tuple[float, list[Block]] | None:
        """Return the greatest rate that a row of the blocks carries, and the row; None if none.

        Args:
            above: it must be greater than this.
        """
        rates = sorted({block.rate for block in self._found.values() if block.rate > above})
        found = None
        low, high = 0, len(rates)
        while low < high:
            middle = (low + high) // 2
            row = self.row(rates[middle])
            if row is None:
                high = middle
            else:
                found = min(block.rate for block in row), row
                low = middle + 1
        return found
