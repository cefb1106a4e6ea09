"""Rules between the keys of a spec: a function each, its docstring says what must hold.

A rule yields faults of specs that contradict themselves. That a model does not fit or that a limit
cannot be met is no fault: it is what the solver finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from apex_opt.spec.checks_engine import ENGINE_RULES
from apex_opt.spec.checks_model import MODEL_RULES
from apex_opt.spec.checks_workload import WORKLOAD_RULES
from apex_opt.spec.faults import Fault
from apex_opt.spec.goals import Percentiles
from apex_opt.spec.lines import Loc
from apex_opt.spec.spec import Spec
from apex_opt.spec.words import got, key_text, name, number

Rule = Callable[[Spec], Iterator[Fault]]

MOST_DEVICES = 1_000_000


def check(spec: Spec, faulty: Collection[Loc] = ()) -> list[Fault]:
    """Return the faults of all rules that can be judged.

    Args:
        spec: a spec; what is faulty may be missing from it.
        faulty: places with faults that are known already. Rules that read one are left out, and so
            are new faults at the same place, which would only follow from the known ones.
    """
    names = {_names(loc) for loc in faulty}
    return [
        fault
        for reads, rules in RULES
        if not any(_overlap(tuple(key.split(".")), known) for key in reads for known in names)
        for rule in rules
        for fault in rule(spec)
        if not any(_overlap(fault.loc, known) for known in faulty)
    ]


def _names(loc: Loc) -> Loc:
    return tuple(step for step in loc if isinstance(step, str))


def _overlap(one: Loc, other: Loc) -> bool:
    """Whether one place is inside the other."""
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def pools_have_names_of_their_own(spec: Spec) -> Iterator[Fault]:
    """No two pools have the same name."""
    first: dict[str, int] = {}
    for nth, pool in enumerate(spec.pools):
        if pool.name in first:
            other = key_text(("pools", first[pool.name], "name"))
            yield Fault(("pools", nth, "name"), f"is the same as {other}, {got(pool.name)}")
        first.setdefault(pool.name, nth)


def pools_can_be_counted(spec: Spec) -> Iterator[Fault]:
    """A pool has a million devices at most."""
    for nth, pool in enumerate(spec.pools):
        if pool.devices > MOST_DEVICES:
            why = f"must be {MOST_DEVICES // pool.node_devices:,} or less, a million devices"
            yield Fault(("pools", nth, "nodes"), f"{why}, got {pool.nodes:,}")


def clocks_stay_below_boost(spec: Spec) -> Iterator[Fault]:
    """`pools.clocks_mhz` <= `clock_mhz` of the device, the clock of its data sheet's peak.

    A hundredth of that is the least: no device is clocked lower.
    """
    for nth, pool in enumerate(spec.pools):
        boost = pool.device.clock_mhz
        for which, clock in enumerate(pool.clocks_mhz or ()):
            if boost is not None and clock > boost:
                why = (
                    f"must be {number(boost)} or less, the boost clock of {name(pool.device.name)}"
                )
                yield Fault(("pools", nth, "clocks_mhz", which), f"{why}, got {number(clock)}")
            if boost is not None and clock < boost / 100:
                why = (
                    f"must be {number(boost / 100)} or more, a hundredth of the boost clock of "
                    f"{name(pool.device.name)}"
                )
                yield Fault(("pools", nth, "clocks_mhz", which), f"{why}, got {number(clock)}")


def objective_is_one(spec: Spec) -> Iterator[Fault]:
    """Exactly one of `minimize` and `maximize` is given."""
    minimize, maximize = spec.objective.minimize, spec.objective.maximize
    if minimize and maximize:
        yield Fault(
            ("objective", "maximize"), "cannot stand beside `minimize`; keep one of the two"
        )
    if not minimize and not maximize:
        why = 'names no goal; write `minimize = "cost"` or `maximize = "goodput"`'
        yield Fault(("objective",), why)


def limits_of_statistics_limit_something(spec: Spec) -> Iterator[Fault]:
    """A table of limits on statistics has at least one."""
    for metric, limit in spec.slo:
        if isinstance(limit, Percentiles) and not limit.limits():
            yield Fault(("slo", metric), "limits nothing; write for example { p99 = 1000.0 }")


def engine_choices_differ(spec: Spec) -> Iterator[Fault]:
    """No setting of the engine is listed twice."""
    for key in ("max_num_seqs", "max_num_batched_tokens"):
        yield from _repeats(("engine", key), getattr(spec.engine, key) or ())


def degrees_differ(spec: Spec) -> Iterator[Fault]:
    """No degree of parallelism is listed twice."""
    for key in ("tensor", "pipeline", "expert", "attention_data", "context"):
        degrees = getattr(spec.parallelism, key)
        yield from _repeats(("parallelism", key), degrees if isinstance(degrees, tuple) else ())


def clocks_differ(spec: Spec) -> Iterator[Fault]:
    """No clock of a pool is listed twice."""
    for nth, pool in enumerate(spec.pools):
        yield from _repeats(("pools", nth, "clocks_mhz"), pool.clocks_mhz or ())


def formats_differ(spec: Spec) -> Iterator[Fault]:
    """No format is listed twice, be it by an alias."""
    for key in ("weights", "kv_cache"):
        formats = getattr(spec.quantization, key) or ()
        yield from _repeats(("quantization", key), tuple(f.name for f in formats))


def quality_is_of_formats_there_are(spec: Spec) -> Iterator[Fault]:
    """`quantization.usd_per_million_tokens` names formats that the spec may choose.

    Nobody chooses where the spec lists no formats.
    """
    table = spec.quantization
    known = [f.name for f in table.weights or ()] + [f.name for f in table.kv_cache or ()]
    for key in table.usd_per_million_tokens:
        if key not in known:
            why = f"is no format of this spec; those are {', '.join(known) or 'not listed'}"
            yield Fault(("quantization", "usd_per_million_tokens", key), why)


def spot_limits_need_spot_pools(spec: Spec) -> Iterator[Fault]:
    """`limits.spot_fraction` stands beside a pool with `spot = true`."""
    if spec.limits.spot_fraction is not None and not any(pool.spot for pool in spec.pools):
        why = "limits nothing; write `spot = true` under the pools that may be taken away"
        yield Fault(("limits", "spot_fraction"), why)


def limits_of_roles_need_roles(spec: Spec) -> Iterator[Fault]:
    """`limits.prefill_devices` and `decode_devices` stand beside `parallelism.disaggregate`."""
    if spec.parallelism.disaggregate:
        return
    for key in ("prefill_devices", "decode_devices"):
        if getattr(spec.limits, key) is not None:
            why = "limits nothing; write `disaggregate = true` under `[parallelism]`"
            yield Fault(("limits", key), why)


def windows_of_power_are_of_a_limit(spec: Spec) -> Iterator[Fault]:
    """`limits.power_window_s` stands beside a limit on power that is not of what is rated."""
    limits = spec.limits
    if limits.power_window_s is None:
        return
    if limits.power_by == "rated":
        why = 'says nothing where `power_by = "rated"`, which no time changes; leave one out'
        yield Fault(("limits", "power_window_s"), why)
    elif limits.power_w is None and all(pool.power_w is None for pool in spec.pools):
        why = "limits nothing; write `power_w`, here or under a pool"
        yield Fault(("limits", "power_window_s"), why)


def classes_are_dealt_beforehand(spec: Spec) -> Iterator[Fault]:
    """`routing.by_class` goes with requests dealt in turn, in an open loop.

    Other routers look at replicas, and clients of a closed loop stay with theirs.
    """
    if not spec.routing.by_class:
        return
    if spec.routing.router != "round_robin":
        why = (
            f'goes with `router = "round_robin"` only, got {got(spec.routing.router)}; leave it out'
        )
        yield Fault(("routing", "by_class"), why)
    elif spec.workload.arrival == "closed":
        why = "does nothing for clients of a closed loop, who stay with their replica; leave it out"
        yield Fault(("routing", "by_class"), why)


def _repeats(loc: Loc, values: tuple[float | str, ...]) -> Iterator[Fault]:
    for nth, value in enumerate(values):
        if value in values[:nth]:
            yield Fault((*loc, nth), f"{got(value)} is already in the list")


def pipelines_are_no_deeper_than_the_model(spec: Spec) -> Iterator[Fault]:
    """`parallelism.pipeline` <= layers of the model: no stage is empty."""
    layers = sum(spec.model.counts().values())
    degrees = spec.parallelism.pipeline
    for nth, degree in enumerate(degrees if isinstance(degrees, tuple) else ()):
        if degree > layers:
            why = f"must be {layers:,} or less, the layers of the model, got {degree:,}"
            yield Fault(("parallelism", "pipeline", nth), why)


def context_is_the_models(spec: Spec) -> Iterator[Fault]:
    """`engine.max_model_len` <= `model.max_context`: engines refuse more."""
    length, most = spec.engine.max_model_len, spec.model.max_context
    if length is not None and length > most:
        why = f"must be {most:,} or less, `model.max_context`, got {length:,}"
        yield Fault(("engine", "max_model_len"), why)


def every_sequence_gets_a_token(spec: Spec) -> Iterator[Fault]:
    """`max_num_batched_tokens` >= `max_num_seqs`, for some choice of both.

    Source: vLLM, vllm/config/scheduler.py, `SchedulerConfig` refuses anything else.
    """
    tokens, sequences = spec.engine.max_num_batched_tokens, spec.engine.max_num_seqs
    if spec.engine.name == "vllm" and tokens and sequences and max(tokens) < min(sequences):
        why = f"must be {min(sequences):,} or more, `engine.max_num_seqs`, got {max(tokens):,}"
        yield Fault(("engine", "max_num_batched_tokens"), why)


def whole_prompts_fit_a_step(spec: Spec) -> Iterator[Fault]:
    """Without chunked prefill, `max_num_batched_tokens` >= the longest context.

    Source: vLLM, vllm/config/scheduler.py, `SchedulerConfig` refuses anything else.
    """
    engine, tokens = spec.engine, spec.engine.max_num_batched_tokens
    if engine.name != "vllm" or engine.chunked_prefill is not False or not tokens:
        return
    longest = engine.max_model_len or spec.model.max_context
    if max(tokens) < longest:
        key = "engine.max_model_len" if engine.max_model_len else "model.max_context"
        why = f"must be {longest:,} or more, `{key}`, without `chunked_prefill`"
        yield Fault(("engine", "max_num_batched_tokens"), f"{why}, got {max(tokens):,}")


RULES: tuple[tuple[tuple[str, ...], tuple[Rule, ...]], ...] = (
    *MODEL_RULES,
    (("pools.name",), (pools_have_names_of_their_own,)),
    (("pools.device", "pools.nodes", "pools.devices_per_node"), (pools_can_be_counted,)),
    (("pools.device", "pools.clocks_mhz"), (clocks_stay_below_boost,)),
    (("pools.clocks_mhz",), (clocks_differ,)),
    *WORKLOAD_RULES,
    *ENGINE_RULES,
    (("objective",), (objective_is_one,)),
    (("slo",), (limits_of_statistics_limit_something,)),
    (("engine.name", "engine.max_num_seqs"), (every_sequence_gets_a_token,)),
    (("engine.max_num_seqs", "engine.max_num_batched_tokens"), (engine_choices_differ,)),
    (("engine.max_model_len", "model"), (context_is_the_models,)),
    (("engine", "model"), (whole_prompts_fit_a_step,)),
    (("model", "parallelism.pipeline"), (pipelines_are_no_deeper_than_the_model,)),
    (("parallelism",), (degrees_differ,)),
    (("quantization",), (formats_differ, quality_is_of_formats_there_are)),
    (("routing", "workload.arrival"), (classes_are_dealt_beforehand,)),
    (("limits", "parallelism.disaggregate"), (limits_of_roles_need_roles,)),
    (("limits", "pools.power_w"), (windows_of_power_are_of_a_limit,)),
    (("limits", "pools.spot"), (spot_limits_need_spot_pools,)),
)
"""The rules, by the keys that they read: where one of those is faulty, a rule cannot be judged."""
