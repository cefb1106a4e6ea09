"""What happened to each request of a simulation, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.levels import NS_PER_MS, NS_PER_S, request_limits_ns
from apex_opt.plan.samples import folded
from apex_opt.sim import metrics
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, Log
from apex_opt.sim.member import FleetLog
from apex_opt.sim.steps import Int64
from apex_opt.spec.spec import Spec
from apex_opt.trace.encoders import prompts

NS_DIGITS, MS_DIGITS = 9, 6
"""Decimals of seconds and of milliseconds that are whole nanoseconds."""


@dataclass(frozen=True)
class Column:
    """A column of the table of requests.

    Attributes:
        name: with its unit.
        values: (n,) integers, floats, words or truths, in order of the load.
        known: (n,) where there is a value.
        digits: decimals of floats.
    """

    name: str
    values: NDArray[np.generic]
    known: metrics.Bool
    digits: int | None = None


def met(spec: Spec, log: Log, output_tokens: Int64) -> metrics.Bool:
    """Return (n,) which requests met all limits of the spec on each request."""
    limits = request_limits_ns(spec.slo)
    keep = metrics.Limits(**{f"{name[:-3]}_ns": limit for name, limit in limits.items()})
    return metrics.met(log, output_tokens, keep)


def _at(name: str, times: Int64) -> Column:
    """Return a column of points in time; those that never came are below 0."""
    return Column(name, times / NS_PER_S, times >= 0, NS_DIGITS)


def _took(name: str, times: NDArray[np.number], known: metrics.Bool) -> Column:
    """Return a column of lengths of time."""
    return Column(name, times / NS_PER_MS, known, MS_DIGITS)


def requests(spec: Spec, load: Load, played: FleetLog) -> tuple[Column, ...]:
    """Return the table of requests, in order of the load; samples of one are one.

    `replica` counts replicas, or their ranks, over all deployments from 0; where caches move it is
    the one that decodes, of several samples that of the first. `met` is whether every limit on each
    request is kept. A request that was rejected has no times but its arrival, one of a single token
    no TPOT.
    """
    samples = spec.workload.samples
    load, log = folded(load, played.log, samples)
    replica, done = played.replica[::samples], log.status == DONE
    always = np.ones(len(load), bool)
    several = done & (load.output_tokens > 1)
    spent = (log.last_ns - log.first_ns) / np.maximum(load.output_tokens - 1, 1)

    return (
        Column("request", np.arange(len(load)), always),
        Column("status", np.where(done, "done", "rejected"), always),
        Column("replica", replica, replica >= 0),
        Column("prompt_tokens", prompts(load, spec.model), always),
        Column("output_tokens", load.output_tokens, always),
        _at("arrival_s", log.arrival_ns),
        _at("start_s", log.start_ns),
        _at("first_token_s", log.first_ns),
        _at("last_token_s", log.last_ns),
        _took("queue_ms", log.start_ns - log.arrival_ns, done),
        _took("ttft_ms", log.first_ns - log.arrival_ns, done),
        _took("tpot_ms", spent, several),
        _took("largest_itl_ms", log.gap_ns, several),
        _took("e2e_ms", log.last_ns - log.arrival_ns, done),
        Column("preempted", log.preempted, always),
        Column("met", met(spec, log, load.output_tokens), always),
    )
