"""Student's t: how far a mean of few runs may be from the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

HALVINGS = 60


def central(t: float, freedom: int) -> float:
    """Return the probability that |T| < t with so many degrees of freedom, t >= 0.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = cosine if odd else 1.0, 0.0
    for k in range(odd, freedom - 1, 2):
        total += term
        term *= cosine**2 * (k + 1) / (k + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def quantile(confidence: float, freedom: int) -> float:
    """Return the t that |T| stays below with this probability, above 0 and below 1.

    Raises:
        ValueError: there is no degree of freedom.
    """
    if freedom < 1:
        raise ValueError(f"freedom: must be at least 1, is {freedom}")
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if central(math.tan(middle) * math.sqrt(freedom), freedom) < confidence:
            low = middle
        else:
            high = middle
    return math.tan(low) * math.sqrt(freedom)


def interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return the interval around the mean of two or more independent values, near-normal ones."""
    half = quantile(confidence, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half
