"""What it takes to move the cache of a request from the replica that prefills to one that decodes.

Every device of the target takes in what it will hold, all at once; the devices of the source share
the sending. So a token takes the longer of

    bytes of a token on the fullest device of the target / bytes/s that a device takes in
    bytes of a token on all devices of the target / devices of the source / bytes/s that one sends

and the cache begins to move after the link's latency. Heads that the target keeps more than once
are sent more than once (vLLM's NIXL connector: each worker of the target reads for itself).
"""

from __future__ import annotations

from dataclasses import dataclass

from apex_opt.cost.collectives import network_bytes_per_s, sent_inside
from apex_opt.cost.memory import kv_token_bytes
from apex_opt.cost.operators import layer
from apex_opt.cost.shape import Shape


@dataclass(frozen=True)
class Transfer:
    """Seconds of moving a cache: before the first token, and for each."""

    begin_s: float
    token_s: float


def transfer(source: Shape, target: Shape, *, same_node: bool) -> Transfer:
    """Return what it takes to move a cache.

    Args:
        source: a replica that prefills.
        target: a replica that decodes, with the same KV-cache format.
        same_node: both stand in one node: caches take its link, not the network.
    """
    stages = range(target.pipeline)
    if same_node:
        out, latency_s = sent_inside(target)
        into = [out for _ in stages]
    else:
        out = min(network_bytes_per_s(source.at(stage)) for stage in range(source.pipeline))
        into = [network_bytes_per_s(target.at(stage)) for stage in stages]
        latency_s = target.network.latency_us * 1e-6
    kinds = {name: layer(kind, target) for name, kind in target.model.layers.items()}
    counts = target.stage_counts()
    tokens = [kv_token_bytes(c, kinds) for c in counts]
    states = [sum(n * kinds[k].attention.state_bytes for k, n in c.items()) for c in counts]

    def seconds(held: list[float]) -> float:
        sent = sum(held) * target.tensor / (source.tensor * source.pipeline)
        taken = max(size / rate for size, rate in zip(held, into, strict=True))
        return max(taken, sent / out)

    return Transfer(latency_s + seconds([float(s) for s in states]), seconds(tokens))
