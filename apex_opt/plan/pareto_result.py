"""What a front says: the model behind `apexopt pareto --json`, and what the Python API returns."""

from __future__ import annotations

from typing import Literal

from apex_opt.plan.result import SCHEMA_VERSION, Plan, Record


class AxisRecord(Record):
    """An axis of a front: its name, its unit, and which way is better."""

    name: str
    unit: str
    sense: Literal["minimize", "maximize"]


class Point(Record):
    """A point of a front: the values of a simulated plan.

    `proved`: no plan of the space is as good on one axis and better on the other. `bound` holds for
    every plan that is as good as this one on the axis that was limited; it is in the unit of the
    axis that was sought, like `gap` relative to this plan's own value. Both are None where nothing
    is known.
    """

    x: float
    y: float
    proved: bool
    bound: float | None
    gap: float | None
    text: str
    plan: Plan


class Front(Record):
    """Plans of which none is better than another on both axes, by rising `x`.

    `complete`: the points are all that the space has, which is proved. `sought` names the axis on
    which the best was looked for while the other, `limited`, was bounded step by step.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    apexopt_version: str
    model: str
    traffic: str
    seed: int
    x: AxisRecord
    y: AxisRecord
    sought: str
    limited: str
    points: tuple[Point, ...]
    complete: bool
    simulated: int
    space: int
    replicas: int
    text: str
    notes: tuple[str, ...]
    spec: dict[str, object]
    solve_s: float
