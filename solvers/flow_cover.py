"""Can intervals of machines cover every layer to a rate at all? A search that ends with a proof.

That the machines over each layer carry F together is less than a flow of F asks for, so where it
cannot be, no placement carries F. Only these covers need be searched: a machine begins at layer 0
or where another ends, and each that begins there is needed there. For if no machine ends at s, or
if the others over s suffice, a machine that begins at s may begin at s + 1 instead: it is not
missed at s, and covers one layer more at its end (or hangs over the last layer, which is allowed).

The search goes from layer to layer. A state is what the running machines have left, and which
machines are left; it is left where it was reached at an earlier layer before, or where prices of
machines (see `flow_bound`) say that what is left covers too few layers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from apex_opt.solvers.flow_bound import COARSE, SAFE, Prices, prices

Running = tuple[tuple[int, float, float], ...]
"""Machines over a layer: (layers left, rate, price of a layer), sorted."""


class _Stopped(Exception):  # noqa: N818  it is no error
    """The clock ran out."""


@dataclass(frozen=True)
class _Option:
    """A machine of a type that holds `length` layers."""

    kind: int
    length: int
    rate: float
    price: float


@dataclass
class _Search:
    """The search for one rate."""

    layers: int
    rate: float
    options: Sequence[_Option]
    until: float
    seen: dict[tuple[Running, tuple[int, ...]], int] = field(default_factory=dict)

    def covers(self, at: int, running: Running, left: tuple[int, ...], worth: float) -> bool:
        """Return whether layers from `at` can be covered; `worth` layers are paid for at most."""
        for begun, still in self._begin(running, left):
            run = min(machine[0] for machine in begun)
            then = at + run
            if then >= self.layers:
                return True
            rest = worth - run * sum(machine[2] for machine in begun)
            if rest < (self.layers - then) * (1 - SAFE):
                continue
            after = tuple((k - run, r, p) for k, r, p in begun if k > run)
            if self.seen.get((after, still), self.layers) <= then:
                continue
            self.seen[after, still] = then
            if self.covers(then, after, still, rest):
                return True
        return False

    def _begin(
        self, running: Running, left: tuple[int, ...]
    ) -> Iterator[tuple[Running, tuple[int, ...]]]:
        """Yield the machines over a layer once each needed one has begun, and those then left."""
        before = sum(rate for _, rate, _ in running)
        if before >= self.rate:
            yield running, left
            return
        for chosen in self._chosen(0, before, list(left), []):
            still = list(left)
            for option in chosen:
                still[option.kind] -= 1
            new = [(option.length, option.rate, option.price) for option in chosen]
            yield tuple(sorted([*running, *new])), tuple(still)

    def _chosen(
        self, start: int, before: float, left: list[int], chosen: list[_Option]
    ) -> Iterator[list[_Option]]:
        """Yield sets of options, in order, that reach the rate, and do not without any of them."""
        if time.monotonic() > self.until:
            raise _Stopped
        for i in range(start, len(self.options)):
            option = self.options[i]
            if not left[option.kind]:
                continue
            total = before + option.rate
            chosen.append(option)
            left[option.kind] -= 1
            if total < self.rate:
                yield from self._chosen(i, total, left, chosen)
            elif all(total - other.rate < self.rate for other in chosen):
                yield chosen
            chosen.pop()
            left[option.kind] += 1


def coverable(
    layers: int,
    rates: Sequence[Sequence[float]],
    counts: Sequence[int],
    rate: float,
    time_limit_s: float,
) -> Literal["yes", "no", "unknown"]:
    """Return whether machines can cover all layers to `rate`; `no` is proved.

    Args:
        layers: of the model.
        rates: [type][k - 1], what a machine carries that holds k layers, tokens a second.
        counts: [type], machines.
        rate: positive, tokens a second.
        time_limit_s: after which the answer is `unknown`.
    """
    found = prices(layers, rates, counts, rate, COARSE)
    if found.covered < layers:
        return "no"
    # Sums of floats may be too small by rounding: the rate that is asked for is smaller still.
    search = _Search(
        layers,
        rate * (1 - SAFE),
        _options(layers, rates, found, rate),
        time.monotonic() + time_limit_s,
    )
    try:
        return "yes" if search.covers(0, (), tuple(counts), found.covered) else "no"
    except _Stopped:
        return "unknown"


def _options(
    layers: int, rates: Sequence[Sequence[float]], found: Prices, rate: float
) -> list[_Option]:
    """Return what machines can be, dearest work last, without what another of the type betters.

    A machine that holds k layers may hang over, so one that holds more and carries as much is
    better.
    """
    options = []
    for t, row in enumerate(rates):
        best = 0.0
        for k in range(min(len(row), layers), 0, -1):
            if (carries := min(row[k - 1], rate)) > best:
                best = carries
                options.append(_Option(t, k, carries, found.price[t] / k))
    return sorted(options, key=lambda option: option.price / option.rate)
