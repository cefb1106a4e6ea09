"""How to start a plan: a command a deployment, and how many times."""

from __future__ import annotations

from rich.text import Text

from apex_opt.plan.result import Deployment, Plan
from apex_opt.report.command import serve_command
from apex_opt.report.command_proxy import proxy_command
from apex_opt.report.layout import Section, Verbatim, section
from apex_opt.report.numbers import percent, plural


def start(plan: Plan, model: str) -> Section:
    """Return the command that starts each deployment; its lines are never wrapped."""
    parts: list[Text | Verbatim] = []
    for deployment in plan.deployments:
        parts += [Text("")] if parts else []
        times = Text(_times(deployment, alone=len(plan.deployments) == 1))
        parts += [times, Verbatim(serve_command(deployment, model))]
    if proxy := proxy_command(plan):
        parts += [Text(""), Text("Once, in front of them:"), Verbatim(proxy)]
    return section("How to start it", *parts)


def _times(deployment: Deployment, *, alone: bool) -> str:
    """Return how often a command is to be run, where, and what part of the traffic goes there."""
    served = {"mixed": "requests", "prefill": "prompts", "decode": "outputs"}
    replica, count = deployment.replica, deployment.count
    where = plural(replica.devices, "device" if replica.stages else f"{replica.pool} device")
    times = f"Once, on {where}" if count == 1 else f"{count:,} times, each on {where}"
    if alone:
        return f"{times}:"
    return f"{times}, for {percent(deployment.share)} of the {served[replica.role]}:"
