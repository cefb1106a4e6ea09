"""What there is to say of a trace. `apexopt trace --json` writes this model.

`schema_version` changes when a script that reads it would break.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_serializer

from apex_opt.spec.workload import Workload


class Record(BaseModel):
    """A part of the description: frozen, no unknown keys, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Lengths(Record):
    """Tokens of the requests. Percentiles interpolate linearly."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: int


class Peak(Record):
    """The highest rate over any window of a length, wherever it begins."""

    window_s: float
    rate_rps: float


class Burstiness(Record):
    """How irregular the gaps between requests are.

    Attributes:
        gaps_cv: coefficient of variation of the gaps: 0 evenly spaced, 1 as Poisson.
        gamma_shape: 1 / gaps_cv^2, the `burstiness` of a spec; None where gaps_cv is 0.
    """

    gaps_cv: float
    gamma_shape: float | None


class Timeline(Record):
    """Requests over time, in bins of equal width from the first request to the last."""

    bin_s: float
    requests: tuple[int, ...]


class Sharing(Record):
    """What prompts begin with that other prompts begin with too.

    Attributes:
        beginnings: different shared beginnings.
        requests: share of the requests whose prompt has one.
        cached_tokens: share of all prompt tokens that an unlimited prefix cache would save.
    """

    beginnings: int
    requests: float
    cached_tokens: float


class Conversations(Record):
    """Sessions of more than one turn, and requests that stand alone.

    Attributes:
        sessions: sessions, of one turn or more.
        turns: mean turns of a session.
        most_turns: of the longest session.
        think_s: mean pause before a later turn.
    """

    sessions: int
    turns: float
    most_turns: int
    think_s: float


class Description(Record):
    """A trace, or a part of one, in numbers.

    Attributes:
        file: the file, as it was named.
        format: name of its format.
        requests: how many.
        timed: whether the file says when requests came.
        span_s: from the first request to the last.
        rate_rps: gaps a second; None where all requests come at once.
        burstiness: None with fewer than two gaps, or where all requests come at once.
        peaks: over windows that are no longer than the span.
        timeline: None where all requests come at once.
        prompt_tokens: lengths of prompts.
        output_tokens: lengths of outputs.
        total_tokens: lengths of both together.
        correlation: Pearson's, of prompt and output; None where one of them never varies.
        one_token_outputs: share of the requests with a single output token, which have no TPOT.
        sharing: None where the file does not say what prompts share.
        conversations: None where the file has no sessions of several turns.
        notes: what of the file was not used, repaired or estimated, a sentence each.
        as_trace: a spec's `[workload]` that plays this; None where none can: the name of the
            file cannot be written, or it has no times.
        as_synthetic: a `[workload]` that draws requests like these; None where all come at once.
    """

    schema_version: Literal[1] = 1
    file: str
    format: str
    requests: int
    timed: bool
    span_s: float
    rate_rps: float | None
    burstiness: Burstiness | None
    peaks: tuple[Peak, ...]
    timeline: Timeline | None
    prompt_tokens: Lengths
    output_tokens: Lengths
    total_tokens: Lengths
    correlation: float | None
    one_token_outputs: float
    sharing: Sharing | None
    conversations: Conversations | None
    notes: tuple[str, ...]
    as_trace: Workload | None
    as_synthetic: Workload | None

    @field_serializer("as_trace", "as_synthetic")
    def _as_written(self, workload: Workload | None) -> dict[str, Any] | None:
        """Return what stands in the table, without defaults."""
        return None if workload is None else workload.model_dump(exclude_unset=True)
