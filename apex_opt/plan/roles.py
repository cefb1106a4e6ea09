"""Roles: which replicas may prefill or decode apart, and between which of them a cache can move.

A rule's docstring is the rule, as in `apex_opt.plan.legality`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace

from apex_opt.cost.memory import Fit
from apex_opt.cost.shape import Shape
from apex_opt.plan.candidate import Candidate, located
from apex_opt.sim.member import Role
from apex_opt.spec.model import LinearAttention, SoftmaxAttention
from apex_opt.spec.spec import Spec

Rule = Callable[[Shape], Iterator[str]]
APART: tuple[Role, Role] = ("prefill", "decode")
MOVED_BY_VLLM = {"bf16", "fp16", "fp8"}


def roles(spec: Spec) -> tuple[Role, ...]:
    """Return the roles among which the solver may choose."""
    asked = spec.parallelism.disaggregate
    if asked == "only":
        return APART
    return ("mixed", *APART) if asked else ("mixed",)


def in_role(shape: Shape, role: Role) -> Shape:
    """Return a replica as its engine is started in a role.

    TensorRT-LLM prefills without scheduling a step ahead: its documentation, disaggregated serving.
    """
    if role != "prefill" or shape.settings.engine != "tensorrt-llm":
        return shape
    return replace(shape, settings=replace(shape.settings, async_scheduling=False))


def exchange(shape: Shape) -> Hashable:
    """Return what is equal for two replicas if a cache can move from one to the other.

    They keep it in one format. In vLLM, recurrent states move between equal tensor degrees alone:
    docs/features/nixl_connector_compatibility.md. That the tokens of both are spread alike is a
    limit of the planner.
    """
    recurrent = any(isinstance(k.attention, LinearAttention) for k in shape.model.layers.values())
    bound = recurrent and shape.settings.engine == "vllm"
    return (
        shape.kv_cache.name,
        (shape.settings.block_size, shape.context),
        shape.tensor if bound else None,
    )


def pipelines_keep_their_cache(shape: Shape) -> Iterator[str]:
    """In vLLM no cache moves out of a pipeline, or into one.

    Source: vLLM issues 40674 and 52913, an error at start (NixlConnector).
    """
    if shape.settings.engine == "vllm" and shape.pipeline > 1:
        yield f"vllm moves no cache between replicas of pipeline = {shape.pipeline}"


def engine_moves_caches(shape: Shape) -> Iterator[str]:
    """VLLM V0 moves no caches between replicas: its connectors belong to V1.

    Source: vLLM, vllm/distributed/kv_transfer/kv_connector/v1.
    """
    if shape.release.scheduler == "vllm-v0":
        yield f"vllm {shape.settings.version} moves no cache between replicas"


def scales_move(shape: Shape) -> Iterator[str]:
    """In vLLM a cache whose scales are computed as it is written does not move.

    Source: vLLM, docs/features/nixl_connector_compatibility.md, quantized KV cache.
    """
    name = shape.kv_cache.name
    if shape.settings.engine == "vllm" and name not in MOVED_BY_VLLM:
        yield f"vllm moves no {name} cache between replicas"


def layers_are_alike(shape: Shape) -> Iterator[str]:
    """In TensorRT-LLM all layers of a cache that moves have as many heads.

    Source: TensorRT-LLM documentation, disaggregated serving, limitations.
    """
    if shape.settings.engine != "tensorrt-llm":
        return
    kinds = [kind.attention for kind in shape.model.layers.values()]
    heads = {a.kv_heads if isinstance(a, SoftmaxAttention) else a.kind for a in kinds}
    if len(heads) > 1:
        yield "tensorrt-llm moves no cache whose layers differ in their heads"


def encoders_keep_what_they_have_read(shape: Shape) -> Iterator[str]:
    """The cache of an encoder-decoder model does not move: a limit of the simulator."""
    if shape.model.encoder is not None:
        yield f"the cache of `{shape.model.name}`, an encoder-decoder model, does not move"


RULES: tuple[Rule, ...] = (
    engine_moves_caches,
    encoders_keep_what_they_have_read,
    pipelines_keep_their_cache,
    scales_move,
    layers_are_alike,
)


def why_not_apart(shape: Shape) -> str | None:
    """Return the first reason why a replica cannot prefill or decode for others, None if it can."""
    return next((reason for rule in RULES for reason in rule(shape)), None)


def candidates_of(spec: Spec, legal: Iterable[tuple[Shape, Fit]]) -> list[Candidate]:
    """Return the replicas that may stand in a plan, in every role that is asked for.

    Whatever may prefill may decode too, so that a cache can always move to a replica alike.
    """
    return [
        located(spec, in_role(shape, role), room, role)
        for role in roles(spec)
        for shape, room in legal
        if role == "mixed" or why_not_apart(shape) is None
    ]
