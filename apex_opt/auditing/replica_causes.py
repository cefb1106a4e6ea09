"""Why no replica is legal: the rule at which the nearest shape fails, or its memory, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from apex_opt.auditing.conflict import Found, loosened
from apex_opt.auditing.dials import under
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.result import Code
from apex_opt.auditing.words import both, gigabytes
from apex_opt.cost.memory import Fit, fit
from apex_opt.cost.shape import Shape
from apex_opt.plan.enumerate import fewest_devices, shapes
from apex_opt.plan.legality import RULES
from apex_opt.plan.solve import longest_request
from apex_opt.spec.spec import Spec

CODES: dict[str, Code] = {
    "steps_hold": "engine",
    "guesses_are_known": "engine",
    "groups_stand": "stock",
    "formats_run": "format",
    "heads_divide": "divisibility",
    "kv_heads_divide": "divisibility",
    "widths_divide": "divisibility",
    "encoder_divides": "divisibility",
    "experts_spread": "experts",
    "scales_divide": "divisibility",
}
"""What each rule of `plan.legality` is about."""

USUAL_STAGES = 16
"""Stages among which the nearest replica is looked for; where deeper ones may stand, none is legal
either.
"""


@dataclass(frozen=True)
class _Lack:
    """What the nearest shape of a spec lacks.

    Attributes:
        code: what about.
        text: the story, where the spec is what the user wrote.
        need: bytes that are needed, in words; none but of memory.
        have: what there is for them.
        largest: devices of the largest shape; none but of memory.
    """

    code: Code
    text: str
    need: str = ""
    have: int = 0
    largest: int = 0


def replica_cause(judge: Judge, found: Found, spec: Spec) -> tuple[Code, str]:
    """Return the code and the story of a conflict that leaves no legal replica.

    The figures are those of `spec`, if that fails at the same, and beside them those of the
    conflict's own spec, if less is needed there: nothing but the entries of the conflict holds.
    """
    reserved = any(e.family == "reserve" and e.written for e in found.members)
    core = _lack(judge, _shallow(found, found.core), reserved=reserved)
    if core is None:
        return "stock", _no_degree(found)
    if not core.need:
        return core.code, core.text
    own = _lack(judge, _shallow(found, spec), reserved=reserved)
    told = core if own is None or own.code != core.code else own
    text = told.text
    if told.need != core.need:
        text += f"; with all else loosened {core.need} and room for {gigabytes(core.have)}"
    if core.code == "memory.weights":
        text += _enough(judge, found, core.largest)
    return core.code, text


def _lack(judge: Judge, spec: Spec, *, reserved: bool) -> _Lack | None:
    """Return what the nearest shape of a spec lacks; None: there is no shape to try."""
    longest = longest_request(spec, judge.traffic(spec))
    tried = [s for pool in spec.pools for s in shapes(spec, pool, longest)]
    if not tried:
        return None
    furthest, reason, rule = max((_broken(shape) for shape in tried), key=lambda b: b[0])
    if furthest < len(RULES):
        code = CODES.get(rule, "choices")
        if code == "stock" and "neither fits a node" in reason:
            code = "node"
        return _Lack(code, reason)
    fits = [(s, fit(s)) for s in tried if _broken(s)[0] == len(RULES)]
    nearest = max(fits, key=lambda pair: (pair[1].memory.room, pair[1].blocks))
    return replace(_memory(*nearest, reserved=reserved), largest=max(s.devices for s, _ in fits))


def _shallow(found: Found, spec: Spec) -> Spec:
    """Return the spec with few stages, if their number is not to blame for the conflict."""
    most = spec.parallelism.max_stages
    if any(e.key == "parallelism.max_stages" for e in found.members) or most <= USUAL_STAGES:
        return spec
    return under("parallelism", "max_stages")(spec, USUAL_STAGES)


def _no_degree(found: Found) -> str:
    """Return why there is no shape to try: each group is larger than each pool."""
    tensor, pools = found.core.parallelism.tensor, found.core.pools
    largest = max(pools, key=lambda p: p.devices)
    smallest = 1 if tensor == "auto" else min(tensor)
    return (
        f"a group of {smallest:,} devices is larger than the largest pool, `{largest.name}` of "
        f"{largest.devices:,}"
    )


def _broken(shape: Shape) -> tuple[int, str, str]:
    """Return how many rules a shape passes, why the next does not, and its name."""
    for nth, rule in enumerate(RULES):
        for reason in rule(shape):
            return nth, reason, rule.__name__
    return len(RULES), "", ""


def _memory(shape: Shape, room: Fit, *, reserved: bool) -> _Lack:
    """Return which component of memory is too large on the shape that comes closest.

    What is kept free is to blame where the conflict has it, `reserved`, and less would do.
    """
    m, s = room.memory, shape.settings
    free = m.total - m.other - m.graphs - m.reserve - m.weights
    cut = f"TP{shape.tensor}" + (f" {_stage(shape, room.stage)}" if shape.pipeline > 1 else "")
    pool = shape.places[room.stage].pool
    where = f"on each {pool.name} device of {gigabytes(m.total)} ({cut})"
    if m.room <= 0 and reserved and m.room + m.reserve > 0:
        return _Lack(
            "memory.reserve",
            f"weights take {gigabytes(m.weights)}, activations {gigabytes(m.activations)}, CUDA "
            f"graphs and libraries {gigabytes(m.graphs + m.other)} {where}, of which "
            f"{gigabytes(m.reserve)} are kept free",
            f"{gigabytes(m.total - m.reserve - m.room)} ({cut})",
            m.total - m.reserve,
        )
    if free < 0:
        usable = max(free + m.weights - m.activations, 0)
        need = f"{gigabytes(m.weights)} in {shape.weights.name} ({cut})"
        return _Lack("memory.weights", _weights(shape, room, cut, usable), need, usable)
    if m.room <= 0:
        return _Lack(
            "memory.activations",
            f"activations of {s.max_num_batched_tokens:,} tokens and {s.max_num_seqs:,} sequences "
            f"a step take {gigabytes(m.activations)} {where}; weights, reserve, CUDA graphs and "
            f"libraries leave {gigabytes(free)}",
            f"{gigabytes(m.activations)} ({cut})",
            free,
        )
    return _cache(shape, room, where, cut)


def _stage(shape: Shape, nth: int) -> str:
    """Return which stage of a pipeline is the fullest, and what stands on it."""
    layers = f"{shape.stage_layers[nth]} layers"
    first, last = nth == 0, nth == shape.pipeline - 1
    parts = [layers, *(["the embedding"] if first else []), *(["the LM head"] if last else [])]
    return f"PP{shape.pipeline}, stage {nth + 1} of {shape.pipeline} with {both(parts)}"


def _cache(shape: Shape, room: Fit, where: str, cut: str) -> _Lack:
    """Return what the longest request takes of the cache, and what there is."""
    s, kind = shape.settings, f"in {shape.kv_cache.name}"
    if s.num_gpu_blocks is not None:
        held = s.num_gpu_blocks * shape.block_tokens
        return _Lack(
            "memory.kv_cache",
            f"{s.num_gpu_blocks:,} pinned blocks hold {held:,} tokens; the longest request has "
            f"{s.max_model_len:,}",
        )
    needed = -(-s.max_model_len // shape.block_tokens) + room.sequence_blocks
    cache = fit(replace(shape, settings=replace(s, num_gpu_blocks=needed))).memory.kv_cache
    return _Lack(
        "memory.kv_cache",
        f"the KV cache of one request of {s.max_model_len:,} tokens takes {gigabytes(cache)} "
        f"{kind} {where}; {gigabytes(room.memory.room)} are left",
        f"{gigabytes(cache)} {kind} ({cut})",
        room.memory.room,
    )


def _weights(shape: Shape, room: Fit, cut: str, usable: int) -> str:
    """Return what the weights take on the fullest stage, and what there is for them."""
    layers = len(shape.model.sequence())
    whole = fit(
        replace(shape, tensor=1, expert=1, context=1, stage_layers=(layers,))
    ).memory.weights
    return (
        f"weights of {gigabytes(whole)} in {shape.weights.name} do not fit: the nearest cut, "
        f"{shape.devices} x {shape.pool.name} ({cut}), leaves "
        f"{gigabytes(room.memory.weights)} for a device that has {gigabytes(usable)} for them"
    )


def _enough(judge: Judge, found: Found, largest: int) -> str:
    """Return how many devices a replica needs, and how many the entries of the conflict allow."""
    free = [e for e in found.members if e.family in {"stock", "node", "parallelism"}]
    if not free:
        return ""
    loose = loosened(found.core, free)
    least = fewest_devices(loose, longest_request(loose, judge.traffic(loose)))
    if least is None:
        return ""
    if least <= largest:
        return f"; {least:,} such devices a replica do if they are cut otherwise"
    need = f"; at least {least:,} such devices a replica are needed"
    entries = both([f"`{e.key}` = {e.shown}" for e in free])
    return f"{need}, {entries} allow{'s' if len(free) == 1 else ''} {largest:,}"
