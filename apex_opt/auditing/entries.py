"""The entries of a spec that may be loosened, each with its place, its value and its range.

Ranges are finite, so that the search for a relaxation is: stock up to 16 times, limits as far or to
all that so much stock takes, latency levels up to 1,000 times and to an hour at least, demand down
to a thousandth, choices within the catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from apex_opt.auditing.choices import choices
from apex_opt.auditing.dials import Dial, Options, Put, Range, in_pool, replaced, under
from apex_opt.cost.rates import node_share_w
from apex_opt.plan.levels import METRICS, counts_goodput
from apex_opt.spec.goals import Percentiles
from apex_opt.spec.lines import Loc
from apex_opt.spec.pools import Pool
from apex_opt.spec.spec import Spec
from apex_opt.spec.workload import Workload

Family = Literal[
    "slo", "stability", "demand", "stock", "node", "power", "budget", "devices", "replicas",
    "starts", "spot", "spares", "reserve", "format", "parallelism", "engine", "kinds",
]  # fmt: skip
STOCK = 16
LATENCY = 1000
HOUR_S, HOUR_MS = 3600.0, 3_600_000.0
"""To which a level may be loosened at least: one that is written in seconds is still cured."""

DEMAND = 1000
LEAST_ATTAINMENT = 0.01
LARGEST_NODE = 16
FEWEST = 20
"""Requests that are expected at the least: of fewer there may come none."""


@dataclass(frozen=True)
class Entry:
    """An entry of a spec: where it stands, what it says, and how it can be loosened.

    Attributes:
        key: as people write it: `pools.h100.nodes`.
        loc: where it stands in the document.
        family: what kind of limit it is.
        dial: its value and its range.
        written: whether the spec says it; else it is a default.
        replayed: whether simulations of a plan change with it. Then a value at which none does
            says nothing of tighter ones: other arrivals or steps may fall together better.
    """

    key: str
    loc: Loc
    family: Family
    dial: Dial
    written: bool = True
    replayed: bool = False

    @property
    def shown(self) -> str:
        """Its value, for people."""
        return self.dial.value if isinstance(self.dial, Options) else self.dial.say(self.dial.value)

    @property
    def multiplies(self) -> bool:
        """Whether loosened it adds replicas to choose from, for each of those that there are."""
        return isinstance(self.dial, Options) or self.family == "parallelism"

    def loosened(self, spec: Spec) -> Spec:
        """Return the spec with this entry at the end of its range."""
        return self.dial.loosest(spec)


def entries(spec: Spec, drain_s: float, *, unwritten: bool) -> tuple[Entry, ...]:
    """Return the entries of `spec`, in the order in which they are cleared of blame.

    Where several entries could be blamed alike, the last of them are: choices rather than limits,
    limits rather than stock, stock rather than levels.

    Args:
        spec: a spec, as loaded.
        drain_s: what `slo.drain_s` is, be it by default.
        unwritten: look at the engine's defaults too.
    """
    made = [*_levels(spec), *_stability(spec, drain_s), *_demand(spec)]
    made += [*_pools(spec), *_limits(spec)]
    for key, loc, family, dial, written in choices(spec, unwritten=unwritten):
        made.append(Entry(key, loc, family, dial, written))
    return tuple(e for e in made if not (isinstance(e.dial, Options) and not e.dial.others))


def _level(metric: str, statistic: str | None) -> Put:
    def put(spec: Spec, limit: float) -> Spec:
        value: float | Percentiles = limit
        if statistic is not None:
            value = getattr(spec.slo, metric).model_copy(update={statistic: limit})
        return replaced(spec, {"slo": spec.slo.model_copy(update={metric: value})})

    return put


def _latest(limit: float, hour: float) -> float:
    """Return how far a level may be loosened: 1,000 times, or to an hour if that is more."""
    return max(LATENCY * limit, hour)


def _levels(spec: Spec) -> Iterator[Entry]:
    for metric in METRICS:
        limit = getattr(spec.slo, metric)
        if isinstance(limit, float):
            dial = Range(limit, _latest(limit, HOUR_MS), False, "ms", _level(metric, None))
            yield Entry(f"slo.{metric}", ("slo", metric), "slo", dial)
        elif isinstance(limit, Percentiles):
            for name, value in limit.limits().items():
                put = _level(metric, name)
                dial = Range(value, _latest(value, HOUR_MS), False, "ms", put)
                yield Entry(f"slo.{metric}.{name}", ("slo", metric, name), "slo", dial)
    if not counts_goodput(spec):
        share = Range(spec.slo.attainment, LEAST_ATTAINMENT, False, "", under("slo", "attainment"))
        written = "attainment" in spec.slo.model_fields_set
        yield Entry("slo.attainment", ("slo", "attainment"), "slo", share, written)


def _stability(spec: Spec, drain_s: float) -> Iterator[Entry]:
    if counts_goodput(spec) or spec.workload.arrival == "closed":
        return
    dial = Range(drain_s, _latest(drain_s, HOUR_S), False, "s", under("slo", "drain_s"))
    written = spec.slo.drain_s is not None
    yield Entry("slo.drain_s", ("slo", "drain_s"), "stability", dial, written)


def _expected(asked: Workload) -> float:
    """Return how many requests are expected over the phases; without end infinitely many."""
    start, total = 0.0, 0.0
    for phase in asked.phases or ():
        if phase.until_s is None or asked.requests is not None:
            return math.inf
        total += phase.rate_rps * (phase.until_s - start)
        start = phase.until_s
    return total


def _phases(asked: Workload) -> Put:
    """Return what sets all rates of phases to so many times what they are in `asked`."""

    def put(spec: Spec, times: float) -> Spec:
        phases = tuple(
            phase.model_copy(update={"rate_rps": times * phase.rate_rps})
            for phase in asked.phases or ()
        )
        return under("workload", "phases")(spec, phases)

    return put


def _demand(spec: Spec) -> Iterator[Entry]:
    asked = spec.workload
    if asked.arrival == "closed" and asked.concurrency is not None and asked.concurrency > 1:
        dial = Range(asked.concurrency, 1, True, "clients", under("workload", "concurrency"))
        loc = ("workload", "concurrency")
        yield Entry("workload.concurrency", loc, "demand", dial, replayed=True)
    elif asked.arrival == "trace":
        scale = asked.time_scale
        dial = Range(scale, DEMAND * scale, False, "", under("workload", "time_scale"))
        written, loc = "time_scale" in asked.model_fields_set, ("workload", "time_scale")
        yield Entry("workload.time_scale", loc, "demand", dial, written, replayed=True)
    elif asked.phases is not None:
        least = max(1 / DEMAND, FEWEST / _expected(asked))
        if least < 1:
            times = Range(1.0, least, False, "x its rates", _phases(asked))
            loc = ("workload", "phases")
            yield Entry("workload.phases", loc, "demand", times, replayed=True)
    elif asked.rate_rps is not None:
        rate = asked.rate_rps
        dial = Range(rate, rate / DEMAND, False, "requests/s", under("workload", "rate_rps"))
        yield Entry("workload.rate_rps", ("workload", "rate_rps"), "demand", dial, replayed=True)


def _limits(spec: Spec) -> Iterator[Entry]:
    limits, pools = spec.limits, spec.pools
    devices = float(sum(p.devices for p in pools))
    price = sum(p.devices * p.price for p in pools)
    draw = sum(_rated_w(p) for p in pools)
    rows: tuple[tuple[str, Family, float | None, float, str], ...] = (
        ("power_w", "power", limits.power_w, draw, "W"),
        ("budget_per_hour", "budget", limits.budget_per_hour, price, "USD/h"),
        ("devices", "devices", limits.devices, devices, "devices"),
        ("prefill_devices", "devices", limits.prefill_devices, devices, "devices"),
        ("decode_devices", "devices", limits.decode_devices, devices, "devices"),
        ("replicas", "replicas", limits.replicas, devices, "replicas"),
    )
    for key, family, value, all_of_it, unit in rows:
        if value is not None:
            whole = family in {"devices", "replicas"}
            dial = Range(value, STOCK * max(value, all_of_it), whole, unit, under("limits", key))
            yield Entry(f"limits.{key}", ("limits", key), family, dial)
    share = limits.spot_fraction
    if share is not None and share < 1:
        dial = Range(share, 1.0, False, "", under("limits", "spot_fraction"))
        yield Entry("limits.spot_fraction", ("limits", "spot_fraction"), "spot", dial)
    if spec.existing is not None and (started := spec.existing.max_starts) is not None:
        end = STOCK * max(started, devices)
        dial = Range(started, end, True, "starts", under("existing", "max_starts"))
        yield Entry("existing.max_starts", ("existing", "max_starts"), "starts", dial)
    reserve = limits.memory_reserve_fraction
    if reserve > 0:
        dial = Range(reserve, 0.0, False, "", under("limits", "memory_reserve_fraction"))
        loc = ("limits", "memory_reserve_fraction")
        yield Entry("limits.memory_reserve_fraction", loc, "reserve", dial, replayed=True)


def _rated_w(pool: Pool) -> float:
    """Return what all devices of a pool may draw, with their share of the nodes."""
    each = (pool.device.tdp_w or pool.power_cap_w or 0.0) + node_share_w(pool)
    return pool.devices * each * pool.pue


def _pools(spec: Spec) -> Iterator[Entry]:
    for nth, pool in enumerate(spec.pools):
        name, loc = f"pools.{pool.name}", ("pools", nth)
        if pool.power_w is not None:
            end = STOCK * max(pool.power_w, _rated_w(pool))
            watts = Range(pool.power_w, end, False, "W", in_pool(nth, "power_w"))
            yield Entry(f"{name}.power_w", (*loc, "power_w"), "power", watts)
        cap, tdp = pool.power_cap_w, pool.device.tdp_w
        if cap is not None and tdp is not None and cap < tdp:
            capped = Range(cap, tdp, False, "W", in_pool(nth, "power_cap_w"))
            at = (*loc, "power_cap_w")
            yield Entry(f"{name}.power_cap_w", at, "power", capped, replayed=True)
        sizes = [2**k for k in range(11) if pool.node_devices < 2**k <= LARGEST_NODE]
        if sizes:
            put = in_pool(nth, "devices_per_node")
            others = tuple((s, f"nodes of {s} devices in pool {pool.name}") for s in sizes)
            node = Options(str(pool.node_devices), others, sizes[-1], put)
            written = pool.devices_per_node is not None
            key = f"{name}.devices_per_node"
            yield Entry(key, (*loc, "devices_per_node"), "node", node, written)
        nodes = Range(pool.nodes, STOCK * pool.nodes, True, "nodes", in_pool(nth, "nodes"))
        written = "nodes" in pool.model_fields_set
        yield Entry(f"{name}.nodes", (*loc, "nodes"), "stock", nodes, written)
        if pool.spare_replicas:
            put = in_pool(nth, "spare_replicas")
            spares = Range(pool.spare_replicas, 0, True, "spare replicas", put)
            yield Entry(f"{name}.spare_replicas", (*loc, "spare_replicas"), "spares", spares)
