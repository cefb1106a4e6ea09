"""Context parallelism: what it costs to attend to a cache that is spread over devices by token.

Devices of a tensor group that would hold copies of a key-value head hold every c-th token of it
instead. To decode, each one gathers the queries of all c, attends with them to its own tokens, and
the partial outputs are merged by their log-sum-exp. With latent attention only decoding sequences
are attended to so; a chunk of a prompt gathers the vectors before it instead. Softmax attention
does so with all tokens of a step.

Sources: vLLM, docs/serving/context_parallel_deployment.md; v1/attention/backends/flash_attn.py,
`_forward_with_dcp`; model_executor/layers/attention/mla_attention.py; v1/attention/ops/common.py,
`cp_lse_ag_out_rs`: log-sum-exps are gathered, outputs reduced and scattered. SGLang 0.5.23,
srt/layers/dcp/comm.py, `dcp_a2a_lse_reduce`, its default: both are exchanged in one all-to-all.
"""

from __future__ import annotations

import numpy as np

from apex_opt.cost.collectives import collective
from apex_opt.cost.curves import Array
from apex_opt.cost.operators import Attention
from apex_opt.cost.rates import Cost, Rates, half_precision, nothing
from apex_opt.cost.shape import Shape

LSE_BYTES = 4
"""A log-sum-exp has 32 bits."""

GATHERED_TOKENS = 65_536
"""Tokens before a chunk that are gathered at once, at most.

Source: vLLM, model_executor/layers/attention/mla_attention.py, `determine_chunked_prefill_
workspace_size`.
"""


def exchange(shape: Shape, a: Attention, tokens: Array) -> Array:
    """Return seconds of gathering queries and exchanging partial outputs of so many tokens."""
    group = shape.context
    if group == 1 or not a.kv_bytes:
        return np.zeros_like(tokens)
    queries, outputs = group * a.query_bytes * tokens, group * a.output_bytes * tokens
    sums = group * LSE_BYTES * a.query_heads * tokens
    seconds = collective(shape, "all_gather", group, queries)
    if shape.settings.engine == "sglang":
        return seconds + collective(shape, "all_to_all", group, outputs + sums)
    seconds = seconds + collective(shape, "all_gather", group, group * sums)
    return seconds + collective(shape, "reduce_scatter", group, outputs)


def merge_cost(rates: Rates, a: Attention, tokens: Array) -> Cost:
    """Return the cost of exchanging partial outputs and correcting them: read, written again."""
    shape = rates.shape
    if shape.context == 1 or not a.kv_bytes:
        return nothing(len(tokens))
    moved = 2.0 * shape.context * a.output_bytes * tokens
    seconds = moved / (rates.bandwidth * rates.device.efficiency.elementwise_memory)
    corrected = rates.cost(seconds, np.zeros_like(moved), moved, half_precision(rates.device))
    return corrected + rates.communication(exchange(shape, a, tokens))


def gather_cost(rates: Rates, a: Attention) -> Cost:
    """Return the cost of gathering a token before a chunk of a prompt, and of laying it out."""
    shape = rates.shape
    if shape.context == 1 or a.kind != "latent":
        return nothing(1)
    whole = shape.context * a.kv_bytes
    moved = np.array([2.0 * whole])
    seconds = moved / (rates.bandwidth * rates.device.efficiency.elementwise_memory)
    laid = rates.cost(seconds, np.zeros(1), moved, half_precision(rates.device))
    size = np.array([GATHERED_TOKENS * whole])
    sent = collective(shape, "all_gather", shape.context, size) / GATHERED_TOKENS
    return laid + rates.communication(sent)
