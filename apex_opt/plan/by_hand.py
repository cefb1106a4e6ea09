"""A plan of the user's own, from a few wishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from apex_opt.cost.memory import fit
from apex_opt.cost.shape import Place, Shape
from apex_opt.errors import CallError
from apex_opt.plan.candidate import Candidate, located
from apex_opt.plan.enumerate import (
    as_served,
    attention_degrees,
    clocks,
    fitted,
    has_experts,
    shapes,
)
from apex_opt.plan.legality import why_no_room, why_not
from apex_opt.plan.roles import in_role, why_not_apart
from apex_opt.plan.use import Part
from apex_opt.sim.member import Role
from apex_opt.spec import catalog
from apex_opt.spec.pools import Pool
from apex_opt.spec.quantization import KvFormat, WeightFormat
from apex_opt.spec.spec import Spec

DEGREES = ("tensor", "pipeline", "expert", "attention_data", "context")


@dataclass(frozen=True)
class Wish:
    """Replicas of one kind; None: the spec's first choice.

    Attributes:
        tensor: devices that share each layer; None: those of a node, over all ranks.
        pipeline: stages.
        expert: 1, or all devices of a stage; None: the latter where there are several ranks.
        attention_data: ranks, each with attention of its own, that share the experts; None: 1 where
            the spec names none.
        context: devices that share out the tokens of a key-value head; None: 1 where the spec says
            `auto`.
        replicas: copies; None: as many as the pool and the spec's limits hold, or 1 beside replicas
            of another role.
        pool: its name.
        weights: format.
        kv_cache: format.
        stages: pool and layers of each stage, in place of `pool` and `pipeline`.

    Raises:
        CallError: a number is not whole, or below 1.
    """

    tensor: int | None = None
    pipeline: int | None = None
    expert: int | None = None
    attention_data: int | None = None
    context: int | None = None
    replicas: int | None = None
    pool: str | None = None
    weights: str | None = None
    kv_cache: str | None = None
    stages: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for key in (*DEGREES, "replicas"):
            value = getattr(self, key)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise CallError(f"`{key}` must be a whole number from 1 on, got {value!r}")


def pool_of(spec: Spec, name: str | None) -> Pool:
    """Return the pool of this name, or the first.

    Raises:
        CallError: the spec has no such pool.
    """
    for pool in spec.pools:
        if name is None or pool.name == name:
            return pool
    known = ", ".join(f"`{p.name}`" for p in spec.pools)
    raise CallError(f"pool `{name}` is not in the spec; its pools: {known}")


def weight_format(spec: Spec, name: str) -> WeightFormat:
    """Return a format of the spec or of the catalogue.

    Raises:
        CallError: there is none of this name.
    """
    own = {f.name: f for f in spec.quantization.weights or ()}
    try:
        return own.get(name) or catalog.weight_format(name)
    except catalog.UnknownNameError as why:
        raise CallError(str(why)) from None


def kv_format(spec: Spec, name: str) -> KvFormat:
    """Return a format of the spec or of the catalogue.

    Raises:
        CallError: there is none of this name.
    """
    own = {f.name: f for f in spec.quantization.kv_cache or ()}
    try:
        return own.get(name) or catalog.kv_format(name)
    except catalog.UnknownNameError as why:
        raise CallError(str(why)) from None


def _narrowed(spec: Spec, pool: Pool, wish: Wish) -> Spec:
    """Return the spec with the choices of a wish in place of its own."""
    degrees: dict[str, tuple[int, ...]] = {
        key: (degree,) for key in DEGREES if (degree := getattr(wish, key)) is not None
    }
    if spec.parallelism.attention_data == "auto":
        degrees.setdefault("attention_data", (1,))
    if spec.parallelism.context == "auto":
        degrees.setdefault("context", (1,))
    if spec.parallelism.pipeline == "auto":
        degrees.setdefault("pipeline", (1,))
    (ranks, *_) = degrees.get("attention_data") or attention_degrees(spec, pool)
    if spec.parallelism.tensor == "auto":
        degrees.setdefault("tensor", (max(pool.node_devices // ranks, 1),))
    chosen: dict[str, object] = {}
    if wish.weights:
        chosen["weights"] = (weight_format(spec, wish.weights),)
    if wish.kv_cache:
        chosen["kv_cache"] = (kv_format(spec, wish.kv_cache),)
    return spec.model_copy(
        update={
            "parallelism": spec.parallelism.model_copy(update=degrees),
            "quantization": spec.quantization.model_copy(update=chosen),
        }
    )


def _shape(spec: Spec, pool: Pool, wish: Wish, longest_tokens: int) -> Shape:
    """Return the shape that a wish means: the first that the spec allows."""
    if wish.stages:
        return _staged(spec, wish, longest_tokens)
    shape = next(shapes(_narrowed(spec, pool, wish), pool, longest_tokens))
    named = wish.expert is not None or spec.parallelism.expert != "auto"
    spread = shape.attention_data > 1 and has_experts(spec) and not named
    return replace(shape, expert=shape.stage_devices) if spread else shape


def _staged(spec: Spec, wish: Wish, longest_tokens: int) -> Shape:
    """Return the shape with the stages of a wish; settings are those of the smallest device.

    Raises:
        CallError: its pools are not in the spec, or its layers not those of the model.
    """
    if wish.pool is not None or wish.pipeline is not None:
        raise CallError("--stages says where stages stand; leave out --pool and --pipeline")
    named, layers = sum(n for _, n in wish.stages), len(spec.model.sequence())
    if named != layers:
        raise CallError(f"--stages: {named} layers, and {spec.model.name} has {layers}")
    pools = [pool_of(spec, name) for name, _ in wish.stages]
    smallest = min(pools, key=lambda pool: pool.device.memory_bytes)
    plain = replace(wish, stages=(), pipeline=len(pools))
    shape = next(shapes(_narrowed(spec, smallest, plain), smallest, longest_tokens))
    weights, kv_cache = shape.weights, shape.kv_cache
    for pool in pools:
        weights, kv_cache = as_served(pool.device, weights, kv_cache)
    places = tuple(Place(pool, clocks(pool)[0]) for pool in pools)
    several = len({pool.name for pool in pools}) > 1
    return fitted(
        spec,
        replace(
            shape,
            pool=pools[0],
            clock=places[0].clock,
            weights=weights,
            kv_cache=kv_cache,
            stage_layers=tuple(n for _, n in wish.stages),
            elsewhere=places if several else (),
        ),
    )


def candidate(spec: Spec, shape: Shape, role: Role = "mixed") -> Candidate:
    """Return the candidate of a shape that an engine can start, in the pools of `spec`.

    Raises:
        CallError: it cannot, with the reason.
    """
    shape = in_role(shape, role)
    reason = why_not(shape)
    if reason is None and role != "mixed":
        reason = why_not_apart(shape)
    if reason is None:
        room = fit(shape)
        reason = why_no_room(shape, room)
    if reason is not None:
        raise CallError(f"this plan cannot be started: {reason}")
    return located(spec, shape, room, role)


def require_devices(spec: Spec, parts: Sequence[Part]) -> None:
    """Refuse more devices than the pools have.

    Raises:
        CallError: a pool is too small.
    """
    for number, pool in enumerate(spec.pools):
        held = sum(part.devices_in(number) for part in parts)
        if held > pool.devices:
            raise CallError(
                f"the plan takes {held} devices of pool `{pool.name}`, which has {pool.devices}"
            )


def _room(spec: Spec, devices: int, in_pools: Sequence[int]) -> int:
    """Return how many replicas of so many devices pools and limits hold, at least one."""
    most = [*in_pools]
    most += [spec.limits.replicas] if spec.limits.replicas else []
    most += [spec.limits.devices // devices] if spec.limits.devices else []
    return max(min(most), 1)


def from_wish(
    spec: Spec, wish: Wish, longest_tokens: int, role: Role = "mixed"
) -> tuple[Part, ...]:
    """Return a plan of one deployment, as a wish asks.

    Raises:
        CallError: the spec has no such pool or format, or the engine cannot start such a replica.
    """
    pool = pool_of(spec, wish.pool)
    one = candidate(spec, _shape(spec, pool, wish, longest_tokens), role)
    each = [(own, stages * one.shape.stage_devices) for own, stages in one.shape.pools()]
    copies = wish.replicas or 1
    if wish.replicas is None and role == "mixed":
        copies = _room(spec, one.shape.devices, [own.devices // devices for own, devices in each])
    for own, devices in each:
        if copies * devices > own.devices:
            raise CallError(
                f"--replicas {copies}: {copies * devices} devices are more than "
                f"pool `{own.name}` has ({own.devices})"
            )
    return (Part(one, copies, 1),)
