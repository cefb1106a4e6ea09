"""Guessing tokens ahead: the model that guesses as a replica of its own, and what a guess costs.

A guess is a pass of the small model over one token of each decoding sequence, so k guesses are k
passes one after the other. They stand on the same devices, in the target's step: the engine's
overhead is paid once, by the target.

Source: vLLM, vllm/v1/spec_decode/eagle.py `propose`: a pass for each speculative token.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apex_opt.cost.attention import NOMINAL_CONTEXT
from apex_opt.cost.curves import Array
from apex_opt.cost.shape import Drafts, Shape
from apex_opt.cost.steps import step_table
from apex_opt.sim.steps import StepTable
from apex_opt.spec import catalog
from apex_opt.spec.model import Model, Repeat
from apex_opt.spec.speculation import Speculation

FS_PER_NS = 1e6


def drafts_of(asked: Speculation | None, target: Model) -> Drafts | None:
    """Return what a spec's `[engine.speculation]` asks for."""
    if asked is None:
        return None
    if asked.model is not None:
        return Drafts(asked, catalog.model(asked.model))
    if asked.method not in {"eagle", "mtp"}:
        return Drafts(asked)
    last = Repeat(layers=(target.sequence()[-1],))
    return Drafts(asked, target.model_copy(update={"pattern": (last,), "extra_parameters": 0.0}))


def draft_shape(shape: Shape) -> Shape | None:
    """Return the small model on the devices of `shape`; None where nothing guesses.

    It is split as the target is, or copied to all devices where its heads do not divide. One of
    the catalogue runs in its checkpoint's format; a layer of the target in the target's.
    """
    drafts = shape.settings.drafts
    if drafts is None or drafts.model is None:
        return None
    release, chosen = shape.release, shape.settings
    quiet = release.overheads.model_copy(update={"step_us": 0.0, "sequence_us": 0.0})
    weights = shape.weights
    if not drafts.layer:
        weights = catalog.weight_format(drafts.model.native_weights)
    return replace(
        shape,
        model=drafts.model,
        release=release.model_copy(update={"overheads": quiet}),
        settings=replace(
            chosen,
            max_num_batched_tokens=chosen.max_num_seqs,
            graph_tokens=min(chosen.graph_tokens, chosen.max_num_seqs),
            drafts=None,
            weight_offload=0.0,
            expert_offload=0.0,
        ),
        weights=weights,
        tensor=shape.tensor if _divides(drafts.model, shape.tensor) else 1,
        expert=shape.expert if drafts.layer else 1,
        attention_data=shape.attention_data if drafts.layer else 1,
        stage_layers=(len(drafts.model.sequence()),),
    )


def _divides(model: Model, tensor: int) -> bool:
    heads = [
        kind.attention.key_heads if kind.attention.kind == "linear" else kind.attention.heads
        for kind in model.layers.values()
    ]
    return all(h % tensor == 0 for h in heads)


def guessing(shape: Shape, target: StepTable) -> tuple[Array, Array] | None:
    """Return (rows,) nanoseconds and joules of guessing, by decoding sequences; None: nothing.

    Args:
        shape: with `settings.drafts`.
        target: the step table of the target alone; its rows are those of the result.
    """
    drafts = shape.settings.drafts
    if drafts is None or (drafts.model is None and not drafts.asked.draft_cost):
        return None
    share, times = drafts.asked.draft_cost, float(drafts.asked.tokens)
    small = draft_shape(shape) if share is None else None
    table, copies = target, 1.0
    if small is None:
        times *= share or 0.0
    else:
        table, copies = step_table(small), shape.tensor / small.tensor
    sequences = np.minimum(np.arange(target.max_seqs + 1), shape.settings.max_num_seqs)
    context = sequences * NOMINAL_CONTEXT
    ns = table.over_stages(table.decode_ns)[sequences] + table.over_stages(table.rows_ns)[sequences]
    ns = ns + table.over_stages(table.context_fs + table.window_fs) / FS_PER_NS * context
    joules = table.decode_j[sequences] + table.rows_j[sequences]
    joules = joules + (table.context_j + table.window_j) * context
    return times * ns, times * copies * joules
