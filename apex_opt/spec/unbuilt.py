"""What a spec can say and apexopt does not model yet: refused by name, never passed over.

A rule goes when the feature comes. Rules yield faults, as those of `checks` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apex_opt.spec import catalog
from apex_opt.spec.catalog import UnknownNameError
from apex_opt.spec.faults import Fault
from apex_opt.spec.lines import Loc
from apex_opt.spec.spec import Spec

BUILT_ENGINE = "vllm"
BUILT_SCHEDULER = "vllm-v1"


def check(spec: Spec) -> list[Fault]:
    """Return all that `spec` asks for and that is not modelled yet."""
    return [fault for rule in RULES for fault in rule(spec)]


def other_engines(spec: Spec) -> Iterator[Fault]:
    """Engines other than vLLM."""
    if spec.engine.name != BUILT_ENGINE:
        yield _not_yet(("engine", "name"), f'write `name = "{BUILT_ENGINE}"`')


def other_schedulers(spec: Spec) -> Iterator[Fault]:
    """Releases of vLLM with the scheduler before V1."""
    if spec.engine.name != BUILT_ENGINE:
        return
    try:
        release = catalog.release(BUILT_ENGINE, spec.engine.version)
    except UnknownNameError as e:  # a spec that was built by hand
        yield Fault(("engine", "version"), str(e))
        return
    if release.scheduler != BUILT_SCHEDULER:
        oldest = min(
            (r.version for r in catalog.engine(BUILT_ENGINE).releases if _is_built(r.scheduler)),
            key=lambda version: catalog.version_key(version) or (),
        )
        yield _not_yet(("engine", "version"), f'write `version = "{oldest}"` or a newer one')


def _is_built(scheduler: str) -> bool:
    return scheduler == BUILT_SCHEDULER


def prefix_caching(spec: Spec) -> Iterator[Fault]:
    """Prefix caching where it is asked for; where it is a version's default it counts as off."""
    if spec.engine.prefix_caching:
        yield _not_yet(("engine", "prefix_caching"), "write `prefix_caching = false`")


def shared_prompts(spec: Spec) -> Iterator[Fault]:
    """Shared prefixes, sessions, several samples of one prompt."""
    if spec.workload.prefix is not None:
        yield _not_yet(("workload", "prefix"), "leave it out")
    if spec.workload.sessions is not None:
        yield _not_yet(("workload", "sessions"), "leave it out")
    if spec.workload.samples > 1:
        yield _not_yet(("workload", "samples"), "write `samples = 1`")


def attention_data_parallel(spec: Spec) -> Iterator[Fault]:
    """Copies of attention inside a replica; `auto` counts as 1."""
    if spec.parallelism.attention_data not in {"auto", (1,)}:
        yield _not_yet(("parallelism", "attention_data"), "write `attention_data = 1`")


def replicas_across_pools(spec: Spec) -> Iterator[Fault]:
    """Replicas that span pools."""
    if spec.parallelism.cross_pool:
        yield _not_yet(("parallelism", "cross_pool"), "write `cross_pool = false`")


def disaggregation(spec: Spec) -> Iterator[Fault]:
    """Prefill and decode on different replicas."""
    if spec.parallelism.disaggregate:
        yield _not_yet(("parallelism", "disaggregate"), "write `disaggregate = false`")


def encoders(spec: Spec) -> Iterator[Fault]:
    """Encoder-decoder models."""
    if spec.model.encoder is not None:
        yield _not_yet(("model", "encoder"), "choose a decoder-only model")
        return
    for name, kind in spec.model.layers.items():
        if kind.attention.kind == "softmax" and kind.attention.cross:
            loc = ("model", "layers", name, "attention", "cross")
            yield _not_yet(loc, "leave out `cross`")


def ray(spec: Spec) -> Iterator[Fault]:
    """Simulations on a Ray cluster."""
    if spec.search.executor != "local":
        yield _not_yet(("search", "executor"), 'write `executor = "local"`')


def _not_yet(loc: Loc, instead: str) -> Fault:
    return Fault(loc, f"not modelled yet; {instead}")


RULES: tuple[Callable[[Spec], Iterator[Fault]], ...] = (
    other_engines,
    other_schedulers,
    prefix_caching,
    shared_prompts,
    attention_data_parallel,
    replicas_across_pools,
    disaggregation,
    encoders,
    ray,
)
