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
    """What only SGLang, or only vLLM, can be told stands beside its name."""
    for key in SGLANG_KEYS:
        if getattr(spec.engine, key) is not None and spec.engine.name != "sglang":
            yield Fault(
                ("engine", key), 'is a setting of SGLang; leave it out or write `name = "sglang"`'
            )
    if spec.engine.mm_encoder_tp_mode != "weights" and spec.engine.name != "vllm":
        why = 'is a setting of vLLM; leave it out or write `name = "vllm"`'
        yield Fault(("engine", "mm_encoder_tp_mode"), why)


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


BESIDE_NO_ENCODER = (
    "chunked_prefill",
    "prefix_caching",
    "kv_offload_gib_per_device",
    "weight_offload",
    "speculation",
)


def encoders_read_whole_inputs(spec: Spec) -> Iterator[Fault]:
    """An encoder-decoder model has no chunks, no shared prefixes, no guesses, no weights elsewhere.

    Sources: vLLM, vllm/config/scheduler.py: chunked prefill and prefix caching are off with such
    models; TensorRT-LLM documentation, models/encoder-decoder: whole inputs, no block reuse. That
    nothing is guessed or left in host memory is a limit of the model of costs.
    """
    for key in BESIDE_NO_ENCODER if spec.model.encoder is not None else ():
        if getattr(spec.engine, key):
            yield Fault(
                ("engine", key), "cannot stand beside an encoder-decoder model; leave it out"
            )


def images_have_an_encoder(spec: Spec) -> Iterator[Fault]:
    """`mm_encoder_tp_mode` needs an encoder of images."""
    if spec.engine.mm_encoder_tp_mode != "weights" and spec.model.vision is None:
        why = f"needs an encoder of images, which `{spec.model.name}` has not; leave it out"
        yield Fault(("engine", "mm_encoder_tp_mode"), why)


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
    (
        ("engine", "model"),
        (
            recurrent_states_are_no_cache,
            encoders_read_whole_inputs,
            images_have_an_encoder,
            experts_are_there_to_be_moved,
        ),
    ),
)
"""The rules, by the keys that they read."""
