"""A plan from a PLAN.json that `solve` or `simulate` wrote, on the pools of a spec."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from apex_opt.cost.shape import Place, Settings, Shape
from apex_opt.errors import CallError
from apex_opt.plan.by_hand import candidate, kv_format, pool_of, require_devices, weight_format
from apex_opt.plan.result import Plan, Replica, Result
from apex_opt.plan.settings import settings
from apex_opt.plan.use import Part
from apex_opt.spec import catalog
from apex_opt.spec.engine import Engine, EngineRelease
from apex_opt.spec.files import UnreadableError, read_text
from apex_opt.spec.pools import Pool
from apex_opt.spec.spec import Spec

LARGEST_PLAN_BYTES = 64 * 2**20
ENGINE_KEYS = Engine.model_fields.keys()


def _settings(spec: Spec, pool: Pool, replica: Replica) -> Settings:
    """Return the engine's settings: the plan's; what it does not name is as the spec has it.

    Raises:
        CallError: no engine takes them.
    """
    named = {key: value for key, value in replica.engine if key in ENGINE_KEYS}
    try:
        engine = Engine.model_validate({**dict(spec.engine), **named})
    except ValidationError as why:
        first = why.errors()[0]
        raise CallError(f"the plan's `engine.{first['loc'][0]}`: {first['msg']}") from None
    asked = spec.model_copy(update={"engine": engine})
    return next(settings(asked, pool, _release(replica), replica.engine.max_model_len))


def _release(replica: Replica) -> EngineRelease:
    """Return the release of the engine that runs a replica.

    Raises:
        CallError: the catalogue has none.
    """
    try:
        return catalog.release(replica.engine.name, replica.engine.version)
    except catalog.UnknownNameError as why:
        raise CallError(str(why)) from None


def _shape(spec: Spec, pool: Pool, replica: Replica) -> Shape:
    return Shape(
        model=spec.model,
        pool=pool,
        network=spec.network,
        release=_release(replica),
        settings=_settings(spec, pool, replica),
        weights=weight_format(spec, replica.weights),
        kv_cache=kv_format(spec, replica.kv_cache),
        tensor=replica.tensor,
        expert=replica.expert,
        stage_layers=replica.stage_layers,
        clock=_clock(pool, replica.clock_mhz),
        reserve_fraction=spec.limits.memory_reserve_fraction,
        expert_skew=spec.parallelism.expert_skew,
        attention_data=replica.attention_data,
        context=replica.context,
        elsewhere=tuple(
            Place(own, _clock(own, stage.clock_mhz))
            for stage in replica.stages
            for own in (pool_of(spec, stage.pool),)
        ),
    )


def _clock(pool: Pool, clock_mhz: float | None) -> float:
    """Return a clock as a share of the boost clock.

    Raises:
        CallError: it is above that.
    """
    boost = pool.device.clock_mhz
    if clock_mhz is None or boost is None:
        return 1.0
    if clock_mhz > boost:
        told = f"{clock_mhz:,g} is above the boost clock of `{pool.device.name}`, {boost:,g}"
        raise CallError(f"the plan's `clock_mhz` {told}")
    return clock_mhz / boost


def read_plan(path: str, rank: int) -> Plan:
    """Return the plan of this rank from a file that `solve` wrote, or the one that `simulate` did.

    Raises:
        CallError: the file cannot be read, is no such file, or has no plan of this rank.
    """
    try:
        text = read_text(Path(path), LARGEST_PLAN_BYTES)
    except UnreadableError as why:
        raise CallError(f"{path}: {why}") from None
    try:
        plans = _plans(text)
    except ValidationError as why:
        first = why.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CallError(f"{path}: {where}: {first['msg']}; write it with `apexopt solve`") from None
    for plan in plans:
        if plan.rank == rank:
            return plan
    raise CallError(f"{path}: holds plans 1 to {len(plans)}, not {rank}")


def _plans(text: str) -> tuple[Plan, ...]:
    """Return the plans of a file; a lone plan has deployments where a result has plans."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None  # what is wrong with it, the model says better
    if isinstance(data, dict) and "deployments" in data:
        return (Plan.model_validate_json(text),)
    return Result.model_validate_json(text).plans


def _classes(plan: Plan) -> tuple[int, ...]:
    """Return the longest prompt of every class but the last; nothing where there are no classes.

    Raises:
        CallError: deployments do not share their classes, or nobody serves one.
    """
    listed = [[one.prompt_tokens_up_to for one in d.class_shares] for d in plan.deployments]
    first = listed[0] if listed else []
    if not any(listed):
        return ()
    up_to = [tokens for tokens in first[:-1] if tokens is not None]
    sound = all(other == first for other in listed) and first == [*sorted(set(up_to)), None]
    if not sound:
        raise CallError(
            "the plan has `class_shares` whose `prompt_tokens_up_to` do not ascend to null, the "
            "same in every deployment"
        )
    for nth, column in enumerate(zip(*(d.class_shares for d in plan.deployments), strict=True)):
        weights = [one.weight for one in column]
        if min(weights) < 0 or max(weights) == 0:
            raise CallError(f"the plan has no deployment that takes prompts of class {nth + 1}")
    return tuple(up_to)


def from_plan(spec: Spec, plan: Plan) -> tuple[Part, ...]:
    """Return the deployments of a plan on the pools of `spec`.

    Raises:
        CallError: the spec lacks a pool of the plan, or has it too small.
    """
    up_to = _classes(plan)
    parts = []
    for deployment in plan.deployments:
        replica = deployment.replica
        shape = _shape(spec, pool_of(spec, replica.pool), replica)
        if sum(shape.stage_layers) != len(spec.model.sequence()):
            raise CallError("the plan is for a model with another number of layers")
        if len(replica.stages) not in (0, len(replica.stage_layers)):
            raise CallError("the plan has `stages` that are not those of `stage_layers`")
        one = candidate(spec, shape, replica.role)
        weights = tuple(each.weight for each in deployment.class_shares)
        parts.append(Part(one, deployment.count, deployment.weight, weights, up_to))
    for role in sorted({part.role for part in parts}):
        if not any(part.weight for part in parts if part.role == role):
            raise CallError(f"the plan's {role} deployments all have `weight` 0: nobody serves")
    require_devices(spec, parts)
    return tuple(parts)
