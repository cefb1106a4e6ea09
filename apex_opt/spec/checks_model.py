"""Rules between the keys of `[model]`."""

from __future__ import annotations

from collections.abc import Iterator

from apex_opt.spec import catalog
from apex_opt.spec.catalog import UnknownNameError
from apex_opt.spec.faults import Fault
from apex_opt.spec.lines import Loc
from apex_opt.spec.model import (
    Encoder,
    LatentAttention,
    LayerKind,
    LinearAttention,
    Model,
    MoeFfn,
    SoftmaxAttention,
)
from apex_opt.spec.references import look_up
from apex_opt.spec.spec import Spec
from apex_opt.spec.words import got, one_of

MOST_LAYERS = 10_000


def pattern_names_kinds(spec: Spec) -> Iterator[Fault]:
    """Each name in `pattern` is a key of `layers`."""
    for loc, stack in _stacks(spec):
        for nth, run in enumerate(stack.pattern):
            for which, kind in enumerate(run.layers):
                if kind not in stack.layers:
                    known = one_of(list(stack.layers)[:10]) if stack.layers else "nothing yet"
                    why = f"must be a kind of `layers`, {known}, got {got(kind)}"
                    yield Fault((*loc, "pattern", nth, "layers", which), why)


def layers_can_be_counted(spec: Spec) -> Iterator[Fault]:
    """The pattern has 10,000 layers at most: it is a model, and it can be held in memory."""
    for loc, stack in _stacks(spec):
        layers = sum(len(run.layers) * run.repeat for run in stack.pattern)
        if layers > MOST_LAYERS:
            yield Fault(
                (*loc, "pattern"), f"must be {MOST_LAYERS:,} layers or fewer, is {layers:,}"
            )


def heads_share_keys_evenly(spec: Spec) -> Iterator[Fault]:
    """`kv_heads` divides `heads`; of linear attention, `key_heads` divides `value_heads`."""
    for loc, kind in _kinds(spec):
        attention = kind.attention
        if isinstance(attention, SoftmaxAttention) and attention.heads % attention.kv_heads:
            why = f"must divide `heads`, {attention.heads:,}, got {attention.kv_heads:,}"
            yield Fault((*loc, "attention", "kv_heads"), why)
        if isinstance(attention, LinearAttention) and attention.value_heads % attention.key_heads:
            why = (
                f"must divide `value_heads`, {attention.value_heads:,}, got {attention.key_heads:,}"
            )
            yield Fault((*loc, "attention", "key_heads"), why)


def indexers_are_complete(spec: Spec) -> Iterator[Fault]:
    """Of `index_heads`, `index_dim` and `index_topk`, all are given or none."""
    for loc, kind in _kinds(spec):
        if isinstance(kind.attention, LatentAttention):
            keys = ("index_heads", "index_dim", "index_topk")
            missing = [key for key in keys if getattr(kind.attention, key) is None]
            if 0 < len(missing) < len(keys):
                for key in missing:
                    why = "missing; an indexer has `index_heads`, `index_dim` and `index_topk`"
                    yield Fault((*loc, "attention", key), why)


def tokens_visit_known_experts(spec: Spec) -> Iterator[Fault]:
    """`top_k` <= `experts`."""
    for loc, kind in _kinds(spec):
        ffn = kind.ffn
        if isinstance(ffn, MoeFfn) and ffn.top_k > ffn.experts:
            why = f"must be {ffn.experts:,} or less, `experts`, got {ffn.top_k:,}"
            yield Fault((*loc, "ffn", "top_k"), why)


def encoders_and_cross_attention_go_together(spec: Spec) -> Iterator[Fault]:
    """Every layer attends to the encoder's output, or there is no encoder."""
    model = spec.model
    for name, kind in model.layers.items():
        a = kind.attention
        loc = ("model", "layers", name, "attention")
        crosses = isinstance(a, SoftmaxAttention) and a.cross
        if crosses and model.encoder is None:
            yield Fault((*loc, "cross"), "has nothing to attend to; write `[model.encoder]`")
        if not crosses and model.encoder is not None:
            why = 'must attend to the encoder; write `kind = "softmax"` and `cross = true`'
            yield Fault(loc, why)
        if crosses and isinstance(a, SoftmaxAttention) and a.window_tokens is not None:
            yield Fault((*loc, "window_tokens"), "cannot stand beside `cross`; leave it out")
    for name, kind in (model.encoder.layers if model.encoder else {}).items():
        plain = isinstance(kind.attention, SoftmaxAttention) and not kind.attention.cross
        if not plain or kind.ffn.kind != "dense":
            why = "must have plain softmax attention and a dense feed-forward layer"
            yield Fault(("model", "encoder", "layers", name), why)


def heads_share_the_width_of_vision(spec: Spec) -> Iterator[Fault]:
    """`vision.heads` divides `vision.hidden_size`; a tile has no more patches than an image."""
    vision = spec.model.vision
    if vision is None:
        return
    if vision.hidden_size % vision.heads:
        why = f"must divide `hidden_size`, {vision.hidden_size:,}, got {vision.heads:,}"
        yield Fault(("model", "vision", "heads"), why)
    if (vision.tile_patches or 0) > vision.patches:
        why = f"must be {vision.patches:,} or less, `patches`, got {vision.tile_patches:,}"
        yield Fault(("model", "vision", "tile_patches"), why)


def checkpoint_format_is_known(spec: Spec) -> Iterator[Fault]:
    """`native_weights` is a weight format of the catalogue."""
    try:
        look_up("weight format", catalog.weight_format, spec.model.native_weights)
    except UnknownNameError as e:
        yield Fault(("model", "native_weights"), str(e))


def _stacks(spec: Spec) -> Iterator[tuple[Loc, Model | Encoder]]:
    yield ("model",), spec.model
    if spec.model.encoder is not None:
        yield ("model", "encoder"), spec.model.encoder


def _kinds(spec: Spec) -> Iterator[tuple[Loc, LayerKind]]:
    for loc, stack in _stacks(spec):
        for kind, layer in stack.layers.items():
            yield (*loc, "layers", kind), layer


MODEL_RULES = (
    (("model.layers", "model.pattern", "model.encoder"), (pattern_names_kinds,)),
    (("model.pattern", "model.encoder"), (layers_can_be_counted,)),
    (
        ("model.layers", "model.encoder"),
        (heads_share_keys_evenly, indexers_are_complete, tokens_visit_known_experts),
    ),
    (("model.layers", "model.encoder"), (encoders_and_cross_attention_go_together,)),
    (("model.vision",), (heads_share_the_width_of_vision,)),
    (("model.native_weights",), (checkpoint_format_is_known,)),
)
"""The rules, by the keys that they read."""
