"""Which measured kernel times attention: one of its own kind, or that of full softmax attention."""

from __future__ import annotations

from collections.abc import Mapping

from apex_opt.cost.formats import attention_format
from apex_opt.cost.operators import Attention
from apex_opt.cost.rates import Rates, half_precision
from apex_opt.spec.device_efficiency import AttentionFormat, Decode, Prefill
from apex_opt.spec.pools import Precision


def measured(rates: Rates, a: Attention) -> tuple[bool, bool]:
    """Return whether the device was measured with the kernels that attend prompts, and decode."""
    reached = rates.device.efficiency
    kinds: dict[str, tuple[Mapping[AttentionFormat, Prefill], Mapping[AttentionFormat, Decode]]] = {
        "full": (reached.prefill, reached.decode),
        "window": (reached.window_prefill, reached.window_decode),
        "latent": (reached.latent_prefill, reached.latent_decode),
        "linear": (reached.linear_prefill, reached.linear_decode),
    }
    prompts, decode = kinds[a.kind]
    return "bf16" in prompts and not a.borrowed, "bf16" in decode and not a.borrowed


def prefill_curve(rates: Rates, a: Attention) -> tuple[Prefill, Precision]:
    """Return how prompts are attended, and in which precision.

    Latent attention expands an 8-bit cache and computes in 16 bits (vLLM, FlashMLA); a recurrent
    state is no cache. Where tokens are chosen, vLLM does so too, with the kernel that others take
    over 16 bits only (SGLang nsa_backend.py, `flashmla_sparse`); theirs over 8 are faster.
    """
    reached = rates.device.efficiency
    own = {
        "full": reached.prefill,
        "window": reached.window_prefill,
        "latent": reached.latent_prefill,
        "linear": reached.linear_prefill,
    }
    curves = own[a.kind] if "bf16" in own[a.kind] else reached.prefill
    if a.sparse and (a.slots or rates.shape.kv_cache.bytes_per_element > 1):
        curves = reached.sparse_prefill or curves
    if a.kind in {"latent", "linear"}:
        return curves["bf16"], half_precision(rates.device)
    name, precision = attention_format(rates.device, curves, rates.shape.kv_cache)
    return curves[name], precision


def decode_curve(rates: Rates, a: Attention) -> tuple[Decode, Precision]:
    """Return how decoding sequences read their cache or state, and in which precision."""
    reached = rates.device.efficiency
    own: dict[str, Mapping[AttentionFormat, Decode]] = {
        "full": reached.decode,
        "window": reached.window_decode,
        "latent": reached.latent_decode,
        "linear": reached.linear_decode,
    }
    curves = own[a.kind] if "bf16" in own[a.kind] else reached.decode
    name, precision = attention_format(rates.device, curves, rates.shape.kv_cache)
    return curves[name], precision
