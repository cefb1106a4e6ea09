"""Fitting a curve to measured kernels: robust least squares of relative errors, cross-validated.

Rows that beat the data sheet were measured from a cache that serving does not have (the same
buffers, again and again), or are defects; they are left out of fit and score, and counted. Errors
are of shapes that a fit has not seen: rows of one shape stay together in one of five parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from apex_opt.cost.curves import Array
from apex_opt.errors import CallError
from apex_opt.spec.device_efficiency import Curve

C = TypeVar("C", bound=Curve)
Bools = NDArray[np.bool_]
FOLDS = 5
FEWEST_ROWS = 12
"""A curve has up to six numbers; with fewer rows than this it is not fitted."""

NOTHING = 1e-3
"""What a solver leaves of a number that should be 0, in any of the units."""

USUAL_ERROR = 0.05
"""Relative error from which on a row pulls linearly, not with its square."""


@dataclass(frozen=True)
class Range:
    """Where a number may lie, and where its search starts."""

    low: float
    start: tuple[float, ...]
    high: float


SHARE = Range(0.05, (0.6, 0.85), 1.0)


@dataclass(frozen=True)
class Problem(Generic[C]):
    """A curve and the rows it should meet.

    Attributes:
        curve: the curve's table.
        ranges: its numbers; all start from their first value, then from their last.
        predict: the rows' times under a curve, seconds (or shares of power).
        measured: the same, measured.
        least: the rows' least times by the data sheet.
        shapes: rows with the same value are parts of one shape.
    """

    curve: type[C]
    ranges: Mapping[str, Range]
    predict: Callable[[C], Array]
    measured: Array
    least: Array
    shapes: NDArray[Any]


@dataclass(frozen=True)
class Fit(Generic[C]):
    """A fitted curve with its error; rows that it rests on, and rows that beat the data sheet.

    Attributes:
        curve: its numbers, with the median and the 90th percentile of `errors`.
        rows, left_out: how many there are of either.
        errors: of each row while its shape was left out of the fit, percent.
    """

    curve: C
    rows: int
    left_out: int
    errors: Array = field(compare=False)


def fit(problem: Problem[C]) -> Fit[C] | None:
    """Return the fitted curve; None where there are too few rows.

    Raises:
        CallError: scipy is not installed.
    """
    usable = problem.measured >= problem.least
    if int(usable.sum()) < FEWEST_ROWS:
        return None
    errors = _held_out(problem, usable)
    numbers = {name: _rounded(value) for name, value in _solve(problem, usable).items()}
    error = (_rounded(float(np.median(errors))), _rounded(float(np.percentile(errors, 90))))
    curve = problem.curve.model_validate({**numbers, "error": error})
    return Fit(curve, int(usable.sum()), int((~usable).sum()), errors)


def _held_out(problem: Problem[C], usable: Bools) -> Array:
    """Return the relative errors, percent, of shapes that were left out of the fit."""
    names, place = np.unique(problem.shapes, return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(names))[place] % FOLDS
    errors = np.zeros(len(usable))
    for part in range(FOLDS):
        here = usable & (fold == part)
        if here.any():
            numbers = _solve(problem, usable & (fold != part))
            errors[here] = np.abs(np.expm1(_residuals(problem, numbers)[here]))
    return errors[usable] * 100


def _residuals(problem: Problem[C], numbers: Mapping[str, float]) -> Array:
    table: Any = problem.curve  # values lie in their ranges: no need to check them at each step
    predicted = problem.predict(table.model_construct(**numbers))
    return np.asarray(np.log(predicted / problem.measured))


def _solve(problem: Problem[C], rows: Bools) -> dict[str, float]:
    """Return the numbers with the least robust sum of squares, the best of two starts."""
    solver = least_squares()
    names, ranges = list(problem.ranges), list(problem.ranges.values())

    def residuals(x: Array) -> Array:
        return _residuals(problem, dict(zip(names, x.tolist(), strict=True)))[rows]

    found = [
        solver(
            residuals,
            [r.start[which] for r in ranges],
            bounds=([r.low for r in ranges], [r.high for r in ranges]),
            x_scale=[max(abs(r.start[0]), 1e-3) for r in ranges],
            loss="soft_l1",
            f_scale=USUAL_ERROR,
        )
        for which in (0, -1)
    ]
    best = min(found, key=lambda result: float(result.cost))
    return dict(zip(names, best.x.tolist(), strict=True))


def least_squares() -> Callable[..., Any]:
    """Return scipy's solver.

    Raises:
        CallError: scipy is not installed.
    """
    try:
        from scipy.optimize import least_squares as solver
    except ImportError:
        raise CallError(
            "`apexopt calibrate` needs scipy; install it with `pip install 'apexopt[calibrate]'`"
        ) from None
    return solver  # type: ignore[no-any-return]


def _rounded(value: float) -> float:
    """Return a number with three digits that mean something; a bound is met or not."""
    return float(f"{value:.3g}") if value > NOTHING else 0.0
