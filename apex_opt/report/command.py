"""The command that starts a replica, every setting said: nothing is left to a default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from apex_opt.plan.result import Deployment
from apex_opt.report import command_sglang, command_trtllm, command_vllm
from apex_opt.report.command_words import HALVES, node_count, started_devices
from apex_opt.report.numbers import plural

Command = Callable[[Deployment, str], list[str]]

ENGINES: dict[str, Command] = {
    "vllm": command_vllm.lines,
    "sglang": command_sglang.lines,
    "tensorrt-llm": command_trtllm.lines,
}
"""The shell lines that start a replica, by engine."""

ONLINE = {"vllm": {"fp8"}, "sglang": {"fp8"}}
"""Weight formats into which an engine turns a 16-bit checkpoint itself."""


def serve_command(deployment: Deployment, model: str) -> str:
    """Return the shell lines that start one replica of a deployment.

    Args:
        deployment: a deployment of a plan.
        model: name on Hugging Face, or folder, of a checkpoint in the plan's weight format.
    """
    started = ENGINES[deployment.replica.engine.name](deployment, model)
    return "\n".join([*_remarks(deployment), *started])


def checkpoint(name: str, aliases: Sequence[str]) -> str:
    """Return a model's first name on Hugging Face, of the form `owner/name`, else its own."""
    return next((alias for alias in aliases if "/" in alias), name)


def _remarks(deployment: Deployment) -> Iterator[str]:
    """Yield what no flag says, as comments."""
    replica = deployment.replica
    engine = replica.engine
    if replica.weights not in HALVES and replica.weights not in ONLINE.get(engine.name, ()):
        yield f"# needs a checkpoint with {replica.weights} weights"
    if engine.scheduling_policy == "shortest":
        yield f"# {engine.name} has no flag for the shortest prompt first"
    if engine.expert_offload:
        yield f"# {engine.name} has no flag for {engine.expert_offload:.0%} of experts on the host"
    if replica.role != "mixed":
        yield "# behind a proxy that sends a prompt to prefill, then its request to decode"
    if replica.clock_mhz is not None and not replica.stages:
        yield f"nvidia-smi --lock-gpu-clocks={replica.clock_mhz:.0f}"
    if replica.stages:
        yield from _stages(deployment)
    elif node_count(deployment) > 1:
        yield "# on each of its nodes, with NODE_RANK 0, 1, ... and node 0 as MASTER_ADDR"


def _stages(deployment: Deployment) -> Iterator[str]:
    """Yield where each stage of a replica over several pools is started."""
    replica = deployment.replica
    if replica.engine.name == "tensorrt-llm":
        yield f"# MPI ranks in the order of stages, {replica.tensor} a stage:"
    else:
        each = plural(started_devices(deployment), "device")
        yield f"# on {each} at a time (CUDA_VISIBLE_DEVICES), in the order of stages,"
        yield "# with NODE_RANK 0, 1, ... and the first one as MASTER_ADDR:"
    first = 0
    for stage, alike in groupby(replica.stages):
        last = first + len(list(alike)) - 1
        numbers = f"stage {first}" if first == last else f"stages {first}-{last}"
        clock = f" at {stage.clock_mhz:.0f} MHz" if stage.clock_mhz is not None else ""
        yield f"#   {numbers}: {stage.pool}{clock}, {plural(stage.layers, 'layer')}"
        first = last + 1
