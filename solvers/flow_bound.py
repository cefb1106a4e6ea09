"""No placement carries more than this: layers are covered by machines, wherever those stand.

A placement of rate F covers each layer: the machines that hold it carry F together. A machine of
type t that holds k layers covers k of them, so each costs it 1/k of itself. The linear programme

    max  sum_q x[q]
    s.t. sum_q a[q,t] x[q] <= n[t]       t in types       dual: price p[t] of a machine

over all covers q of one layer, a[q,t] = sum of 1/k over its machines of type t, says how many
layers can be covered to F. For any p >= 0 it is at most sum_t n[t] p[t] / g, where g is the least
price of a cover of one layer, a knapsack. If that is below the number of layers, no placement
carries F. Rates are rounded up, to whole steps, so that this is a proof.

Covers are found as they are needed, dearest machines first avoided: column generation.

Source: P. C. Gilmore, R. E. Gomory, "A linear programming approach to the cutting-stock problem",
Operations Research 9, 1961.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ortools.math_opt.python import mathopt

from apex_opt.solvers.flow_jit import njit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COARSE, FINE = 4_000, 100_000
"""Steps into which a rate is divided, to find the bound and to close the last of the gap."""
MAX_COVERS = 200
SAFE = 1e-9
"""Relative room for the rounding of sums of floats, which is far smaller."""


@njit
def _knapsack(price: Floats, steps: Ints, top: int) -> tuple[Floats, Ints]:
    """Return the least price of items with at least d steps, d up to `top`, and the last item."""
    least, item = np.zeros(top + 1), np.full(top + 1, -1)
    for d in range(1, top + 1):
        least[d] = np.inf
        for i in range(len(price)):
            rest = d - steps[i]
            total = price[i] + (least[rest] if rest > 0 else 0.0)
            if steps[i] and total < least[d]:
                least[d], item[d] = total, i
    return least, item


@dataclass(frozen=True)
class Prices:
    """Prices of machines that bound how many layers can be covered.

    Attributes:
        covered: no placement covers more layers, of a model however deep.
        price: [type] of a machine; a cover of one layer costs at least 1.
    """

    covered: float
    price: tuple[float, ...]


def prices(
    layers: int, rates: Sequence[Sequence[float]], counts: Sequence[int], rate: float, top: int
) -> Prices:
    """Return the best prices found for covers that carry `rate`.

    Args:
        layers: no machine holds more.
        rates: [type][k - 1], what a machine carries that holds k layers.
        counts: [type], machines.
        rate: of the covers, positive.
        top: steps into which it is divided.
    """
    items = [(t, k) for t, row in enumerate(rates) for k in range(1, min(len(row), layers) + 1)]
    exact = np.array([rates[t][k - 1] for t, k in items]) * (top / rate)
    steps = np.minimum(np.ceil(exact * (1 - SAFE * SAFE)), top).astype(np.int64)
    kinds, lengths = np.array([t for t, _ in items]), np.array([k for _, k in items])
    number = np.array(counts, float)
    price = 1.0 / np.maximum(number, 1.0)
    best = Prices(float("inf"), tuple(price))
    covers: list[Floats] = []
    while len(covers) < MAX_COVERS:
        least, item = _knapsack(price[kinds] / lengths, steps, top)
        if not np.isfinite(least[top]):
            return Prices(0.0, tuple(price))
        if least[top] > 0 and (covered := price @ number / least[top]) < best.covered:
            unit = least[top] * (1 - SAFE)
            best = Prices(covered / (1 - SAFE), tuple(price / unit))
        covers.append(_cover(item, steps, kinds, lengths, len(counts)))
        most, price = _master(covers, counts)
        if most >= best.covered * (1 - 10 * SAFE):
            break
    return best


def _cover(item: Ints, steps: Ints, kinds: Ints, lengths: Ints, types: int) -> Floats:
    """Return [type] the machines that the cheapest cover takes for one layer."""
    taken, d = np.zeros(types), len(item) - 1
    while d > 0:
        i = item[d]
        taken[kinds[i]] += 1 / lengths[i]
        d -= steps[i]
    return taken


def _master(covers: Sequence[Floats], counts: Sequence[int]) -> tuple[float, Floats]:
    """Return the most layers that these covers cover, and the prices of machines."""
    model = mathopt.Model()
    x = [model.add_variable(lb=0.0) for _ in covers]
    rows = [
        model.add_linear_constraint(
            mathopt.fast_sum([a[t] * v for a, v in zip(covers, x, strict=True) if a[t]]) <= n
        )
        for t, n in enumerate(counts)
    ]
    model.maximize(mathopt.fast_sum(x))
    result = mathopt.solve(model, mathopt.SolverType.GLOP)
    duals = result.dual_values()
    return result.objective_value(), np.array([max(duals[row], 0.0) for row in rows])


def bound(
    layers: int, rates: Sequence[Sequence[float]], counts: Sequence[int], above: float
) -> float:
    """Return a rate that no placement exceeds.

    Args:
        layers: of the model.
        rates: [type][k - 1], what a machine carries that holds k layers, tokens a second.
        counts: [type], machines.
        above: a rate that some placement carries; the bound closes in on it.

    Returns:
        The rate, at most 1e-4 above the least that these prices can prove, or the least above
        `above` that is told from it, if that can be proved.
    """

    def too_much(rate: float, top: int) -> bool:
        return prices(layers, rates, counts, rate, top).covered < layers

    if _most_layers(layers, rates, counts) < layers:
        return above
    just = above * (1 + CLOSE)
    if above > 0 and too_much(just, FINE):
        return just
    low, high = above, _work_bound(layers, rates, counts)
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if too_much(middle, COARSE) else (middle, high)
    return high


CLOSE = 1e-6
"""Rates that differ by less, relatively, are not told apart."""


def _most_layers(layers: int, rates: Sequence[Sequence[float]], counts: Sequence[int]) -> int:
    """Return how many layers all machines can hold that carry anything at all with so many."""
    most = [max((k for k, r in enumerate(row[:layers], 1) if r), default=0) for row in rates]
    return sum(n * m for n, m in zip(counts, most, strict=True))


def _work_bound(layers: int, rates: Sequence[Sequence[float]], counts: Sequence[int]) -> float:
    """Return the rate at which all machines always do the most layers times tokens they can."""
    most = [
        max(k * r for k, r in enumerate(row[:layers], start=1)) if row else 0.0 for row in rates
    ]
    return sum(n * m for n, m in zip(counts, most, strict=True)) / layers
