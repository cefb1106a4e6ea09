"""Changes beyond the entries of a conflict: another device of the catalogue, another router."""

from __future__ import annotations

import math
from collections.abc import Iterator

from apex_opt.auditing.dials import CHOICE, Options, in_pool, under
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.repair import Move, Repair
from apex_opt.auditing.result import Code
from apex_opt.cost.rates import half_precision
from apex_opt.errors import CallError
from apex_opt.plan.needs import require_figures
from apex_opt.solvers.fleet_alone import most
from apex_opt.spec import catalog
from apex_opt.spec.checks import check
from apex_opt.spec.goals import Objective
from apex_opt.spec.pools import Device, Pool
from apex_opt.spec.spec import Spec

NEAREST, MORE = 2, 1.1
"""Devices that are tried in place of a pool's, beside the largest; by how much they have more."""

OTHER_MAKERS = ("gaudi", "mi", "tpu")
"""Beginnings of names of devices that are not NVIDIA's: engines change with the maker."""

SIZE = 2 * CHOICE
"""How large such a change counts: another device is bought, not written."""

BY_DEVICE: frozenset[Code] = frozenset(
    {"memory.weights", "memory.kv_cache", "memory.activations", "format", "slo.unreachable",
     "slo.load", "demand"}
)  # fmt: skip
BY_ROUTER: frozenset[Code] = frozenset({"slo.load"})
"""Causes that another device, or another router, may cure."""


def beyond(judge: Judge, spec: Spec, code: Code) -> list[Repair]:
    """Return changes beyond the entries of a conflict that make `spec` feasible, one an entry.

    Of a large space a few replicas are looked at: what is not offered is not excluded.

    Args:
        judge: answers.
        spec: an infeasible spec, with all other conflicts cured.
        code: the cause of the conflict.
    """
    chosen = [e for e in widenings(spec, code) if e.loc[0] != "routing" or _several(judge, spec)]
    tried = [_first(judge, spec, entry) for entry in chosen]
    return [repair for repair in tried if repair is not None]


def _several(judge: Judge, spec: Spec) -> bool:
    """Whether a plan may have several replicas, so that a router has a choice."""
    asked = judge.problem(spec)
    return asked is not None and any(most(asked.data, r) > 1 for r in range(len(asked.candidates)))


def widenings(spec: Spec, code: Code) -> Iterator[Entry]:
    """Yield the entries that may be widened for a cause, beside those that are in conflict.

    Under a budget another device is no offer: it has another price.
    """
    if code in BY_DEVICE and spec.limits.budget_per_hour is None:
        for nth, pool in enumerate(spec.pools):
            others = tuple((device, _bought(spec, pool, device)) for device in larger(pool))
            if others:
                dial = Options(pool.device.name, others, others[-1][0], in_pool(nth, "device"))
                yield Entry(f"pools.{pool.name}.device", ("pools", nth, "device"), "node", dial)
    if code in BY_ROUTER and spec.routing.router in {"round_robin", "random"}:
        value, put = "least_outstanding", under("routing", "router")
        dial = Options(spec.routing.router, ((value, f'write `router = "{value}"`'),), value, put)
        written = "router" in spec.routing.model_fields_set
        yield Entry("routing.router", ("routing", "router"), "engine", dial, written)


def _bought(spec: Spec, pool: Pool, device: Device) -> str:
    """Return the change to another device in words: its price too, where cost counts."""
    words = f"{device.name} devices in pool {pool.name}"
    known = pool.price_per_device_hour is not None or device.price_per_device_hour is not None
    return words if known or spec.objective.minimize != "cost" else f"{words} (write their price)"


def larger(pool: Pool) -> list[Device]:
    """Return devices of the same maker with clearly more memory or bandwidth, and no less of all.

    The two nearest and the largest, by the product of memory, bandwidth and 16-bit peak; none whose
    power is not known.
    """
    mine = _figures(pool.device)
    found = []
    for device in catalog.entries("devices"):
        assert isinstance(device, Device)
        known = device.tdp_w is not None or pool.power_cap_w is not None
        if not known or _maker(device) != _maker(pool.device):
            continue
        ratios = [a / b for a, b in zip(_figures(device), mine, strict=True)]
        if min(ratios) >= 1 and max(ratios[:2]) >= MORE:
            found.append((math.prod(ratios), device.name, device))
    devices = [device for _, _, device in sorted(found, key=lambda row: row[:2])]
    return [*devices[:NEAREST], *devices[NEAREST:][-1:]]


def _maker(device: Device) -> str:
    return next((name for name in OTHER_MAKERS if device.name.startswith(name)), "nvidia")


def _figures(device: Device) -> tuple[float, float, float]:
    peak = device.peak_tflops[half_precision(device)]
    return device.memory_bytes, device.bandwidth_gbytes_per_s, peak


def _first(judge: Judge, spec: Spec, entry: Entry) -> Repair | None:
    """Return the first of an entry's other values with which a plan is seen at a glance."""
    assert isinstance(entry.dial, Options)
    for value, words in entry.dial.others:
        if judge.late:
            return None
        changed = entry.dial.put(spec, value)
        verdict = None if _wrong(changed) else judge.glance(changed)
        if verdict is not None and verdict.plan is not None and verdict.asked is not None:
            moves = (Move(entry, value, words, SIZE),)
            return Repair(moves, changed, verdict.asked, verdict.plan, False, (None,))
    return None


def _wrong(spec: Spec) -> bool:
    """Whether a spec has a cap below idle power, or clocks that its device does not have.

    A price may be missing: whoever buys a device knows it.
    """
    priced = spec.model_copy(update={"objective": Objective(minimize="devices")})
    try:
        require_figures(priced)
    except CallError:
        return True
    return bool(check(spec))
