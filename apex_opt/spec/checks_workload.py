"""Rules between the keys of `[workload]`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

from apex_opt.spec.faults import Fault
from apex_opt.spec.lines import Loc
from apex_opt.spec.spec import Spec
from apex_opt.spec.words import number, one_of
from apex_opt.spec.workload import (
    Distribution,
    Empirical,
    Fixed,
    Lognormal,
    LognormalTime,
    TimeDistribution,
    Uniform,
    UniformTime,
    Workload,
)

Z99 = NormalDist().inv_cdf(0.99)
LARGEST_TAIL = math.exp(Z99**2 / 2)
"""p99 / mean of a lognormal is exp(z s - s^2 / 2), with its largest value at s = z: 14.97."""

RATED = ("constant", "poisson", "gamma")
DRAWN = (*RATED, "piecewise", "closed")
OPEN_LOOP = (*RATED, "piecewise", "trace")

NEEDED = {
    "rate_rps": (RATED, "rate_rps = 8.0"),
    "phases": (("piecewise",), "phases = [{ until_s = 60, rate_rps = 2 }, { rate_rps = 8 }]"),
    "concurrency": (("closed",), "concurrency = 64"),
    "file": (("trace",), 'file = "trace.csv"'),
    "prompt_tokens": (DRAWN, "prompt_tokens = 512"),
    "output_tokens": (DRAWN, "output_tokens = 128"),
}
"""By key: the arrivals that cannot do without it, and what to write."""

LENGTHS = ("prompt_tokens", "output_tokens")
DRAWN_LENGTHS = (*LENGTHS, "images_per_request")

ALLOWED = {
    **{key: arrivals for key, (arrivals, _) in NEEDED.items()},
    "burstiness": ("gamma",),
    "lengths_from": DRAWN,
    "start_s": ("trace",),
    "duration_s": ("trace",),
    "time_scale": ("trace",),
    "later_turns": ("trace",),
    "images_per_request": DRAWN,
    "distinct_prompts": DRAWN,
    "sessions": DRAWN,
    "samples": OPEN_LOOP,
}
"""By key: the only arrivals that read it."""

OF_FILES = ("format", "repair", "block_tokens", "characters_per_token")
"""Keys that say how a trace is read."""

APART = (
    ("prompt_tokens", "lengths_from"),
    ("output_tokens", "lengths_from"),
    ("distinct_prompts", "sessions"),
    ("samples", "sessions"),
    ("images_per_request", "distinct_prompts"),
)
"""Keys that cannot both be given: a key, and the one that it cannot stand beside."""


def arrivals_have_what_they_need(spec: Spec) -> Iterator[Fault]:
    """A rate, clients, a trace and lengths are given wherever the arrival reads them."""
    arrival = spec.workload.arrival
    for key, (arrivals, example) in NEEDED.items():
        drawn_together = key in LENGTHS and spec.workload.lengths_from is not None
        if arrival in arrivals and getattr(spec.workload, key) is None and not drawn_together:
            why = f'missing; `arrival = "{arrival}"` needs it: write for example `{example}`'
            yield Fault(("workload", key), why)


def arrivals_read_what_is_given(spec: Spec) -> Iterator[Fault]:
    """No key is given that the arrival would ignore."""
    arrival = spec.workload.arrival
    for key, arrivals in ALLOWED.items():
        if arrival not in arrivals and _given(spec.workload, key):
            why = (
                f'means nothing with `arrival = "{arrival}"`; `arrival` must be {one_of(arrivals)}'
            )
            yield Fault(("workload", key), why)
    if arrival != "trace" and spec.workload.lengths_from is None:
        for key in OF_FILES:
            if _given(spec.workload, key):
                yield Fault(("workload", key), "means nothing without a trace: no file is read")


def keys_that_exclude_each_other(spec: Spec) -> Iterator[Fault]:
    """No two keys are given that each say the same thing in another way."""
    for key, other in APART:
        if _given(spec.workload, key) and _given(spec.workload, other):
            yield Fault(("workload", key), f"cannot stand beside `{other}`; keep one of the two")


def images_are_for_models_that_see(spec: Spec) -> Iterator[Fault]:
    """`images_per_request` needs an encoder of images, `image_share` needs images."""
    workload = spec.workload
    if workload.images_per_request is not None and spec.model.vision is None:
        why = f"needs a model with an encoder of images, which `{spec.model.name}` has not"
        why += "; leave it out, or write `[model.vision]`"
        yield Fault(("workload", "images_per_request"), why)
    if workload.images_per_request is None and _given(workload, "image_share"):
        yield Fault(
            ("workload", "image_share"), "means nothing without images: write `images_per_request`"
        )


SHARED = ("prefix", "distinct_prompts", "sessions", "samples")


def what_an_encoder_reads_is_not_shared(spec: Spec) -> Iterator[Fault]:
    """Requests to an encoder-decoder model share no beginnings: its inputs are read whole."""
    for key in SHARED if spec.model.encoder is not None else ():
        if _given(spec.workload, key):
            yield Fault(
                ("workload", key), "cannot stand beside an encoder-decoder model; leave it out"
            )


def _given(workload: Workload, key: str) -> bool:
    """Whether a key says anything but its default."""
    given: bool = getattr(workload, key) != Workload.model_fields[key].default
    return given


def phases_follow_each_other(spec: Spec) -> Iterator[Fault]:
    """`until_s` grows from phase to phase, only the last is without, and some phase has a rate."""
    phases, end = spec.workload.phases or (), 0.0
    for nth, phase in enumerate(phases):
        loc = ("workload", "phases", nth)
        if phase.until_s is None:
            if nth + 1 < len(phases):
                yield Fault((*loc, "until_s"), "missing; only the last phase goes on without end")
            elif not phase.rate_rps:
                yield Fault((*loc, "rate_rps"), "must be above 0 where the phase has no end, got 0")
        elif phase.until_s <= end:
            why = f"must be above {number(end)}, where the phase before ends"
            yield Fault((*loc, "until_s"), f"{why}, got {number(phase.until_s)}")
        end = phase.until_s or end
    if phases and phases[-1].until_s is not None and not any(p.rate_rps for p in phases):
        yield Fault(("workload", "phases"), "have no request: every `rate_rps` is 0")


def prompts_can_hold_what_they_share(spec: Spec) -> Iterator[Fault]:
    """`prefix.tokens` is below the longest prompt that can be drawn, outside of sessions."""
    workload = spec.workload
    if workload.prefix is None or workload.prompt_tokens is None or workload.sessions is not None:
        return
    longest, shared = _longest(workload.prompt_tokens), workload.prefix.tokens
    if longest is not None and shared >= longest:
        why = f"must be below {longest:,}, the longest of `prompt_tokens`, got {shared:,}"
        yield Fault(("workload", "prefix", "tokens"), why)


def _longest(lengths: Distribution) -> int | None:
    """Return the longest length that can be drawn; None where there is none."""
    match lengths:
        case Fixed(value=value):
            return value
        case Uniform(high=high):
            return high
        case Lognormal(maximum=maximum):
            return maximum
        case Empirical(values=values):
            return max(values)


def shares_are_not_all_zero(spec: Spec) -> Iterator[Fault]:
    """Some priority has a share."""
    shares = spec.workload.priority_shares
    if shares is not None and not any(shares):
        yield Fault(("workload", "priority_shares"), "must not all be 0")


def uniform_bounds_are_in_order(spec: Spec) -> Iterator[Fault]:
    """`low` <= `high`."""
    for loc, lengths in _distributions(spec):
        if isinstance(lengths, (Uniform, UniformTime)) and lengths.low > lengths.high:
            yield Fault(
                (*loc, "high"),
                f"must be {number(lengths.low)} or more, `low`, got {number(lengths.high)}",
            )


def lognormals_exist(spec: Spec) -> Iterator[Fault]:
    """`mean` < `p99` <= 14.97 `mean`: no lognormal has any other 99th percentile."""
    for loc, lengths in _distributions(spec):
        if isinstance(lengths, (Lognormal, LognormalTime)):
            most = lengths.mean * LARGEST_TAIL
            if not lengths.mean < lengths.p99 <= most:
                why = (
                    f"must be above {number(lengths.mean)}, `mean`, and at most 14.97 times `mean`"
                )
                yield Fault((*loc, "p99"), f"{why}, got {number(lengths.p99)}")


def longest_is_above_the_mean(spec: Spec) -> Iterator[Fault]:
    """`maximum` > `mean`: otherwise no sample could have that mean."""
    for loc, lengths in _distributions(spec):
        if isinstance(lengths, Lognormal) and lengths.maximum is not None:
            mean, maximum = lengths.mean, lengths.maximum
            if maximum <= mean:
                why = f"must be above {number(mean)}, `mean`, got {maximum:,}"
                yield Fault((*loc, "maximum"), why)


def weights_belong_to_values(spec: Spec) -> Iterator[Fault]:
    """There are as many `weights` as `values`, and they are not all 0."""
    for loc, lengths in _distributions(spec):
        if not isinstance(lengths, Empirical) or lengths.weights is None:
            continue
        weights, values = len(lengths.weights), len(lengths.values)
        if weights != values:
            why = f"must have {values:,} numbers, one for each of `values`, got {weights:,}"
            yield Fault((*loc, "weights"), why)
        if not any(lengths.weights):
            yield Fault((*loc, "weights"), "must not all be 0")


def _distributions(spec: Spec) -> Iterator[tuple[Loc, Distribution | TimeDistribution]]:
    """Yield the distributions that are given, and where."""
    workload, sessions = spec.workload, spec.workload.sessions
    for key in DRAWN_LENGTHS:
        if (lengths := getattr(workload, key)) is not None:
            yield ("workload", key), lengths
    if sessions is not None:
        yield ("workload", "sessions", "turns"), sessions.turns
        yield ("workload", "sessions", "think_time_s"), sessions.think_time_s


WORKLOAD_RULES = (
    (
        ("workload.arrival",),
        (
            arrivals_have_what_they_need,
            arrivals_read_what_is_given,
            keys_that_exclude_each_other,
        ),
    ),
    (
        ("workload", "model"),
        (images_are_for_models_that_see, what_an_encoder_reads_is_not_shared),
    ),
    (("workload.phases",), (phases_follow_each_other,)),
    (
        ("workload.prefix", "workload.prompt_tokens", "workload.sessions"),
        (prompts_can_hold_what_they_share,),
    ),
    (("workload.priority_shares",), (shares_are_not_all_zero,)),
    (
        (
            "workload.prompt_tokens",
            "workload.output_tokens",
            "workload.images_per_request",
            "workload.sessions",
        ),
        (
            uniform_bounds_are_in_order,
            lognormals_exist,
            longest_is_above_the_mean,
            weights_belong_to_values,
        ),
    ),
)
"""The rules, by the keys that they read."""
