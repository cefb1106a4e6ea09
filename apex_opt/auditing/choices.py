"""The choices of a spec that may be widened: formats, degrees, settings of the engine."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from apex_opt.auditing.dials import Dial, Options, Range, in_pool, under
from apex_opt.cost.rates import compute_precision
from apex_opt.plan.enumerate import (
    attention_degrees,
    formats,
    pipeline_degrees,
    shapes,
    tensor_degrees,
)
from apex_opt.plan.settings import batch_default
from apex_opt.spec import catalog
from apex_opt.spec.engine import EngineRelease
from apex_opt.spec.lines import Loc
from apex_opt.spec.quantization import WeightFormat
from apex_opt.spec.spec import Spec

Row = tuple[str, Loc, Any, Dial, bool]
"""Key, place, family, dial, and whether the spec says it: what an entry is made of."""

SEQUENCES = (1024, 256, 64, 16)
TOKENS = (16384, 8192, 2048, 512)
MOST_UTILIZATION = 0.98


def choices(spec: Spec, *, unwritten: bool) -> Iterator[Row]:
    """Yield the choices that may be widened; those of the engine's defaults too if `unwritten`."""
    yield from _settings(spec, unwritten=unwritten)
    yield from _clocks(spec)
    yield from _kinds(spec)
    yield from _formats(spec)
    yield from _degrees(spec)
    yield from _layouts(spec, unwritten=unwritten)
    yield from _depth(spec)


def _settings(spec: Spec, *, unwritten: bool) -> Iterator[Row]:
    engine = spec.engine
    release = catalog.release(engine.name, engine.version)
    tokens, sequences = batch_default(release, spec.pools[0])
    for key, known, default in (
        ("max_num_seqs", SEQUENCES, sequences),
        ("max_num_batched_tokens", TOKENS, tokens),
    ):
        own = getattr(engine, key)
        if own is None and not unwritten:
            continue
        now = own or (default,)
        others = sorted(
            set(known) - set(now), key=lambda n: (min(abs(math.log(n / m)) for m in now), n)
        )
        dial = _added("engine", key, now, others, f"allow `{key}` = {{:,}}")
        yield f"engine.{key}", ("engine", key), "engine", dial, own is not None
    for key, words in (
        ("max_model_len", "leave out `max_model_len`"),
        ("num_gpu_blocks", "leave out `num_gpu_blocks`"),
    ):
        own = getattr(engine, key)
        if own is not None:
            dial = Options(f"{own:,}", ((None, words),), None, under("engine", key))
            yield f"engine.{key}", ("engine", key), "engine", dial, True
    if engine.speculation is not None:
        put, words = under("engine", "speculation"), "leave out `[engine.speculation]`"
        plain = Options(engine.speculation.method, ((None, words),), None, put)
        yield "engine.speculation", ("engine", "speculation"), "engine", plain, True
    if engine.chunked_prefill is False:
        put = under("engine", "chunked_prefill")
        turned = Options("false", ((True, "turn on chunked prefill"),), True, put)
        yield "engine.chunked_prefill", ("engine", "chunked_prefill"), "engine", turned, True
    if engine.chunked_prefill and engine.speculation and release.scheduler == "vllm-v0":
        put = under("engine", "chunked_prefill")
        turned = Options("true", ((False, "turn off chunked prefill"),), False, put)
        yield "engine.chunked_prefill", ("engine", "chunked_prefill"), "engine", turned, True
    share = engine.gpu_memory_utilization
    used = share or (_own_share(spec, release) if unwritten else MOST_UTILIZATION)
    if used < MOST_UTILIZATION:
        put = under("engine", "gpu_memory_utilization")
        filled = Range(used, MOST_UTILIZATION, False, "", put)
        loc = ("engine", "gpu_memory_utilization")
        yield "engine.gpu_memory_utilization", loc, "reserve", filled, share is not None


def _own_share(spec: Spec, release: EngineRelease) -> float:
    """Return the share of memory that the engine takes if nothing is said, four digits of it.

    Where that follows from the replica it is the least of any: there no replica takes less.
    """
    if release.memory_rule != "static":
        return release.memory_utilization
    longest = spec.engine.max_model_len or spec.model.max_context
    found = [
        s.settings.gpu_memory_utilization for p in spec.pools for s in shapes(spec, p, longest)
    ]
    return math.floor(1e4 * min(found, default=release.memory_utilization)) / 1e4


def _added(table: str, key: str, now: tuple[Any, ...], others: list[Any], words: str) -> Options:
    """Return the dial of a choice: each other value is allowed beside those of now."""
    shown = ", ".join(str(v) for v in now)
    options = tuple(((*now, v), words.format(v)) for v in others)
    return Options(shown, options, (*now, *others), under(table, key))


def _clocks(spec: Spec) -> Iterator[Row]:
    for nth, pool in enumerate(spec.pools):
        boost = pool.device.clock_mhz
        if pool.clocks_mhz is not None and boost is not None and boost not in pool.clocks_mhz:
            every = (*pool.clocks_mhz, boost)
            words = f"allow the boost clock of {boost:,.0f} MHz in pool {pool.name}"
            shown = ", ".join(f"{c:g}" for c in pool.clocks_mhz)
            dial = Options(shown, ((every, words),), every, in_pool(nth, "clocks_mhz"))
            loc: Loc = ("pools", nth, "clocks_mhz")
            yield f"pools.{pool.name}.clocks_mhz", loc, "engine", dial, True


def _kinds(spec: Spec) -> Iterator[Row]:
    most, usual = spec.search.max_deployments, min(len(spec.pools), 3)
    if most is not None and most < usual:
        dial = Range(most, usual, True, "kinds", under("search", "max_deployments"))
        yield "search.max_deployments", ("search", "max_deployments"), "kinds", dial, True


def _formats(spec: Spec) -> Iterator[Row]:
    own = spec.quantization
    now = own.weights or (catalog.weight_format(spec.model.native_weights),)
    others = [f for f in _known_weights(spec) if f.name not in _names_served(spec, now)]
    options = tuple(((*now, f), f"allow {f.name} weights") for f in others)
    shown = ", ".join(f.name for f in now)
    dial = Options(shown, options, (*now, *others), under("quantization", "weights"))
    loc: Loc = ("quantization", "weights")
    yield "quantization.weights", loc, "format", dial, own.weights is not None
    caches = own.kv_cache or (catalog.kv_format("bf16"),)
    fp8 = any("fp8" in p.device.peak_tflops for p in spec.pools)
    more = [catalog.kv_format(name) for name in ("bf16", "fp8" if fp8 else "int8")]
    more = [f for f in more if f.name not in {c.name for c in caches}]
    widened = tuple(((*caches, f), f"allow a KV cache in {f.name}") for f in more)
    shown = ", ".join(f.name for f in caches)
    dial = Options(shown, widened, (*caches, *more), under("quantization", "kv_cache"))
    loc = ("quantization", "kv_cache")
    yield "quantization.kv_cache", loc, "format", dial, own.kv_cache is not None


def _names_served(spec: Spec, now: tuple[WeightFormat, ...]) -> set[str]:
    """Return the formats of now, as the spec names them and as its pools serve them."""
    return {f.name for f in now} | {w.name for p in spec.pools for w, _ in formats(spec, (p,))}


def _known_weights(spec: Spec) -> list[WeightFormat]:
    """Return a format of 16, 8 and 4 bits that the devices compute in, widest first."""
    found: dict[str, WeightFormat] = {}
    for pool in spec.pools:
        peak = pool.device.peak_tflops
        eight = "fp8" if "fp8" in peak or "int8" not in peak else "int8-w8a8"
        for name in ("bf16" if "bf16" in peak else "fp16", eight, "awq-int4"):
            known = catalog.weight_format(name)
            if compute_precision(pool.device, known) is not None:
                found[name] = known
    return sorted(found.values(), key=lambda f: -f.bits)


def _degrees(spec: Spec) -> Iterator[Row]:
    asked, free = spec.parallelism, under("parallelism", "tensor")(spec, "auto")
    if asked.expert != "auto":
        shown = ", ".join(map(str, asked.expert))
        dial = Options(shown, (("auto", 'write `expert = "auto"`'),), "auto", _put("expert"))
        yield "parallelism.expert", ("parallelism", "expert"), "parallelism", dial, True
    if asked.tensor != "auto":
        degrees = {t for p in spec.pools for t in tensor_degrees(free, p)}
        dial = _degree("tensor", asked.tensor, degrees)
        yield "parallelism.tensor", ("parallelism", "tensor"), "parallelism", dial, True
    if asked.pipeline != "auto":
        deep = under("parallelism", "pipeline")(spec, "auto")
        degrees = {s for p in spec.pools for s in pipeline_degrees(deep, p, 1)}
        dial = _degree("pipeline", asked.pipeline, degrees)
        yield "parallelism.pipeline", ("parallelism", "pipeline"), "parallelism", dial, True
    if asked.attention_data != "auto":
        lone = under("parallelism", "attention_data")(spec, "auto")
        degrees = {d for p in spec.pools for d in attention_degrees(lone, p)}
        dial = _degree("attention_data", asked.attention_data, degrees)
        loc: Loc = ("parallelism", "attention_data")
        yield "parallelism.attention_data", loc, "parallelism", dial, True


def _depth(spec: Spec) -> Iterator[Row]:
    """Yield the most stages that `auto` tries, where the spec says how many: up to all layers."""
    asked, layers = spec.parallelism, len(spec.model.sequence())
    if "max_stages" not in asked.model_fields_set or asked.pipeline != "auto":
        return
    if asked.max_stages < layers:
        dial = Range(asked.max_stages, layers, True, "stages", _put("max_stages"))
        yield "parallelism.max_stages", ("parallelism", "max_stages"), "parallelism", dial, True


def _layouts(spec: Spec, *, unwritten: bool) -> Iterator[Row]:
    """Yield what decides where layers, tokens of the cache and roles may stand."""
    asked = spec.parallelism
    rows: list[tuple[str, bool, list[Any]]] = [
        ("layer_split", asked.layer_split == "even", ["auto", "best"]),
        ("disaggregate", asked.disaggregate is not True, [True]),
    ]
    if len(spec.pools) > 1:
        rows.append(("cross_pool", not asked.cross_pool, [True]))
    if asked.context != "auto":
        rows.append(("context", True, ["auto"]))
    for key, narrow, wider in rows:
        written = key in asked.model_fields_set
        free = unwritten and key in {"cross_pool", "context"}
        if narrow and (written or free):
            others = tuple((value, f"write `{key} = {json.dumps(value)}`") for value in wider)
            dial = Options(_shown(getattr(asked, key)), others, wider[-1], _put(key))
            yield f"parallelism.{key}", ("parallelism", key), "parallelism", dial, written


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower()


def _put(key: str) -> Any:
    return under("parallelism", key)


def _degree(key: str, now: tuple[int, ...], degrees: set[int]) -> Options:
    """Return the dial of degrees; `auto` allows all, those that a changed pool brings too."""
    nearest = sorted(degrees - set(now), key=lambda d: (min(abs(d - n) for n in now), d))
    some: list[tuple[Any, str]] = [((*now, d), f"allow `{key}` = {d}") for d in nearest]
    every = ("auto", f'write `{key} = "auto"`')
    return Options(", ".join(map(str, now)), (*some, every), "auto", _put(key))
