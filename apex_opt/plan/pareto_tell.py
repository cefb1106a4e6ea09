"""From what the searches of a front found to what people and scripts read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from apex_opt.plan.levels import request_limits_ns
from apex_opt.plan.pareto_facts import Facts
from apex_opt.plan.pareto_result import AxisRecord, Front, Point
from apex_opt.plan.pareto_search import Shared, Shown
from apex_opt.plan.pareto_window import Window
from apex_opt.solvers.fleet_space import space
from apex_opt.version import VERSION


@dataclass(frozen=True)
class Drawn:
    """A front: all plans of it that are known, and those that are shown, leanest first."""

    shared: Shared
    facts: Facts
    front: Sequence[Shown]
    chosen: Sequence[Shown]

    @property
    def complete(self) -> bool:
        """Whether the points shown are the whole front, which is proved."""
        facts, front = self.facts, self.front
        return (
            len(front) == len(self.chosen)
            and all(facts.optimal(one.sought, one.limited) for one in front)
            and all(facts.nothing_between(a.sought, b.limited) for a, b in pairwise(front))
        )


def tell_front(drawn: Drawn, sought_is_x: bool, seconds: float) -> Front:
    """Return a front as people and scripts read it.

    Args:
        drawn: what was found.
        sought_is_x: whether the axis that was sought is `x`; else it is `y`.
        seconds: that it took.
    """
    shared, spec = drawn.shared, drawn.shared.spec
    asked = shared.problems[shared.sought.name]
    axes = (shared.sought, shared.limited) if sought_is_x else (shared.limited, shared.sought)
    x, y = (AxisRecord(name=a.name, unit=a.goal.unit, sense=a.sense) for a in axes)
    points = _points(drawn, sought_is_x)
    return Front(
        apexopt_version=VERSION,
        model=spec.model.name,
        traffic=shared.offered.description,
        seed=spec.workload.seed if spec.workload.seed is not None else spec.search.seed,
        x=x,
        y=y,
        sought=shared.sought.name,
        limited=shared.limited.name,
        points=points,
        complete=drawn.complete,
        simulated=len(shared.shown),
        space=space(asked.data),
        replicas=len(asked.candidates),
        text=_text(drawn, points),
        notes=tuple(_notes(shared)),
        spec=spec.model_dump(mode="json"),
        solve_s=seconds,
    )


def _points(drawn: Drawn, sought_is_x: bool) -> tuple[Point, ...]:
    """Return the points by rising x."""
    order = sorted(drawn.chosen, key=lambda one: one.sought if sought_is_x else one.limited)
    return tuple(_point(drawn, one, i + 1, sought_is_x) for i, one in enumerate(order))


def _point(drawn: Drawn, one: Shown, rank: int, sought_is_x: bool) -> Point:
    facts, values = drawn.facts, (one.sought, one.limited)
    known = facts.bound(Window(facts.limited, one.limited))
    bound = None if math.isinf(known) else facts.sought.best([known, one.sought])
    gap = None if bound is None else _gap(facts, one.sought, bound)
    proved = facts.optimal(*values)
    x, y = values if sought_is_x else values[::-1]
    return Point(
        x=x,
        y=y,
        proved=proved,
        bound=bound,
        gap=gap,
        text="proved" if proved else f"not proved: {_doubt(facts, one, bound, gap)}",
        plan=drawn.shared.told(one, rank),
    )


def _gap(facts: Facts, value: float, bound: float) -> float | None:
    """Return how far a bound is from a value, relative to it; None where the value is zero."""
    if facts.sought.as_good(value, bound):
        return 0.0
    return abs(value - bound) / abs(value) if value else None


def _doubt(facts: Facts, one: Shown, bound: float | None, gap: float | None) -> str:
    """Return what might be better than a point that is not proved."""
    sought, limited = facts.sought, facts.limited
    if facts.none_better(one.sought, one.limited):
        return f"{limited.name} may be better at this {sought.name}"
    if bound is None:
        return f"nothing bounds {sought.name}"
    much = f"{bound:,.4g} {sought.goal.unit}" if gap is None else f"{gap:.2%} better"
    return f"{sought.name} may be up to {much}"


def _notes(shared: Shared) -> Iterator[str]:
    """Yield what the axes mean for the service levels."""
    if "goodput" not in (shared.sought.name, shared.limited.name):
        return
    if request_limits_ns(shared.spec.slo):
        yield (
            "goodput is an axis: limits on each request say which requests count, and exclude no "
            "plan"
        )
    else:
        yield (
            "the spec limits no single request, so that each one that completes counts as "
            "goodput; write for example `ttft_ms = 1000` under [slo]"
        )


def _text(drawn: Drawn, points: Sequence[Point]) -> str:
    """Return what is proved of a front, in words."""
    simulated = len(drawn.shared.shown)
    total = space(drawn.shared.problems[drawn.shared.sought.name].data)
    size = f"{total:,}" if total < 10**12 else f"{total:.2e}"
    if drawn.complete:
        head = "the whole front" if len(points) > 1 else "one plan is best on both axes"
        head += ", proved for this traffic and seed"
    else:
        proved = sum(point.proved for point in points)
        head = f"{proved} of {len(points)} points proved for this traffic and seed"
        if len(drawn.front) > len(points):
            head += f", of {len(drawn.front)} known"
    return (
        f"{head}: {simulated:,} plan{'' if simulated == 1 else 's'} simulated, {size} in the space"
    )
