"""What runs already: plans that keep it are cheaper than plans that start it anew."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from apex_opt.spec.table import Count, NonNegative, Positive, Table


class Existing(Table):
    """A plan that runs already, and what it costs to start other replicas than its own."""

    plan: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="PLAN.json that `apexopt solve --json` wrote; a path, relative to the spec."
    )
    rank: Count = Field(1, description="Which plan of the file.")
    usd_per_start: NonNegative = Field(
        0.0, description="Cost of starting a replica that does not run already; stopping is free."
    )
    hours: Positive = Field(24.0, description="Time over which the cost of starts is spread.")
    max_starts: Annotated[int, Field(ge=0, le=10**6)] | None = Field(
        None, description="Most replicas that may be started."
    )
