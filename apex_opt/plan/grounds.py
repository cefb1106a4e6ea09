"""What a prediction rests on: how far its engine, its model and its devices are known.

All half-widths are relative, and nine in ten measured runs lie within them: 0.2 is from 1/1.2 to
1.2 times the figure. Independent ones join as the root of the sum of their squared logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from apex_opt.cost.kernel_error import kernel_error
from apex_opt.cost.shape import Shape
from apex_opt.plan.result import Ground
from apex_opt.plan.use import Part
from apex_opt.sim.totals import Totals
from apex_opt.spec import catalog
from apex_opt.spec.engine import Validation, Within
from apex_opt.spec.pools import Device

POWER_PRIOR = 0.65
"""Half-width of power where it was not measured: the widest of the devices that were (B200)."""


@dataclass(frozen=True)
class Widths:
    """Half-widths of a deployment.

    Attributes:
        ttft, tpot: of these latencies without load; `tpot` is that of its steps.
        kernels: the device's part of `tpot`, whether or not runs on it were measured.
        power: of what its devices draw above idle.
        grounds: what of it counts, in words.
    """

    ttft: float
    tpot: float
    kernels: float
    power: float
    grounds: tuple[Ground, ...]


def joined(*widths: float) -> float:
    """Return the half-width of a product of independent factors."""
    return math.expm1(math.hypot(*(math.log1p(width) for width in widths)))


def widths(part: Part, did: Totals) -> Widths:
    """Return the half-widths of a deployment that was simulated."""
    shape = part.candidate.shape
    within, engine = _engine(shape)
    kernels, devices = kernel_error(shape, did), _devices(shape)
    power = max(map(_power, devices), key=lambda ground: ground.half_width)
    own = shape.release.validation
    if own is not None and {device.name for device in devices} <= set(own.devices):
        return Widths(within.ttft, within.tpot, kernels, power.half_width, (*engine, power))
    sources = [device.efficiency.source for device in devices]
    measured = not any("prior" in source for source in sources)
    by_kernels = Ground(
        what=f"kernels of {_names(devices)}, " + ("measured" if measured else "not measured"),
        half_width=kernels,
        source="; ".join(sources),
    )
    return Widths(
        joined(within.ttft, kernels),
        joined(within.tpot, kernels),
        kernels,
        power.half_width,
        (*engine, by_kernels, power),
    )


def _devices(shape: Shape) -> list[Device]:
    """Return the devices of a replica, each kind once."""
    return list({place.pool.device.name: place.pool.device for place in shape.places}.values())


def _names(devices: Sequence[Device]) -> str:
    return " and ".join(device.name for device in devices)


def _engine(shape: Shape) -> tuple[Within, tuple[Ground, ...]]:
    """Return how far the engine is known with this model, and the same in words."""
    name, release, model = shape.settings.engine, shape.release, shape.model
    own, what = release.validation, f"{name} {release.version}"
    moe = any(kind.ffn.kind == "moe" for kind in model.layers.values())
    found = None if own is None else own.moe if moe else own.dense
    known = None if own is None else own.models.get(catalog.fold(model.name))
    if own is not None and known is not None:
        within, what, source = known, f"{what} with {model.name}, measured", own.source
    elif own is not None and found is not None:
        within, what, source = found, f"{what}, other models measured", own.source
    else:
        within, source = _widest(name, moe=moe), "the widest of its releases"
        kind = "with routed experts" if moe else "without routed experts"
        what += ", not measured" if own is None else f", no model {kind} measured"
    return within, tuple(
        Ground(what=f"{metric} of {what}", half_width=width, source=source)
        for metric, width in (("TTFT", within.ttft), ("TPOT", within.tpot))
    )


def _widest(engine: str, *, moe: bool) -> Within:
    """Return the widest of an engine's releases for a model that was not measured."""
    known = [r.validation for r in catalog.engine(engine).releases if r.validation is not None]
    alike = [v.moe if moe else v.dense for v in known]
    found = [w for w in alike if w is not None] or [w for v in known for w in _classes(v)]
    return Within(ttft=max(w.ttft for w in found), tpot=max(w.tpot for w in found))


def _classes(one: Validation) -> list[Within]:
    return [w for w in (*one.models.values(), one.dense, one.moe) if w is not None]


def _power(device: Device) -> Ground:
    """Return how far the power of a device is known: of its kernels, as it was never of runs."""
    use = device.efficiency.power
    measured = use.error is not None
    return Ground(
        what=f"power of {device.name}, " + ("kernels measured" if measured else "not measured"),
        half_width=use.error[1] / 100 if use.error is not None else POWER_PRIOR,
        source=use.source or "prior",
    )


def alike(one: Sequence[Part], other: Sequence[Part]) -> bool:
    """Return whether two plans stand on the same devices, formats and clocks."""
    return _kinds(one) == _kinds(other)


def _kinds(parts: Sequence[Part]) -> set[tuple[str, str, str, float]]:
    return {
        (place.pool.device.name, s.weights.name, s.kv_cache.name, place.clock)
        for s in (part.candidate.shape for part in parts)
        for place in s.places
    }
