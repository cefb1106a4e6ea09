"""A plan of the user's own: from a few options, or from a PLAN.json that `solve` wrote."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from apex_opt.cost.memory import fit
from apex_opt.cost.shape import Settings, Shape, graph_tokens
from apex_opt.errors import CallError
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.enumerate import shapes
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.legality import why_no_room, why_not
from apex_opt.plan.needs import require_figures
from apex_opt.plan.predict import play
from apex_opt.plan.result import Plan, Replica, Result
from apex_opt.plan.solve import longest_request
from apex_opt.plan.tell import plan_of_parts
from apex_opt.plan.use import Part
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec import catalog
from apex_opt.spec.files import UnreadableError, read_text
from apex_opt.spec.pools import Pool
from apex_opt.spec.quantization import KvFormat, WeightFormat
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import traffic

LARGEST_PLAN_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Wish:
    """What the options of `apexopt simulate` ask for; None: the spec's first choice."""

    tensor: int | None = None
    pipeline: int | None = None
    expert: int | None = None
    replicas: int | None = None
    pool: str | None = None
    weights: str | None = None
    kv_cache: str | None = None


def _pool(spec: Spec, name: str | None) -> tuple[int, Pool]:
    for number, pool in enumerate(spec.pools):
        if name is None or pool.name == name:
            return number, pool
    known = ", ".join(f"`{p.name}`" for p in spec.pools)
    raise CallError(f"pool `{name}` is not in the spec; its pools: {known}")


def _weight_format(spec: Spec, name: str) -> WeightFormat:
    own = {f.name: f for f in spec.quantization.weights or ()}
    try:
        return own.get(name) or catalog.weight_format(name)
    except catalog.UnknownNameError as why:
        raise CallError(str(why)) from None


def _kv_format(spec: Spec, name: str) -> KvFormat:
    own = {f.name: f for f in spec.quantization.kv_cache or ()}
    try:
        return own.get(name) or catalog.kv_format(name)
    except catalog.UnknownNameError as why:
        raise CallError(str(why)) from None


def _narrowed(spec: Spec, pool: Pool, wish: Wish) -> Spec:
    """Return the spec with the choices of a wish in place of its own."""
    degrees: dict[str, tuple[int, ...]] = {
        key: (degree,)
        for key in ("tensor", "pipeline", "expert")
        if (degree := getattr(wish, key)) is not None
    }
    if spec.parallelism.tensor == "auto":
        degrees.setdefault("tensor", (pool.node_devices,))
    chosen: dict[str, object] = {}
    if wish.weights:
        chosen["weights"] = (_weight_format(spec, wish.weights),)
    if wish.kv_cache:
        chosen["kv_cache"] = (_kv_format(spec, wish.kv_cache),)
    return spec.model_copy(
        update={
            "parallelism": spec.parallelism.model_copy(update=degrees),
            "quantization": spec.quantization.model_copy(update=chosen),
        }
    )


def _candidate(shape: Shape, number: int) -> Candidate:
    """Return the candidate of a shape that an engine can start.

    Raises:
        CallError: it cannot, with the reason.
    """
    reason = why_not(shape)
    if reason is None:
        room = fit(shape)
        reason = why_no_room(shape, room)
    if reason is not None:
        raise CallError(f"this plan cannot be started: {reason}")
    return Candidate(shape, room, number)


def from_wish(spec: Spec, wish: Wish, longest_tokens: int) -> tuple[Part, ...]:
    """Return a plan of one deployment, as the options ask.

    Raises:
        CallError: the spec has no such pool or format, or the engine cannot start such a replica.
    """
    number, pool = _pool(spec, wish.pool)
    shape = next(shapes(_narrowed(spec, pool, wish), pool, longest_tokens))
    candidate = _candidate(shape, number)
    copies = wish.replicas or pool.devices // candidate.shape.devices
    if copies * candidate.shape.devices > pool.devices:
        raise CallError(
            f"--replicas {copies}: {copies * candidate.shape.devices} devices are more than "
            f"pool `{pool.name}` has ({pool.devices})"
        )
    return (Part(candidate, copies, 1),)


def _settings(replica: Replica, graphs: int, pinned: int | None) -> Settings:
    e = replica.engine
    return Settings(
        version=e.version,
        max_num_seqs=e.max_num_seqs,
        max_num_batched_tokens=e.max_num_batched_tokens,
        max_model_len=e.max_model_len,
        block_size=e.block_size,
        gpu_memory_utilization=e.gpu_memory_utilization,
        chunked_prefill=e.chunked_prefill,
        async_scheduling=e.async_scheduling,
        graph_tokens=graphs,
        num_gpu_blocks=pinned,
    )


def _shape(spec: Spec, pool: Pool, replica: Replica) -> Shape:
    release = catalog.release(spec.engine.name, replica.engine.version)
    e = replica.engine
    graphs = graph_tokens(release, e.max_num_seqs, e.max_num_batched_tokens)
    boost = pool.device.clock_mhz
    clock = replica.clock_mhz / boost if replica.clock_mhz and boost else 1.0
    return Shape(
        model=spec.model,
        pool=pool,
        network=spec.network,
        release=release,
        settings=_settings(replica, graphs if e.cuda_graphs else 0, spec.engine.num_gpu_blocks),
        weights=_weight_format(spec, replica.weights),
        kv_cache=_kv_format(spec, replica.kv_cache),
        tensor=replica.tensor,
        expert=replica.expert,
        stage_layers=replica.stage_layers,
        clock=clock,
        reserve_fraction=spec.limits.memory_reserve_fraction,
    )


def read_plan(path: str, rank: int) -> Plan:
    """Return the plan of this rank from a file that `solve` wrote.

    Raises:
        CallError: the file cannot be read, is no such file, or has no plan of this rank.
    """
    try:
        text = read_text(Path(path), LARGEST_PLAN_BYTES)
    except UnreadableError as why:
        raise CallError(f"{path}: {why}") from None
    try:
        result = Result.model_validate_json(text)
    except ValidationError as why:
        first = why.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CallError(f"{path}: {where}: {first['msg']}; write it with `apexopt solve`") from None
    for plan in result.plans:
        if plan.rank == rank:
            return plan
    raise CallError(f"{path}: holds plans 1 to {len(result.plans)}, not {rank}")


def from_plan(spec: Spec, plan: Plan) -> tuple[Part, ...]:
    """Return the deployments of a plan on the pools of `spec`.

    Raises:
        CallError: the spec lacks a pool of the plan, or has it too small.
    """
    parts = []
    held: dict[int, int] = {}
    for deployment in plan.deployments:
        number, pool = _pool(spec, deployment.replica.pool)
        shape = _shape(spec, pool, deployment.replica)
        if sum(shape.stage_layers) != len(spec.model.sequence()):
            raise CallError("the plan is for a model with another number of layers")
        candidate = _candidate(shape, number)
        parts.append(Part(candidate, deployment.count, deployment.weight))
        held[number] = held.get(number, 0) + deployment.count * shape.devices
    for number, devices in held.items():
        if devices > spec.pools[number].devices:
            raise CallError(
                f"the plan takes {devices} devices of pool `{spec.pools[number].name}`, "
                f"which has {spec.pools[number].devices}"
            )
    return tuple(parts)


def simulate(spec: Spec, plan: Plan | None, wish: Wish, listen: Listen) -> Plan:
    """Return a plan with what its simulation shows.

    Raises:
        CallError: see `from_wish` and `from_plan`.
    """
    require_figures(spec)
    listen(Event("reading traffic", 0, None, None))
    offered = traffic(spec.workload, spec.search.seed, spec.folder)
    if plan is not None:
        parts = from_plan(spec, plan)
    else:
        parts = from_wish(spec, wish, longest_request(spec, offered))
    listen(Event("simulating", 0, None, None))
    try:
        played = play(spec, offered.load, parts, threads=os.cpu_count() or 1)
    except EndlessRunError as why:
        raise CallError(f"this plan cannot be simulated: {why}") from None
    return plan_of_parts(spec, played)
