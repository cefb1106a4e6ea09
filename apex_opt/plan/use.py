"""How hard the devices of a plan work over its whole run, and what they draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apex_opt.cost.rates import compute_precision, most_w
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.levels import NS_PER_S
from apex_opt.plan.result import Replica
from apex_opt.sim.member import Member, Role
from apex_opt.sim.totals import Totals


@dataclass(frozen=True)
class Part:
    """One deployment: a candidate, how many of it, a routing weight.

    The weight is that of each replica, or of each of its ranks. Where requests are routed by class
    (`apex_opt.plan.classes`) its `class_weights` count instead, one a class of prompts of up to
    `up_to_tokens`; the last class has all longer ones.
    """

    candidate: Candidate
    count: int
    weight: int
    class_weights: tuple[int, ...] = ()
    up_to_tokens: tuple[int, ...] = ()

    @property
    def role(self) -> Role:
        """What its replicas do."""
        return self.candidate.role

    @property
    def ranks(self) -> int:
        """Attention-data-parallel ranks of each replica: schedulers with a cache of their own."""
        return self.candidate.shape.attention_data

    @property
    def blocks(self) -> int:
        """KV-cache blocks of all its replicas."""
        return self.count * self.ranks * self.candidate.rules.blocks

    @property
    def member(self) -> Member:
        """The deployment as the simulator takes it."""
        c = self.candidate
        return Member(
            c.rules, c.steps, self.count, self.weight, self.role, self.ranks, self.class_weights
        )

    @property
    def replica(self) -> Replica:
        """Each of its replicas as the result tells it."""
        one = self.candidate.replica
        cache = {key: getattr(one, key) * self.ranks for key in ("kv_blocks", "kv_tokens")}
        return one.model_copy(update=cache)

    @property
    def devices(self) -> int:
        """Devices of all its replicas."""
        return self.count * self.candidate.shape.devices

    def devices_in(self, pool: int) -> int:
        """Return the devices of all its replicas in the pool of this number."""
        return self.count * self.candidate.devices_in(pool)

    @property
    def idle_w(self) -> float:
        """Power of all its replicas while no step runs."""
        return self.count * self.candidate.idle_w


@dataclass(frozen=True)
class Use:
    """Use of the devices of a plan, over the whole run.

    Attributes:
        mfu: operations of the model over those of the peak in which the weights' products run.
        mbu: bytes of weights and cache read over those of the memory's bandwidth.
        kv_use_mean: blocks in use over all blocks, averaged over time.
        kv_use_peak: the same at the fullest moment of any replica.
        busy: share of the time in which a replica, or rank, runs a step.
        mean_batch: tokens sampled per step, of a rank.
        energy_j: energy, idle time included.
    """

    mfu: float
    mbu: float
    kv_use_mean: float
    kv_use_peak: float
    busy: float
    mean_batch: float
    energy_j: float


def peaks_w(parts: Sequence[Part], totals: Sequence[Totals]) -> tuple[float, ...]:
    """Return of each part the sum of its replicas' own peaks of power.

    They need not coincide: the sum bounds the plan's peak from above.
    """
    return tuple(p.idle_w + t.peak_w for p, t in zip(parts, totals, strict=True))


def peak_in_w(part: Part, peak_w: float, pool: int) -> float:
    """Return what the replicas of a part draw at most in a pool, given their peak of power.

    Which of several pools draws the power above idle is not known: each may, up to the limit of its
    devices.
    """
    one = part.candidate
    if pool not in one.stages_in:
        return 0.0
    if not one.also:
        return peak_w
    limit_w = {p.name: most_w(p) for p, _ in one.shape.pools()}
    name = dict(zip((one.pool, *one.also), limit_w, strict=True))[pool]
    idle_w = part.count * one.idle_in(pool)
    limited_w = part.devices_in(pool) * limit_w[name]
    return min(idle_w + peak_w - part.idle_w, max(limited_w, idle_w))


def use(parts: Sequence[Part], totals: Sequence[Totals], duration_s: float) -> Use:
    """Return the use of the devices. Totals are those of each part, its replicas together."""
    flops = moved = peak = bandwidth = blocks = fullest = energy = 0.0
    for part, total in zip(parts, totals, strict=True):
        shape = part.candidate.shape
        work = part.candidate.work
        flops, moved = flops + work.flops(total), moved + work.bytes(total)
        for pool, stages in shape.pools():
            devices, device = part.count * stages * shape.stage_devices, pool.device
            precision = compute_precision(device, shape.weights)
            assert precision is not None, "a legal replica computes in its format"
            peak += devices * device.peak_tflops[precision] * 1e12
            bandwidth += devices * device.bandwidth_gbytes_per_s * 1e9
        blocks += part.blocks
        fullest = max(fullest, total.peak_blocks / part.candidate.rules.blocks)
        energy += part.idle_w * duration_s + total.energy_j
    replica_ns = sum(p.count * p.ranks for p in parts) * duration_s * NS_PER_S
    steps = sum(t.steps for t in totals)
    return Use(
        mfu=flops / (peak * duration_s),
        mbu=moved / (bandwidth * duration_s),
        kv_use_mean=sum(t.block_ns for t in totals) / (blocks * duration_s * NS_PER_S),
        kv_use_peak=fullest,
        busy=sum(t.busy_ns for t in totals) / replica_ns,
        mean_batch=sum(t.rows for t in totals) / max(steps, 1),
        energy_j=energy,
    )
