"""A prediction in a result: figures and their band, service levels, a row of the time line."""

from __future__ import annotations

from typing import Literal

from apex_opt.plan.record import Record


class Statistics(Record):
    """A distribution. Percentiles interpolate linearly."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


class Check(Record):
    """One service level: what was asked, what the simulation shows.

    `sure` is whether both ends of the prediction's band say the same; None: it has no band.
    """

    metric: Literal["ttft_ms", "tpot_ms", "itl_ms", "e2e_ms", "attainment", "drain_s", "completed"]
    statistic: str
    limit: float
    value: float
    met: bool
    sure: bool | None = None


class Ground(Record):
    """One thing that a band rests on: nine in ten lie within this half-width of the prediction.

    A half-width of 0.2 is from 1/1.2 to 1.2 times the figure.
    """

    what: str
    half_width: float
    source: str


class End(Record):
    """The figures of a prediction at one end of its band."""

    ttft_ms: Statistics
    tpot_ms: Statistics
    itl_ms: Statistics
    e2e_ms: Statistics
    requests_per_s: float
    output_tokens_per_s: float
    goodput_rps: float
    attainment: float
    energy_j_per_request: float
    energy_j_per_output_token: float
    power_mean_w: float
    power_peak_w: float
    cost_per_million_output_tokens: float


class Band(Record):
    """Between which figures nine in ten measured runs are expected, and what that rests on."""

    low: End
    high: End
    rests_on: tuple[Ground, ...]


class Prediction(Record):
    """What the simulation of the whole plan shows."""

    requests: int
    completed: int
    rejected: int
    preemptions: int
    ttft_ms: Statistics
    tpot_ms: Statistics
    itl_ms: Statistics
    e2e_ms: Statistics
    queue_ms: Statistics
    duration_s: float
    drain_s: float
    drain_limit_s: float
    stable: bool
    requests_per_s: float
    prompt_tokens_per_s: float
    output_tokens_per_s: float
    goodput_rps: float
    attainment: float
    mean_batch: float
    busy: float
    mfu: float
    mbu: float
    kv_use_mean: float
    kv_use_peak: float
    energy_j: float
    energy_j_per_request: float
    energy_j_per_output_token: float
    power_mean_w: float
    power_peak_w: float
    cost_per_hour: float
    cost_per_million_output_tokens: float
    power_rated_w: float | None = None
    """What all devices of the plan may draw at most, with their nodes and the facility."""
    power_window_w: float | None = None
    """The highest mean over `limits.power_window_s`, where the spec names one."""
    extra_cost_per_hour: float = 0.0
    """What quality lost to formats and starting replicas is worth; not part of `cost_per_hour`."""
    hit_tokens_share: float = 0.0
    """Prompt tokens found in the cache of prefixes, over those found and those computed."""
    band: Band | None = None
    """None while a plan is sought."""


class Moment(Record):
    """A row of the time line: means over a stretch of time from `time_s` on, all replicas together.

    `queue` counts requests that wait for a replica, `running` those in its batches; `power_w` has
    idle devices in it; prompt tokens are those computed, not those found in a cache.
    """

    time_s: float
    queue: float
    running: float
    kv_use: float
    power_w: float
    prompt_tokens_per_s: float
    output_tokens_per_s: float
