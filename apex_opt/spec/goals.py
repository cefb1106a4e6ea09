"""What a plan must reach, what it may use, what is best, and how long to look for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from apex_opt.spec.table import Choice, Count, Expected, Fraction, NonNegative, Positive, Table


class Percentiles(Table):
    """Limits on statistics of all requests."""

    mean: Positive | None = Field(None, description="Mean.")
    p50: Positive | None = Field(None, description="Median.")
    p90: Positive | None = Field(None, description="90th percentile.")
    p95: Positive | None = Field(None, description="95th percentile.")
    p99: Positive | None = Field(None, description="99th percentile.")

    def limits(self) -> dict[str, float]:
        """Return the statistics that are limited, with their limits."""
        return {name: value for name, value in self if value is not None}


def limit_tag(value: object) -> str:
    """Return which kind of limit a value is meant as: a fault then names that kind alone."""
    return "statistics" if isinstance(value, (dict, Percentiles)) else "each"


LatencyLimit = Annotated[
    Annotated[Positive, Tag("each")] | Annotated[Percentiles, Tag("statistics")],
    Discriminator(limit_tag),
    Expected("a number such as 200.0, or a table such as { p99 = 1000.0 }"),
]
"""A number limits each request; a table limits statistics of all requests."""


class Slo(Table):
    """Service levels. Milliseconds; a number limits each request, a table limits percentiles."""

    ttft_ms: LatencyLimit | None = Field(None, description="Time to the first token.")
    tpot_ms: LatencyLimit | None = Field(
        None, description="Mean time between the further tokens of a request."
    )
    itl_ms: LatencyLimit | None = Field(
        None, description="Gap between tokens; a number limits a request's largest."
    )
    e2e_ms: LatencyLimit | None = Field(None, description="Time to the last token.")
    attainment: Fraction = Field(
        0.99, description="Share of requests that must meet all limits on each request."
    )
    drain_s: Positive | None = Field(
        None,
        description="A plan is stable if all work is done this long after the last arrival; "
        "default: 60 s, or 50 ms for each token of the longest output where that is more, and a "
        "tenth of the time over which requests arrive.",
    )


class Limits(Table):
    """What a plan may use."""

    devices: Count | None = Field(None, description="Devices.")
    prefill_devices: Count | None = Field(
        None, description="Devices of replicas that prefill apart, see `parallelism.disaggregate`."
    )
    decode_devices: Count | None = Field(None, description="Devices of replicas that decode apart.")
    power_w: Positive | None = Field(
        None,
        description="Power of all devices of the plan, at the peak, with `node_power_w` and `pue` "
        "of their pools where these are set.",
    )
    power_by: Literal["peak", "rated"] = Field(
        "peak",
        description="What `power_w` counts, here and under pools: `peak`: what a plan draws in its "
        "simulation, `rated`: what its devices may draw at most.",
    )
    power_window_s: Positive | None = Field(
        None,
        description="The highest mean over windows so long counts, which breakers and supplies "
        "stand; default: the peak of every step.",
    )
    budget_per_hour: NonNegative | None = Field(None, description="Price of all devices.")
    replicas: Count | None = Field(None, description="Replicas.")
    spot_fraction: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Most devices of a plan that may stand in pools with `spot = true`."
    )
    memory_reserve_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of device memory that is left free beside the engine's own reserve."
    )


Minimized = Literal["cost", "energy", "power", "latency", "devices"]
Maximized = Literal["goodput", "throughput"]


class Objective(Table):
    """What is best: one key, `minimize` or `maximize`."""

    minimize: Minimized | None = Field(
        None,
        description="cost: price an hour, with what formats and starts cost; energy: joules a "
        "request; power: mean watts; latency: mean end-to-end time; devices.",
    )
    maximize: Maximized | None = Field(
        None,
        description="goodput: requests a second that meet their limits; throughput: output tokens "
        "a second; both over the time in which requests arrive.",
    )


def degree_tag(value: object) -> str:
    """Return which kind of degrees a value is meant as: a string can only be `auto`."""
    return "auto" if isinstance(value, str) else "degrees"


Degree = Annotated[int, Field(ge=1, le=65_536)]
Degrees = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[Choice[Degree], Tag("degrees")],
    Discriminator(degree_tag),
    Expected('"auto", a whole number such as 4, or a list such as [1, 2, 4]'),
]
"""`auto`, or the degrees among which the solver may choose."""


def switch_tag(value: object) -> str:
    """Return which kind of switch a value is meant as: a string can only be `only`."""
    return "word" if isinstance(value, str) else "switch"


Disaggregate = Annotated[
    Annotated[Literal["only"], Tag("word")] | Annotated[bool, Tag("switch")],
    Discriminator(switch_tag),
    Expected('true, false or "only"'),
]


class Parallelism(Table):
    """Degrees among which the solver may choose; `auto` is every legal one."""

    tensor: Degrees = Field("auto", description="Devices that share each layer.")
    pipeline: Degrees = Field("auto", description="Stages of consecutive layers.")
    expert: Degrees = Field("auto", description="Devices over which whole experts are spread.")
    attention_data: Degrees = Field("auto", description="Copies of attention inside a replica.")
    context: Degrees = Field(
        (1,),
        description="Devices of a tensor group that share out the tokens of a key-value head of "
        "which they would hold copies; 1: copies.",
    )
    expert_skew: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None,
        description="Load of the device with the busiest experts over the mean, less 1, where "
        "whole experts are spread; 0: even, as far as chance allows; none: as unequal popularity "
        "of experts makes it, 0.33 for 16 of 128 experts on each of eight devices.",
    )
    max_stages: Count = Field(16, description="Most pipeline stages that `auto` tries.")
    layer_split: Literal["auto", "even", "best"] = Field(
        "auto",
        description="How layers are split over stages: `even`: as the engine does; `auto`: "
        "otherwise where that does not fit; `best`: also where another split is faster.",
    )
    cross_pool: bool = Field(False, description="A replica may have stages in two or three pools.")
    disaggregate: Disaggregate = Field(
        False,
        description="Whether prefill and decode may run on different replicas; `only`: they must.",
    )


class Search(Table):
    """How the search is run."""

    top_k: Annotated[int, Field(ge=1, le=100)] = Field(3, description="Plans to return.")
    max_deployments: Annotated[int, Field(ge=1, le=8)] | None = Field(
        None,
        description="Most kinds of replica in one plan, of each role where prefill and decode are "
        "apart; default: one a pool, at most 3.",
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(0, description="Seed of the traffic.")
    time_limit_s: Positive = Field(
        300.0, description="Time after which the best so far is returned."
    )
    gap: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="The search ends when the best plan is this near the bound, relative; default: "
        "0 (proved), or 0.005 where a rate is maximised.",
    )
    executor: Literal["local", "ray"] = Field("local", description="Where simulations run.")


__all__ = ["Choice", "Limits", "Objective", "Parallelism", "Percentiles", "Search", "Slo"]
