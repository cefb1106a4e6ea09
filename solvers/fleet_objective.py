"""The objective in whole numbers that fit 64 bits, and back again, rounded to the safe side.

The model minimises its *own value*, a sum of whole numbers none of which is negative: a bound of 0
is then always true, also when the solver is stopped before it has said anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from apex_opt.solvers.fleet_data import SHARE, FleetData

# Sums stay below 2^60: the solver refuses rows that could pass 2^63, and its cuts need headroom.
LIMIT = 2**60


def shrink(greatest: int, limit: int = LIMIT) -> int:
    """Return the least power of ten by which `greatest` is brought to at most `limit`."""
    divisor = 1
    while greatest > limit * divisor:
        divisor *= 10
    return divisor


@dataclass(frozen=True)
class LeastSum:
    """min sum fixed n + start sum d + sum flow y, coefficients times `by`, divided by `over`.

    Where kinds have a `least` (none: no kind has one), the last sum is at least that of the kind
    used that has the least, and sum beyond y.

    A share of y millionths stands for a real share of at least y / SHARE, and coefficients are
    rounded down: own value <= real value by / over. It falls short by less than `loss`.
    """

    fixed: tuple[int, ...]
    flow: tuple[tuple[int, ...], ...]
    by: int
    over: int
    loss: int
    greatest: int
    start: int = 0
    least: tuple[int, ...] = ()
    beyond: tuple[tuple[int, ...], ...] = ()

    def to_units(self, own: int) -> int:
        """Return a value that no plan of at least this own value is below."""
        return own * self.over // self.by

    def window(self, at_least: int | None, at_most: int | None) -> tuple[int, int]:
        """Return own values between which all plans lie whose value is in the given window."""
        low = 0 if at_least is None else _ceil(at_least * self.by, self.over) - self.loss
        high = self.greatest if at_most is None else at_most * self.by // self.over
        return max(low, 0), min(high, self.greatest)

    def better(self, value: int) -> int:
        """Return the greatest own value that a plan strictly below `value` can have."""
        return _ceil(value * self.by, self.over) - 1


@dataclass(frozen=True)
class MostServed:
    """max total s; the own value is what is not served, u = SHARE - s, in millionths.

    s is the real share in millionths, rounded down: a plan of own value u > 0 serves less than
    SHARE - u + 1, and one of own value 0 serves all.
    """

    total: int
    greatest: int = SHARE

    def to_units(self, own: int) -> int:
        """Return a value that no plan of at least this own value is above."""
        return self.total if own <= 0 else _ceil(self.total * (SHARE - own + 1), SHARE)

    def window(self, at_least: int | None, at_most: int | None) -> tuple[int, int]:
        """Return own values between which all plans lie whose value is in the given window."""
        low, high = 0, SHARE
        if at_most is not None:
            low = SHARE - min(at_most, self.total) * SHARE // self.total
        if at_least is not None:
            high = -1 if at_least > self.total else SHARE - at_least * SHARE // self.total
        return low, min(high, SHARE)

    def better(self, value: int) -> int:
        """Return the greatest own value that a plan strictly above `value` can have."""
        return -1 if value >= self.total else min(SHARE - value * SHARE // self.total, SHARE)


Objective = LeastSum | MostServed


def objective(data: FleetData) -> Objective:
    """Return the objective of `data`."""
    if data.sense == "max":
        return MostServed(data.total)
    return _least_sum(data)


def _least_sum(data: FleetData) -> LeastSum:
    by = SHARE if any(any((*kind.flow, *kind.beyond)) for kind in data.kinds) else 1
    exact = sum(
        (kind.fixed + data.start) * by * kind.max_count
        + sum((f + b) * m for f, b, m in zip(kind.flow, kind.beyond_by, most, strict=True))
        for kind, most in zip(data.kinds, data.most, strict=True)
    )
    most_least = max((kind.least_flow for kind in data.kinds), default=0)
    over = shrink(exact + most_least * by * (len(data.kinds) + 1))  # rows sum them up
    fixed = tuple(kind.fixed * by // over for kind in data.kinds)
    flow, beyond = (
        tuple(
            tuple(f // over if m else 0 for f, m in zip(row, most, strict=True))
            for row, most in zip(rows, data.most, strict=True)
        )
        for rows in ([k.flow for k in data.kinds], [k.beyond_by for k in data.kinds])
    )
    losses = [_loss(data, r, by, over) for r in range(len(data.kinds))]
    start = data.start * by // over
    greatest = sum(
        (f + start) * kind.max_count + sum((c + b) * m for c, b, m in zip(*rows, strict=True))
        for f, kind, *rows in zip(fixed, data.kinds, flow, beyond, data.most, strict=True)
    )
    most_kinds = data.max_kinds * (2 if data.caches else 1)
    loss = sum(sorted(losses)[-most_kinds:])
    if not most_least and not any(map(any, beyond)):
        return LeastSum(fixed, flow, by, over, loss, greatest, start)
    least = tuple(kind.least_flow * by // over for kind in data.kinds)
    return LeastSum(fixed, flow, by, over, loss + 1, greatest + max(least), start, least, beyond)


def _loss(data: FleetData, r: int, by: int, over: int) -> int:
    """What rounding down takes from the own value at most, where kind r is used."""
    kind = data.kinds[r]
    rounded = (kind.fixed * by % over > 0) + (data.start * by % over > 0)
    counted = rounded * kind.max_count
    shares = (
        sum(_ceil(f, over) + (m if f % over else 0) for f, m in zip(row, data.most[r], strict=True))
        for row in (kind.flow, kind.beyond_by)
    )
    return counted + max(shares)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
