"""Traffic: how requests arrive, how long they are, what they share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from apex_opt.spec.table import Count, Expected, Name, NonNegative, Positive, Table, frozen


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


class LoneNumber:
    """A distribution that may be written as a number: every request has that length."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the distribution's schema, with numbers made fixed distributions."""
        return core_schema.no_info_before_validator_function(as_distribution, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return what an editor may accept: a number, or a distribution."""
        number = {"type": "integer", "minimum": 1, "maximum": 10**9}
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
    LoneNumber(),
    Expected(
        'a whole number such as 512, or a table such as { distribution = "fixed", value = 512 }'
    ),
]
"""Tokens of each request: a number, or how the numbers are distributed."""

Arrival = Literal["constant", "poisson", "gamma", "closed", "trace"]


class Prefix(Table):
    """Prompts of one group begin with the same tokens."""

    groups: Count = Field(description="Groups of requests.")
    tokens: Count = Field(description="Tokens that the prompts of a group share.")


class Sessions(Table):
    """Conversations: each reply becomes part of the next prompt."""

    turns: Lengths = Field(description="Turns of a conversation.")
    think_time_s: NonNegative = Field(0.0, description="Pause between a reply and the next turn.")


class Workload(Table):
    """The traffic to be served."""

    arrival: Arrival = Field("poisson", description="How requests arrive.")
    rate_rps: Positive | None = Field(None, description="Requests a second.")
    burstiness: Positive = Field(
        1.0, description="Shape of gamma arrivals: 1 is Poisson, less is burstier."
    )
    concurrency: Count | None = Field(None, description="Clients of a closed loop.")
    requests: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(
        None, description="Requests to simulate; default 2,000, or the whole trace."
    )
    prompt_tokens: Lengths | None = Field(None, description="Prompt lengths.")
    output_tokens: Lengths | None = Field(None, description="Output lengths.")
    file: Name | None = Field(None, description="Trace, a path relative to the spec.")
    format: Name | None = Field(
        None,
        description="Format of the trace: azure, vidur, burstgpt, splitwise, plain, bailian, "
        "mooncake, apex or llmservingsim; default: told by its columns.",
    )
    time_scale: Positive = Field(
        1.0, description="Arrival times of a trace are multiplied by this."
    )
    prefix: Prefix | None = Field(None, description="Shared prefixes.")
    sessions: Sessions | None = Field(None, description="Multi-turn conversations.")
    samples: Annotated[int, Field(ge=1, le=1024)] = Field(1, description="Samples a prompt.")
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = Field(
        None, description="Seed of arrivals and lengths; default: `search.seed`."
    )
