"""What the commands of all engines have in common."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from apex_opt.plan.result import Deployment, Replica
from apex_opt.spec import catalog
from apex_opt.spec.catalog import UnknownNameError

GIB = 2**30
HALVES = {"bf16": "bfloat16", "fp16": "float16"}
"""What PyTorch calls 16-bit formats."""


def joined(words: Sequence[str]) -> str:
    """Return a command of one line a flag."""
    return " \\\n  ".join(words)


def node_count(deployment: Deployment) -> int:
    """Return the nodes of the replica that stands on most.

    Over several pools a node is what is started at one time (`started_devices`).
    """
    if deployment.replica.stages:
        return deployment.replica.devices // started_devices(deployment)
    return max((len({at.node for at in replica}) for replica in deployment.nodes), default=1)


def started_devices(deployment: Deployment) -> int:
    """Return the devices that are started at one time, of a replica over several pools.

    To an engine all nodes have the same number of devices, so what a stage has on one node, or the
    greatest part of it that all others are multiples of, stands for a node.

    Source: vLLM 0.33, vllm/config/parallel.py, `local_world_size`: the world over the nodes.
    """
    return gcd(*(at.devices for replica in deployment.nodes for at in replica))


def half(replica: Replica) -> str | None:
    """Return what computes where nothing is quantised; None where the plan does not say."""
    return HALVES.get(replica.weights) or HALVES.get(replica.kv_cache)


def hosted_gib(replica: Replica) -> float:
    """Return the weights of each device that stay in host memory, experts apart, GiB.

    Of the weights that the device holds a share s of all is missing: s / (1 - s) of what is there.
    """
    share = replica.engine.weight_offload
    return replica.memory.weights / GIB * share / (1 - share)


def published(name: str) -> str:
    """Return a catalogued model's first name on Hugging Face, else its own."""
    try:
        aliases = catalog.model(name).aliases
    except UnknownNameError:
        return name
    return next((alias for alias in aliases if "/" in alias), name)
