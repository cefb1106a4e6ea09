"""Placements as rows of blocks: a block is a network of machines that carries the whole flow.

Blocks stand one after the other; each has a length, a use of machines of each type and a rate. For
a given rate F, blocks are found by column generation: the linear programme

    min  theta
    s.t. sum_b u[b,t] z[b] <= n[t] theta      t in types       dual: price of a machine
         sum_b m[b] z[b] = L
         z >= 0

over the blocks found so far that carry F prices machines; the cheapest networks at these prices are
new blocks. From all that were found, whole numbers z with theta <= 1 make a placement.

Source: P. C. Gilmore, R. E. Gomory, "A linear programming approach to the cutting-stock problem",
Operations Research 9, 1961. Blocks of machines in series and in parallel are our own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt
from ortools.sat.python.cp_model import FEASIBLE, OPTIMAL, CpModel, CpSolver, LinearExpr

from apex_opt.solvers.flow_blocks import SERIES, Blocks, Floats, Part, cheapest

STEPS = 600
"""Rates are rounded to this fraction of the whole flow while blocks are sought. Their real rate is
kept, so that only what is found depends on it."""
TINY_PRICE = 1e-7
EFFORT = 2.0
"""Most that one search for whole numbers of blocks may take, in the solver's count of work."""


@dataclass(frozen=True)
class Block:
    """A network of machines that holds `length` layers and carries `rate` tokens a second.

    Attributes:
        length: layers.
        rate: tokens a second.
        use: [type], machines that it takes.
        parts: its machines.
    """

    length: int
    rate: float
    use: tuple[int, ...]
    parts: tuple[Part, ...]


class Pool:
    """The blocks found so far for a model of `layers` layers.

    Args:
        layers: of the model.
        rates: [type][k - 1], what a machine carries that holds k layers, tokens a second.
        counts: [type], machines.
        seed: of the noise on prices, which brings blocks that no one price would.
    """

    def __init__(
        self,
        layers: int,
        rates: Sequence[Sequence[float]],
        counts: Sequence[int],
        seed: int = 0,
    ) -> None:
        self.layers, self.rates, self.counts = layers, rates, counts
        self._random = random.Random(seed)
        self._found: dict[tuple[int, tuple[int, ...]], Block] = {}

    def carrying(self, rate: float) -> list[Block]:
        """Return the blocks that carry `rate`."""
        return [block for block in self._found.values() if block.rate >= rate]

    def grow(self, rate: float, rounds: int) -> float:
        """Add blocks that carry `rate`; return the least theta of those there are.

        Above 1 no placement that is made of these blocks carries `rate`.
        """
        theta, price = float("inf"), 1.0 / np.array(self.counts, float)
        for _ in range(rounds):
            new = sum(self._add(rate, price, up) for up in (False, True))
            theta, dual = self._relax(rate)
            noise = 0.05 if new else 0.4
            factors = np.array([self._random.gauss(0.0, noise) for _ in self.counts])
            price = dual * np.exp(factors)
        return theta

    def _add(self, rate: float, price: Floats, up: bool) -> int:
        """Add the cheapest blocks of each length at these prices; return how many are new.

        Rates are rounded down, or `up`: then blocks that only seem to carry `rate` are left out.
        """
        longest = min(self.layers, max(map(len, self.rates)))
        steps = np.zeros((len(self.rates), longest), np.int64)
        for t, row in enumerate(self.rates):
            exact = np.array(row[:longest]) * (STEPS / rate)
            steps[t, : len(row)] = np.ceil(exact) if up else np.floor(exact * (1 + 1e-12))
        table = cheapest(self.layers, STEPS, price, np.minimum(steps, STEPS))
        new = 0
        for block in self._blocks(table):
            key = block.length, block.use
            known = self._found.get(key)
            if block.rate >= rate and (known is None or known.rate < block.rate):
                self._found[key] = block
                new += 1
        return new

    def _blocks(self, table: Blocks) -> Iterator[Block]:
        for m in range(1, self.layers + 1):
            if np.isinf(table.cost[m, STEPS]) or table.how[m, STEPS] == SERIES:
                continue
            parts = tuple(table.parts(m, STEPS))
            use = tuple(sum(part[0] == t for part in parts) for t in range(len(self.counts)))
            if all(u <= n for u, n in zip(use, self.counts, strict=True)):
                yield Block(m, table.rate(m, STEPS, self.rates), use, parts)

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
            for t, n in enumerate(self.counts)
        ]
        lengths = mathopt.fast_sum([b.length * x for b, x in zip(blocks, z, strict=True)])
        model.add_linear_constraint(lengths == self.layers)
        model.minimize(theta)
        result = mathopt.solve(model, mathopt.SolverType.GLOP)
        if result.termination.reason != mathopt.TerminationReason.OPTIMAL:
            spread = [self._random.random() for _ in self.counts]
            return float("inf"), (0.1 + np.array(spread)) / np.array(self.counts)
        duals = result.dual_values()
        return result.objective_value(), np.array([max(-duals[row], TINY_PRICE) for row in rows])

    def row(self, rate: float) -> list[Block] | None:
        """Return blocks that carry `rate` and hold all layers with the machines there are."""
        blocks = self.carrying(rate)
        model = CpModel()
        z = [model.new_int_var(0, self._most(block), f"z[{b}]") for b, block in enumerate(blocks)]
        model.add(LinearExpr.weighted_sum(z, [block.length for block in blocks]) == self.layers)
        for t, n in enumerate(self.counts):
            model.add(LinearExpr.weighted_sum(z, [block.use[t] for block in blocks]) <= n)
        solver = CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_deterministic_time = EFFORT
        if solver.solve(model) not in (OPTIMAL, FEASIBLE):
            return None
        return [b for b, x in zip(blocks, z, strict=True) for _ in range(solver.value(x))]

    def _most(self, block: Block) -> int:
        """Return how often a block can stand in a row."""
        uses = zip(self.counts, block.use, strict=True)
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
