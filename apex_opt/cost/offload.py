"""Weights in host memory: what a step reads of them over the host link.

A share of the layers' weights is read in every step; of the routed experts the share of those that
the step's tokens visit. Nothing is read ahead: the link's time adds to that of the kernels.

Sources: vLLM `--cpu-offload-gb` (weights are read in place over the link); MoE-Lens, arXiv
2504.09345, and ExpertFlow, arXiv 2410.17954 (experts are fetched when they are visited).
"""

from __future__ import annotations

import numpy as np

from apex_opt.cost.curves import Array
from apex_opt.cost.experts import touched
from apex_opt.cost.layers import storage
from apex_opt.cost.operators import Layer, layer
from apex_opt.cost.rates import Cost, Rates
from apex_opt.cost.shape import Shape
from apex_opt.cost.weights import dense_bytes
from apex_opt.spec.pools import Pool

REACHED = 0.8
"""Share of the link's data sheet that copies reach: a prior, PCIe protocol and page locking."""


def host_bytes_per_s(pool: Pool) -> float:
    """Return what a device reads from host memory.

    Raises:
        ValueError: the device's link is unknown; the planner asks for it first.
    """
    link = pool.device.host_link_gbytes_per_s
    if link is None:
        raise ValueError(f"no host link of {pool.device.name} is known")
    return link * 1e9 * REACHED


def host_block_ns(pool: Pool, page: int) -> int:
    """Return the time to fetch a KV block, of `page` bytes on each device, nanoseconds."""
    return int(np.ceil(page / host_bytes_per_s(pool) * 1e9))


def reading(shape: Shape, tokens: Array) -> list[Cost] | None:
    """Return for each stage the cost of reading weights from the host, one device, by tokens.

    None where no weights stay there.
    """
    chosen = shape.settings
    if not chosen.weight_offload and not chosen.expert_offload:
        return None
    kinds = {name: layer(kind, shape) for name, kind in shape.model.layers.items()}
    costs = []
    for stage, counts in enumerate(shape.stage_counts()):
        rates = Rates(shape.at(stage))
        rate = host_bytes_per_s(rates.shape.pool)
        size = sum(n * _read_bytes(rates, kinds[name], tokens) for name, n in counts.items())
        seconds = np.where(tokens > 0, size / rate, 0.0)
        costs.append(rates.communication(seconds))
    return costs


def _read_bytes(rates: Rates, one: Layer, tokens: Array) -> Array:
    """Return the bytes that a step of so many tokens reads from the host, of one layer."""
    chosen = rates.shape.settings
    size = np.full(len(tokens), chosen.weight_offload * dense_bytes(rates, one))
    if one.experts is not None:
        expert = one.experts.weights * storage(rates, "experts")[1] / 8
        visitors = (
            tokens * rates.shape.attention_data
        )  # the tokens of all ranks come to the experts
        size = size + chosen.expert_offload * expert * touched(one.experts, visitors)
    return size
