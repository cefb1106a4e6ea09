"""From a count vector to a prediction: the whole plan is simulated, then measured against the spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apex_opt.cost.flops import ModelWork, model_work
from apex_opt.cost.rates import half_precision
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.levels import (
    NS_PER_MS,
    counts_goodput,
    drain_limit_s,
    request_limits_ns,
    statistic_levels,
)
from apex_opt.plan.optimistic import value
from apex_opt.plan.result import Check, Prediction, Statistics
from apex_opt.sim import metrics
from apex_opt.sim.fleet import FleetLog, Member, play_fleet
from apex_opt.sim.load import Load
from apex_opt.spec.spec import Spec

NS_PER_S = 1e9
"""Nanoseconds in a second."""


@dataclass(frozen=True)
class Played:
    """A simulated plan: which candidates how often, with which share, and what came of it."""

    members: tuple[tuple[Candidate, int], ...]
    weights: tuple[int, ...]
    prediction: Prediction
    checks: tuple[Check, ...]

    @property
    def missed(self) -> Check | None:
        """The first service level that is not met."""
        return next((c for c in self.checks if not c.met), None)
