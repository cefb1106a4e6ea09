"""The last look at a plan before it is told: the plan against its spec alone, in fractions.

Nothing of the search is used, neither its whole numbers nor what it knows of replicas: what is told
is counted again. Numbers of a spec are the decimal fractions that were written, so that three
devices at $0.10 an hour cost $0.30 and not more.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from apex_opt.plan.levels import ROUNDING, counts_goodput
from apex_opt.plan.result import Deployment, Placement, Plan, Replica
from apex_opt.spec.pools import Pool
from apex_opt.spec.spec import Spec


def exact(number: float) -> Fraction:
    """Return the decimal fraction that a number was written as."""
    return Fraction(str(number))


def plan_faults(spec: Spec, plan: Plan) -> list[str]:
    """Return in words what is wrong with a plan that is about to be told; nothing if it holds."""
    found = [*_stock(spec, plan), *_limits(spec, plan), *_levels(spec, plan)]
    for one in plan.deployments:
        found += [f"{one.replica.label}: {fault}" for fault in _replica(spec, one)]
    return found


def _stages(replica: Replica) -> tuple[str, ...]:
    """Return the pool of each stage."""
    return tuple(s.pool for s in replica.stages) or (replica.pool,) * replica.pipeline


def _devices(plan: Plan) -> dict[str, int]:
    """Return the devices of a plan by pool."""
    taken: dict[str, int] = defaultdict(int)
    for one in plan.deployments:
        for pool in _stages(one.replica):
            taken[pool] += one.count * one.replica.tensor * one.replica.attention_data
    return taken


def _stock(spec: Spec, plan: Plan) -> Iterator[str]:
    """Devices stand in nodes that there are, each once."""
    pools = {pool.name: pool for pool in spec.pools}
    held: dict[tuple[str, int], int] = defaultdict(int)
    for one in plan.deployments:
        for at in (at for copy in one.nodes for at in copy):
            held[at.pool or one.replica.pool, at.node] += at.devices
    for (name, node), devices in sorted(held.items()):
        pool = pools.get(name)
        if pool is None or not 0 <= node < pool.nodes:
            yield f"there is no node {node} in pool {name}"
        elif devices > pool.node_devices:
            yield f"node {node} of pool {name}: {devices} devices taken of {pool.node_devices}"


def _limits(spec: Spec, plan: Plan) -> Iterator[str]:
    """Sums over the plan keep within `[limits]`."""
    limits, taken = spec.limits, _devices(plan)
    pools = [pool for pool in spec.pools if pool.name in taken]
    devices = sum(taken.values())
    if devices != plan.devices:
        yield f"{plan.devices} devices are told, its replicas have {devices}"
    roles: dict[str, int] = defaultdict(int)
    for one in plan.deployments:
        roles[one.replica.role] += one.count * one.replica.devices
    price = sum((taken[pool.name] * exact(pool.price) for pool in pools), Fraction())
    spot = Fraction(sum(taken[pool.name] for pool in pools if pool.spot), devices)
    for name, used, limit in (
        ("devices", Fraction(devices), limits.devices),
        ("prefill_devices", Fraction(roles["prefill"]), limits.prefill_devices),
        ("decode_devices", Fraction(roles["decode"]), limits.decode_devices),
        ("replicas", Fraction(sum(one.count for one in plan.deployments)), limits.replicas),
        ("budget_per_hour", price, limits.budget_per_hour),
        ("spot_fraction", spot, limits.spot_fraction),
    ):
        if limit is not None and used > exact(limit):
            yield f"limits.{name}: {float(used):.12g} taken, at most {limit:.12g} allowed"
    watts = {row.limit: row.used for row in plan.limits}
    for name, most in (
        ("limits.power_w", limits.power_w),
        *((f"pools.{pool.name}.power_w", pool.power_w) for pool in spec.pools),
    ):
        if most is not None and watts.get(name, math.inf) > most:
            yield f"{name}: {watts.get(name, math.inf):.12g} taken, at most {most:.12g} allowed"


def _levels(spec: Spec, plan: Plan) -> Iterator[str]:
    """The demand is served, and every service level is met, also without the spare replicas."""
    runs = [("", plan.prediction, plan.checks)]
    if plan.without_spares is not None:
        lost = plan.without_spares
        runs.append((" without spare replicas", lost.prediction, lost.checks))
    for which, shown, checks in runs:
        for check in checks:
            if not check.met:
                yield f"{check.metric} {check.statistic} is missed{which}"
        served = Fraction(shown.completed, shown.requests)
        if not counts_goodput(spec) and served < exact(spec.slo.attainment) - exact(ROUNDING):
            yield f"{shown.completed} of {shown.requests} requests are completed{which}"


def _replica(spec: Spec, one: Deployment) -> Iterator[str]:
    """A replica has all layers, within the degrees of the spec, in memory and on its devices."""
    replica, pools = one.replica, {pool.name: pool for pool in spec.pools}
    layers = sum(spec.model.counts().values())
    if sum(replica.stage_layers) != layers:
        yield f"its stages have {sum(replica.stage_layers)} layers, the model has {layers}"
    for name in ("tensor", "pipeline"):
        asked, degree = getattr(spec.parallelism, name), getattr(replica, name)
        if asked != "auto" and degree not in asked:
            yield f"{name} = {degree} is not asked for"
    if len(one.nodes) != one.count:
        yield f"{len(one.nodes)} replicas stand somewhere, there are {one.count}"
    stages = _stages(replica)
    if not pools.keys() >= set(stages) or len(stages) != replica.pipeline:
        yield f"its stages stand in {', '.join(stages)}"
        return
    yield from _memory(spec, replica, pools[stages[replica.fullest_stage]])
    for copy in one.nodes:
        for stage, pool in enumerate(stages):
            yield from _group(replica, [at for at in copy if at.stage == stage], stage, pools[pool])


def _memory(spec: Spec, replica: Replica, pool: Pool) -> Iterator[str]:
    """What a device of the fullest stage holds adds up to what it has."""
    memory = replica.memory
    held = memory.weights + memory.activations + memory.graphs + memory.other + memory.kv_cache
    if memory.total != pool.device.memory_bytes:
        yield f"memory of {memory.total} bytes, a device of pool {pool.name} has another"
    if held + memory.reserve + memory.free != memory.total:
        yield "the parts of its memory do not add up"
    if memory.reserve + 1 < exact(spec.limits.memory_reserve_fraction) * memory.total:
        yield f"{memory.reserve} bytes are left free, less than limits.memory_reserve_fraction"
    if memory.free < 0 and spec.engine.num_gpu_blocks is None:
        yield f"a device lacks {-memory.free} bytes"


def _group(replica: Replica, at: list[Placement], stage: int, pool: Pool) -> Iterator[str]:
    """The group of a stage stands in one node, or in whole ones."""
    size = sum(one.devices for one in at)
    if size != replica.tensor * replica.attention_data:
        yield f"stage {stage} stands on {size} devices"
    if any((one.pool or replica.pool) != pool.name for one in at):
        yield f"stage {stage} stands outside pool {pool.name}"
    if len(at) > 1 and any(one.devices != pool.node_devices for one in at):
        yield f"stage {stage} has parts of several nodes"
