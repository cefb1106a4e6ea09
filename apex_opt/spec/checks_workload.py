"""Rules between the keys of `[workload]`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

from apex_opt.spec.faults import Fault
from apex_opt.spec.lines import Loc
from apex_opt.spec.spec import Spec
from apex_opt.spec.words import number, one_of
from apex_opt.spec.workload import Distribution, Empirical, Lognormal, Uniform, Workload

Z99 = NormalDist().inv_cdf(0.99)
LARGEST_TAIL = math.exp(Z99**2 / 2)
"""p99 / mean of a lognormal is exp(z s - s^2 / 2), with its largest value at s = z: 14.97."""

OPEN_LOOP = ("constant", "poisson", "gamma")
DRAWN = (*OPEN_LOOP, "closed")

NEEDED = {
    "rate_rps": (OPEN_LOOP, "rate_rps = 8.0"),
    "concurrency": (("closed",), "concurrency = 64"),
    "file": (("trace",), 'file = "trace.csv"'),
    "prompt_tokens": (DRAWN, "prompt_tokens = 512"),
    "output_tokens": (DRAWN, "output_tokens = 128"),
}
"""By key: the arrivals that cannot do without it, and what to write."""

ALLOWED = {
    **{key: arrivals for key, (arrivals, _) in NEEDED.items()},
    "burstiness": ("gamma",),
    "format": ("trace",),
    "time_scale": ("trace",),
}
"""By key: the only arrivals that read it."""


def arrivals_have_what_they_need(spec: Spec) -> Iterator[Fault]:
    """A rate, clients, a trace and lengths are given wherever the arrival reads them."""
    arrival = spec.workload.arrival
    for key, (arrivals, example) in NEEDED.items():
        if arrival in arrivals and getattr(spec.workload, key) is None:
            why = f'missing; `arrival = "{arrival}"` needs it: write for example `{example}`'
            yield Fault(("workload", key), why)


def arrivals_read_what_is_given(spec: Spec) -> Iterator[Fault]:
    """No key is given that the arrival would ignore."""
    arrival = spec.workload.arrival
    for key, arrivals in ALLOWED.items():
        default = Workload.model_fields[key].default
        if arrival not in arrivals and getattr(spec.workload, key) != default:
            why = (
                f'means nothing with `arrival = "{arrival}"`; `arrival` must be {one_of(arrivals)}'
            )
            yield Fault(("workload", key), why)


def trace_names_are_printable(spec: Spec) -> Iterator[Fault]:
    """`workload.file` and `workload.format` have no control characters."""
    for key in ("file", "format"):
        value = getattr(spec.workload, key)
        if value is not None and not value.isprintable():
            yield Fault(("workload", key), "must have no control characters")


def uniform_bounds_are_in_order(spec: Spec) -> Iterator[Fault]:
    """`low` <= `high`."""
    for loc, lengths in _distributions(spec):
        if isinstance(lengths, Uniform) and lengths.low > lengths.high:
            yield Fault(
                (*loc, "high"), f"must be {lengths.low:,} or more, `low`, got {lengths.high:,}"
            )


def lognormals_exist(spec: Spec) -> Iterator[Fault]:
    """`mean` < `p99` <= 14.97 `mean`: no lognormal has any other 99th percentile."""
    for loc, lengths in _distributions(spec):
        if isinstance(lengths, Lognormal):
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


def _distributions(spec: Spec) -> Iterator[tuple[Loc, Distribution]]:
    """Yield the distributions of lengths that are given, and where."""
    workload = spec.workload
    given: tuple[tuple[Loc, Distribution | None], ...] = (
        (("workload", "prompt_tokens"), workload.prompt_tokens),
        (("workload", "output_tokens"), workload.output_tokens),
        (("workload", "sessions", "turns"), workload.sessions.turns if workload.sessions else None),
    )
    yield from ((loc, lengths) for loc, lengths in given if lengths is not None)


WORKLOAD_RULES = (
    (("workload.arrival",), (arrivals_have_what_they_need, arrivals_read_what_is_given)),
    (("workload.file", "workload.format"), (trace_names_are_printable,)),
    (
        ("workload.prompt_tokens", "workload.output_tokens", "workload.sessions"),
        (
            uniform_bounds_are_in_order,
            lognormals_exist,
            longest_is_above_the_mean,
            weights_belong_to_values,
        ),
    ),
)
"""The rules, by the keys that they read."""
