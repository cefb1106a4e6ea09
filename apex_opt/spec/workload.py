"""Traffic: how requests arrive, how long they are, what they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from apex_opt.spec.table import (
    Count,
    Expected,
    Fraction,
    Name,
    NonNegative,
    Positive,
    Table,
    frozen,
)


class Fixed(Table):
    """Every request has the same length."""

    distribution: Literal["fixed"] = Field(description="Every request has the same length.")
    value: Count = Field(description="Tokens.")


class Uniform(Table):
    """Lengths are uniform between two bounds, both included."""

    distribution: Literal["uniform"] = Field(description="Uniform between two bounds.")
    low: Count = Field(description="Shortest, tokens.")
    high: Count = Field(description="Longest, tokens.")


class Lognormal(Table):
    """Lengths are lognormal with a given mean and 99th percentile."""

    distribution: Literal["lognormal"] = Field(description="Lognormal.")
    mean: Positive = Field(description="Mean, tokens.")
    p99: Positive = Field(description="99th percentile, tokens.")
    maximum: Count | None = Field(None, description="Longer draws are cut to this; default none.")


class Empirical(Table):
    """Lengths are drawn from given values, with weights."""

    distribution: Literal["empirical"] = Field(description="Drawn from given values.")
    values: tuple[Count, ...] = Field(min_length=1, max_length=100_000, description="Tokens.")
    weights: tuple[NonNegative, ...] | None = Field(None, description="One a value; default equal.")


class FixedTime(Table):
    """Every pause is as long."""

    distribution: Literal["fixed"] = Field(description="Every pause is as long.")
    value: NonNegative = Field(description="Seconds.")


class ExponentialTime(Table):
    """Pauses are exponential, as those of people who forget how long they waited."""

    distribution: Literal["exponential"] = Field(description="Exponential.")
    mean: Positive = Field(description="Mean, seconds.")


class UniformTime(Table):
    """Pauses are uniform between two bounds."""

    distribution: Literal["uniform"] = Field(description="Uniform between two bounds.")
    low: NonNegative = Field(description="Shortest, seconds.")
    high: NonNegative = Field(description="Longest, seconds.")


class LognormalTime(Table):
    """Pauses are lognormal with a given mean and 99th percentile."""

    distribution: Literal["lognormal"] = Field(description="Lognormal.")
    mean: Positive = Field(description="Mean, seconds.")
    p99: Positive = Field(description="99th percentile, seconds.")


@dataclass(frozen=True)
class LoneNumber:
    """A distribution that may be written as a number: every draw is that number.

    Attributes:
        lowest: the least number.
        whole: whether it has no fraction.
    """

    lowest: int
    whole: bool

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the distribution's schema, with numbers made fixed distributions."""
        return core_schema.no_info_before_validator_function(as_distribution, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return what an editor may accept: a number, or a distribution."""
        number: dict[str, Any] = {"type": "number", "minimum": self.lowest}
        if self.whole:
            number = {"type": "integer", "minimum": self.lowest, "maximum": 10**9}
        return {"anyOf": [number, handler(schema)]}


def as_distribution(value: object) -> object:
    """Return a plain number as a fixed distribution."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"distribution": "fixed", "value": value}
    return frozen(value)


Distribution = Annotated[
    Fixed | Uniform | Lognormal | Empirical, Field(discriminator="distribution")
]
Lengths = Annotated[
    Distribution,
    LoneNumber(lowest=1, whole=True),
    Expected(
        'a whole number such as 512, or a table such as { distribution = "fixed", value = 512 }'
    ),
]
"""Tokens of each request: a number, or how the numbers are distributed."""

TimeDistribution = Annotated[
    FixedTime | ExponentialTime | UniformTime | LognormalTime, Field(discriminator="distribution")
]
Times = Annotated[
    TimeDistribution,
    LoneNumber(lowest=0, whole=False),
    Expected(
        'a number such as 2.5, or a table such as { distribution = "exponential", mean = 2.5 }'
    ),
]
"""Seconds of each pause: a number, or how the numbers are distributed."""

Arrival = Literal["constant", "poisson", "gamma", "piecewise", "closed", "trace"]
Repair = Literal["sort", "drop_failed", "drop_faulty"]
REPAIRS: tuple[Repair, ...] = get_args(Repair)
"""Faults of a trace that can be mended."""
Repairs = Annotated[tuple[Repair, ...], Field(max_length=3)]


class Phase(Table):
    """A stretch of time in which requests come at one mean rate."""

    until_s: Positive | None = Field(
        None, description="Second at which it ends; the last phase may go on without end."
    )
    rate_rps: NonNegative = Field(description="Requests a second; 0: none.")


class Prefix(Table):
    """Prompts of one group begin with the same tokens: system prompts, documents."""

    groups: Count = Field(description="Groups; a request belongs to a random one.")
    tokens: Count = Field(
        description="Tokens that the prompts of a group begin with. They are part of "
        "`prompt_tokens`: a prompt that is drawn no longer than this is lengthened to one token "
        "more. In a session they stand before the first message."
    )


class Sessions(Table):
    """Conversations: prompt and reply are the beginning of the next prompt.

    A turn's prompt is all that was said before it and a new message of `prompt_tokens`. The arrival
    process is that of the first turns: `rate_rps` counts sessions, `concurrency` sessions at once.
    """

    turns: Lengths = Field(description="Turns of a session.")
    think_time_s: Times = Field(
        FixedTime(distribution="fixed", value=0.0),
        description="Pause between the end of a reply and the next turn: a number, or a "
        "distribution (fixed, exponential, uniform, lognormal).",
    )


class Workload(Table):
    """The traffic to be served."""

    arrival: Arrival = Field(
        "poisson",
        description="How requests arrive: evenly, with exponential or gamma gaps, with a rate that "
        "changes (`phases`), from clients that wait for each reply, or as a trace has them.",
    )
    rate_rps: Positive | None = Field(
        None, description="Requests a second; with `sessions`, sessions a second."
    )
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=10_000)] | None = Field(
        None,
        description="Piecewise arrivals: Poisson with these rates, one after the other, such as "
        "[{ until_s = 60, rate_rps = 2 }, { rate_rps = 8 }].",
    )
    burstiness: Positive = Field(
        1.0, description="Shape of gamma arrivals: 1 is Poisson, less is burstier."
    )
    concurrency: Count | None = Field(None, description="Clients of a closed loop.")
    requests: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(
        None,
        description="Requests to simulate, each turn counted, samples not; default 2,000, or the "
        "whole trace, or all that arrive until the end of `phases`.",
    )
    prompt_tokens: Lengths | None = Field(
        None,
        description="Prompt lengths, shared beginnings and all; in sessions, of each new message.",
    )
    output_tokens: Lengths | None = Field(None, description="Output lengths.")
    lengths_from: Name | None = Field(
        None,
        description="A trace, a path relative to the spec: prompt and output are drawn from it, "
        "both of the same request, so that they go together as they did.",
    )
    file: Name | None = Field(None, description="Trace, a path relative to the spec.")
    format: Name | None = Field(
        None,
        description="Format of the trace: azure, vidur, burstgpt, splitwise, plain, bailian, "
        "mooncake, apex, llmservingsim, inference-perf, sharegpt or bench; default: told by its "
        "content.",
    )
    repair: Repairs = Field(
        (),
        description="Faults of the trace to be mended, and counted, instead of refused: sort: "
        "requests out of order; drop_failed: requests without output; drop_faulty: lines that "
        "cannot be read.",
    )
    block_tokens: Count | None = Field(
        None,
        description="Tokens of a block of `hash_ids`; default: the format's, mooncake 512, "
        "bailian 16.",
    )
    characters_per_token: Positive = Field(
        4.0, description="Of texts (sharegpt), where a trace has no token counts."
    )
    start_s: NonNegative = Field(
        0.0, description="What a trace has before this second is left out; its first is second 0."
    )
    duration_s: Positive | None = Field(
        None, description="Seconds of the trace that are played, before they are scaled."
    )
    time_scale: Positive = Field(
        1.0, description="Arrival times of a trace are multiplied by this; 0.5: twice the rate."
    )
    later_turns: Literal["recorded", "after_reply"] = Field(
        "recorded",
        description="When the later turns of a trace's sessions come: at their recorded time, or "
        "their think time after the simulated reply.",
    )
    images_per_request: Lengths | None = Field(
        None,
        description="Images of each request, or of each new message of a session: a number, or a "
        "distribution. Their tokens, as many as the model makes of one, come on top of "
        "`prompt_tokens`.",
    )
    image_share: Fraction = Field(
        1.0, description="Share of the requests, or messages, that have images at all."
    )
    prefix: Prefix | None = Field(None, description="Shared beginnings of prompts.")
    distinct_prompts: Count | None = Field(
        None, description="Different prompts in all, repeated in turn; default: all differ."
    )
    sessions: Sessions | None = Field(None, description="Multi-turn conversations.")
    samples: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="Outputs that each request asks for, of one prompt, side by side."
    )
    priority_shares: (
        Annotated[tuple[NonNegative, ...], Field(min_length=1, max_length=64)] | None
    ) = Field(
        None,
        description="Shares of the requests with priority 0, 1, and so on; 0 goes first. They "
        "need not add up to 1.",
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = Field(
        None, description="Seed of arrivals and lengths; default: `search.seed`."
    )
