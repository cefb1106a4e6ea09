"""Rules between the keys of `[engine]`, and the model that they are for."""

from __future__ import annotations

from collections.abc import Iterator

from apex_opt.spec import catalog
from apex_opt.spec.catalog import UnknownNameError
from apex_opt.spec.faults import Fault
from apex_opt.spec.lines import Loc
from apex_opt.spec.references import look_up
from apex_opt.spec.spec import Spec

SGLANG_KEYS = ("enable_mixed_chunk", "schedule_conservativeness")


def settings_are_the_engines(spec: Spec) -> Iterator[Fault]:
    """What only SGLang can be told stands beside `name = "sglang"`."""
    for key in SGLANG_KEYS:
        if getattr(spec.engine, key) is not None and spec.engine.name != "sglang":
            yield Fault(
                ("engine", key), 'is a setting of SGLang; leave it out or write `name = "sglang"`'
            )


def offload_keeps_prefixes(spec: Spec) -> Iterator[Fault]:
    """`kv_offload_gib_per_device` needs prefix caching: nothing else comes back from the host."""
    engine = spec.engine
    if engine.kv_offload_gib_per_device is None:
        return
    caching = engine.prefix_caching
    if caching is None:
        try:
            caching = catalog.release(engine.name, engine.version).prefix_caching
        except UnknownNameError:
            return  # a fault of the version
    if not caching:
        why = "keeps what the prefix cache loses; write `prefix_caching = true`"
        yield Fault(("engine", "kv_offload_gib_per_device"), why)


def recurrent_states_are_no_cache(spec: Spec) -> Iterator[Fault]:
    """`prefix_caching = true` needs a cache of every token; a recurrent state is none.

    Source: vLLM, vllm/config/vllm.py: off by default for models with such layers; what turns it on
    (`--mamba-cache-mode`) keeps states instead of blocks.
    """
    kinds = spec.model.layers.values()
    if spec.engine.prefix_caching and any(k.attention.kind == "linear" for k in kinds):
        why = "cannot be kept for linear attention, which has a state and no cache; leave it out"
        yield Fault(("engine", "prefix_caching"), why)


def experts_are_there_to_be_moved(spec: Spec) -> Iterator[Fault]:
    """`expert_offload` needs a mixture of experts."""
    dense = all(kind.ffn.kind != "moe" for kind in spec.model.layers.values())
    if spec.engine.expert_offload and dense:
        why = "needs a mixture of experts; for a dense model write `weight_offload`"
        yield Fault(("engine", "expert_offload"), why)


def drafts_come_from_somewhere(spec: Spec) -> Iterator[Fault]:
    """`speculation.model` stands beside `method = "draft_model"` alone, and is catalogued."""
    asked = spec.engine.speculation
    if asked is None:
        return
    loc: Loc = ("engine", "speculation", "model")
    if asked.method != "draft_model":
        if asked.model is not None:
            yield Fault(loc, 'cannot stand beside another method than "draft_model"')
        return
    if asked.model is None:
        yield Fault(loc, 'missing; write the model that guesses, `model = "llama-3.2-1b"`')
        return
    try:
        look_up("model", catalog.model, asked.model)
    except UnknownNameError as e:
        yield Fault(loc, str(e))


ENGINE_RULES = (
    (("engine",), (settings_are_the_engines, offload_keeps_prefixes, drafts_come_from_somewhere)),
    (("engine", "model"), (recurrent_states_are_no_cache, experts_are_there_to_be_moved)),
)
"""The rules, by the keys that they read."""
