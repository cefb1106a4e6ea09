"""A simulated plan in another problem: the same replicas, by other numbers."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.problem import Problem
from apex_opt.plan.tried import Counts, Tried


def kinds_of(plan: Tried) -> frozenset[Hashable]:
    """Return which replicas a plan has."""
    parts = () if plan.outcome is None else plan.outcome.parts
    return frozenset(kind(part.candidate) for part in parts)


def kind(candidate: Candidate) -> Hashable:
    """Return what makes a candidate the same one in another problem."""
    return candidate.drawn, candidate.role, candidate.pool, candidate.also


def counts_in(asked: Problem, plan: Tried) -> Counts | None:
    """Return the counts of a plan of another problem in this one; None where a replica is not."""
    numbers = {kind(candidate): r for r, candidate in enumerate(asked.candidates)}
    counts = [0] * len(asked.candidates)
    for part in () if plan.outcome is None else plan.outcome.parts:
        r = numbers.get(kind(part.candidate))
        if r is None:
            return None
        counts[r] += part.count
    return tuple(counts) if any(counts) else None


def taken_over(asked: Problem, plan: Tried) -> Tried | None:
    """Return a plan of another problem with its counts in this one; None where a replica is not."""
    counts = counts_in(asked, plan)
    return None if counts is None else replace(plan, counts=counts)
