"""How fast one device computes, reads and draws power.

Power of an operator, above idle, is a share of what lies between idle and TDP:

    active + min(1 - active, max(compute x compute utilisation, memory x bandwidth utilisation))

with the three numbers of the device's `PowerUse`. The compute part, once limited, follows the clock
as clock x voltage^2, with voltage = 0.6 + 0.4 x clock of its maximum: a prior for voltage-frequency
scaling, not fitted.

Under a pool's own cap, an operator that would draw more is throttled to the cap: its clock falls
until the compute part fits, or its reads are spread until the memory part does, whichever takes
longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from apex_opt.cost.curves import Array, power_share
from apex_opt.cost.shape import Shape
from apex_opt.spec.pools import Device, Pool, Precision
from apex_opt.spec.quantization import WeightFormat

CLOCKS = np.linspace(0.0, 1.0, 1025)
"""Grid of clocks on which a throttled one is looked up."""

IDLE_SHARE = 0.12
"""Idle power as a share of TDP where the data sheet is silent: H200 77 of 700 W is 0.11, MI250X
0.17.
"""


@dataclass(frozen=True)
class Cost:
    """Seconds and joules above idle of one device, as arrays of one shape (or scalars).

    Joules are those of the facility: of the device, times `pue` of its pool.
    """

    seconds: Array
    joules: Array

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.joules + other.joules)

    def __mul__(self, factor: float) -> Cost:
        return Cost(self.seconds * factor, self.joules * factor)


def nothing(n: int) -> Cost:
    """Return a cost of zero for arrays of length `n`."""
    return Cost(np.zeros(n), np.zeros(n))


def power_limit_w(pool: Pool) -> float:
    """Return the most that one device of a pool draws: the lesser of its TDP and the pool's cap.

    Raises:
        ValueError: neither is known; the planner asks for one first.
    """
    known = [w for w in (pool.device.tdp_w, pool.power_cap_w) if w is not None]
    if not known:
        raise ValueError(f"no power limit of {pool.device.name} is known")
    return min(known)


def idle_w(pool: Pool) -> float:
    """Return the power of an idle device of a pool, watts; a cap does not lower it.

    Raises:
        ValueError: as `power_limit_w`.
    """
    device = pool.device
    return device.idle_w if device.idle_w is not None else IDLE_SHARE * rated_w(pool)


def node_share_w(pool: Pool) -> float:
    """Return what a node draws beside its devices, for each of them, watts."""
    return pool.node_power_w / pool.node_devices


def standing_w(pool: Pool) -> float:
    """Return the power for one device while no step runs: its own, of its node, of the facility.

    Raises:
        ValueError: as `power_limit_w`.
    """
    return (idle_w(pool) + node_share_w(pool)) * pool.pue


def most_w(pool: Pool) -> float:
    """Return the most power for one device: its own, of its node, of the facility.

    Raises:
        ValueError: as `power_limit_w`.
    """
    return (power_limit_w(pool) + node_share_w(pool)) * pool.pue


def replica_idle_w(shape: Shape) -> float:
    """Return the power of a replica while no step runs, watts.

    Raises:
        ValueError: as `power_limit_w`.
    """
    return sum(stages * shape.stage_devices * standing_w(pool) for pool, stages in shape.pools())


def rated_w(pool: Pool) -> float:
    """Return what a device of a pool draws at most without a cap; the cap where that is unknown."""
    tdp = pool.device.tdp_w
    return power_limit_w(pool) if tdp is None else tdp


def clock_power(clock: Array) -> Array:
    """Return the power of computing at a clock, as a share of that at the boost clock."""
    return clock * (0.6 + 0.4 * clock) ** 2


def half_precision(device: Device) -> Precision:
    """Return the 16-bit precision of a device: bf16, or fp16 where it has none, else fp32."""
    for precision in ("bf16", "fp16", "fp32"):
        if precision in device.peak_tflops:
            return precision
    return next(iter(device.peak_tflops))


def compute_precision(device: Device, weights: WeightFormat) -> Precision | None:
    """Return the precision in which products of `weights` run, None if the device cannot."""
    if weights.compute == "activation":
        return half_precision(device)
    if weights.compute in device.peak_tflops:
        return weights.compute
    return half_precision(device) if weights.fallback == "weight-only" else None


@dataclass(frozen=True)
class Rates:
    """Rates of one device of a replica, at its clock and power cap."""

    shape: Shape

    @cached_property
    def device(self) -> Device:
        """The device."""
        return self.shape.pool.device

    @cached_property
    def idle_w(self) -> float:
        """Power of an idle device."""
        return idle_w(self.shape.pool)

    @cached_property
    def rated_w(self) -> float:
        """Power between idle and TDP, in which the measured utilisations are shares."""
        return max(rated_w(self.shape.pool) - self.idle_w, 0.0)

    @cached_property
    def dynamic_w(self) -> float:
        """Power between idle and cap."""
        return max(power_limit_w(self.shape.pool) - self.idle_w, 0.0)

    @cached_property
    def bandwidth(self) -> float:
        """Memory bandwidth, bytes/s."""
        return self.device.bandwidth_gbytes_per_s * 1e9

    def peak(self, precision: Precision) -> float:
        """Return the dense peak at this clock, operations/s."""
        return self.device.peak_tflops[precision] * 1e12 * self.shape.clock

    def cost(self, seconds: Array, flops: Array, moved: Array, precision: Precision) -> Cost:
        """Return an operator's cost given its time, operations and bytes."""
        busy = np.maximum(seconds, 1e-15)
        compute, memory = power_share(
            self.device.efficiency.power,
            flops / (busy * self.peak(precision)),
            moved / (busy * self.bandwidth),
            clock_power(np.array(self.shape.clock)),
        )
        drawn = self.rated_w * np.maximum(compute, memory)
        if self.dynamic_w < self.rated_w:
            seconds = seconds * self._slowdown(compute, memory)
        return Cost(seconds, seconds * np.minimum(drawn, self.dynamic_w) * self.shape.pool.pue)

    def _slowdown(self, compute: Array, memory: Array) -> Array:
        """Return how many times longer an operator takes under the pool's power cap.

        Args:
            compute: its power for computing, as a share of `rated_w`.
            memory: its power for reading and writing, likewise.
        """
        allowed = self.dynamic_w / self.rated_w
        share = np.minimum(allowed / np.maximum(compute, allowed), 1.0)
        clock = np.array(self.shape.clock)
        throttled = np.interp(share * clock_power(clock), clock_power(CLOCKS), CLOCKS)
        return np.maximum(clock / throttled, memory / allowed)

    def communication(self, seconds: Array) -> Cost:
        """Return the cost of waiting for a collective."""
        share = self.device.efficiency.power.communication
        drawn = min(self.rated_w * share, self.dynamic_w)
        return Cost(seconds, seconds * drawn * self.shape.pool.pue)
