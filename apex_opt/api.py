"""The Python API, which is what the command line calls: `load`, `solve`, `simulate` and more.

import apex_opt
spec = apex_opt.load("spec.toml")
result = apex_opt.solve(spec)
print(result.proof.text, result.plans[0].prediction.ttft_ms.p99)
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from apex_opt.auditing import story as audit_story
from apex_opt.auditing.result import Audit
from apex_opt.errors import CallError, NotBuiltError
from apex_opt.plan import capacity as limit
from apex_opt.plan import pareto as trade
from apex_opt.plan import simulate as replay
from apex_opt.plan import solve as story
from apex_opt.plan.by_hand import Wish
from apex_opt.plan.capacity import Accuracy
from apex_opt.plan.capacity_result import Capacity
from apex_opt.plan.events import Listen
from apex_opt.plan.pareto_result import Front
from apex_opt.plan.result import Plan, Result
from apex_opt.plan.simulate import Choice, Simulation
from apex_opt.plan.solve import silent
from apex_opt.spec.goals import Search
from apex_opt.spec.loader import load, require_built
from apex_opt.spec.spec import Spec

__all__ = [
    "Accuracy",
    "Audit",
    "Capacity",
    "Choice",
    "Front",
    "Plan",
    "Result",
    "Simulation",
    "Spec",
    "Wish",
    "audit",
    "capacity",
    "load",
    "pareto",
    "play",
    "simulate",
    "solve",
]


def solve(
    spec: Spec,
    *,
    top_k: int | None = None,
    seed: int | None = None,
    time_limit_s: float | None = None,
    executor: str | None = None,
    listen: Listen = silent,
) -> Result:
    """Return the best plans of `spec`, proved and simulated.

    Args:
        spec: what to serve, on what, for whom.
        top_k: plans of different kind to return; None: as the spec says, like all that follow.
        seed: seed of the traffic.
        time_limit_s: seconds after which the best so far is returned with its gap.
        executor: where simulations run: `local`.
        listen: told of progress (`apex_opt.plan.events.Event`).

    Raises:
        NotBuiltError: the spec asks for what is not modelled yet.
        TraceError: its trace cannot be read.
        CallError: it lacks a figure that the search needs, or an argument is impossible.
        InfeasibleError: no plan meets it, and that is proved.
        UndecidedError: neither a plan nor a proof was found in the time given.
    """
    changes = {"top_k": top_k, "seed": seed, "time_limit_s": time_limit_s, "executor": executor}
    return story.solve(_changed(spec, changes), listen)


def audit(
    spec: Spec,
    *,
    seed: int | None = None,
    time_limit_s: float | None = None,
    listen: Listen = silent,
) -> Audit:
    """Return why `spec` cannot be met and what would help, or what binds it and what that costs.

    Args:
        spec: what to serve, on what, for whom.
        seed: seed of the traffic; None: as the spec says, like all that follow.
        time_limit_s: seconds after which questions stay open.
        listen: told of progress.

    Raises:
        NotBuiltError, TraceError, CallError: as in `solve`. That the spec is infeasible or
            undecided is no error here, but what `Audit.status` says.
    """
    return audit_story.audit(_changed(spec, {"seed": seed, "time_limit_s": time_limit_s}), listen)


def simulate(
    spec: Spec,
    plan: Plan | None = None,
    *,
    wish: Wish | None = None,
    seed: int | None = None,
    listen: Listen = silent,
) -> Plan:
    """Return what the traffic of `spec` meets on a plan of your choice.

    Args:
        spec: its traffic, pools and service levels are read.
        plan: a plan that `solve` returned or `apex_opt.read_plan` read.
        wish: without a plan: degrees, formats and replicas.
        seed: seed of the traffic; None: as the spec says.
        listen: told of progress.

    Raises:
        NotBuiltError, TraceError: as in `solve`.
        CallError: an engine cannot start the plan, the spec lacks its pools, or the seed is none.
    """
    choice = Choice(plan=plan, wish=wish)
    return play(spec, choice, seed=seed, listen=listen).plan


def play(
    spec: Spec,
    choice: Choice,
    *,
    rows: int = 0,
    seed: int | None = None,
    listen: Listen = silent,
) -> Simulation:
    """Return what the traffic of `spec` meets on any kind of plan, request by request.

    Args:
        spec: its traffic, pools and service levels are read.
        choice: a plan, a wish, or wishes for prefill and decode; and the router.
        rows: most rows of the plan's time line; 0: none.
        seed: seed of the traffic; None: as the spec says.
        listen: told of progress.

    Raises:
        NotBuiltError, TraceError, CallError: as in `simulate`.
    """
    return replay.simulate(_changed(spec, {"seed": seed}), choice, rows, listen)


def capacity(
    spec: Spec,
    choice: Choice | None = None,
    *,
    accuracy: Accuracy | None = None,
    seed: int | None = None,
    listen: Listen = silent,
) -> Capacity:
    """Return the highest rate, or number of clients, at which a plan keeps the service levels.

    Args:
        spec: its traffic, in the same proportions, its pools and service levels are read.
        choice: the plan; None: the spec's first choice of replicas, as many as its pool holds.
        accuracy: tolerance, and how many seeds.
        seed: the first seed of the traffic; None: as the spec says.
        listen: told of progress.

    Raises:
        NotBuiltError, TraceError: as in `solve`.
        CallError: as in `simulate`; or the spec has no service level, or no rate that breaks it.
    """
    changed = _changed(spec, {"seed": seed})
    return limit.capacity(changed, choice or Choice(), accuracy or Accuracy(), listen)


def pareto(
    spec: Spec,
    x: str = "cost",
    y: str = "goodput",
    *,
    points: int = trade.POINTS,
    seed: int | None = None,
    time_limit_s: float | None = None,
    listen: Listen = silent,
) -> Front:
    """Return the plans of `spec` of which none is better on both of two figures.

    Args:
        spec: what to serve, on what, for whom.
        x: one figure: cost, devices, energy, power, latency, goodput, throughput, or a statistic
            of a latency such as `ttft_p99`, `tpot_p90`, `e2e_mean`.
        y: the other figure.
        points: most points to return, from 2 to 100.
        seed: seed of the traffic; None: as the spec says, like what follows.
        time_limit_s: seconds after which points are returned as they are, proved or not.
        listen: told of progress.

    Raises:
        NotBuiltError, TraceError, InfeasibleError, UndecidedError: as in `solve`.
        CallError: as in `solve`, or there are no such axes.
    """
    changed = _changed(spec, {"seed": seed, "time_limit_s": time_limit_s})
    return trade.pareto(changed, x, y, points, listen)


def _changed(spec: Spec, changes: Mapping[str, object]) -> Spec:
    """Return the spec with some keys of [search] overridden, once it is known to be modelled."""
    given = {key: value for key, value in changes.items() if value is not None}
    executor = given.pop("executor", "local")
    if executor != "local":
        known = executor == "ray"
        told = "is not built yet" if known else "is none"
        raise NotBuiltError(f"executor `{executor}` {told}; write `local`")
    require_built(spec, spec.lines)
    try:
        search = Search.model_validate(spec.search.model_dump(exclude_unset=True) | given)
    except ValidationError as why:
        first = why.errors()[0]
        raise CallError(f"{first['loc'][0]}: {first['msg']}, got {first['input']!r}") from None
    changed = spec.model_copy(update={"search": search})
    if "seed" in given and spec.workload.seed is not None:
        changed = changed.model_copy(
            update={"workload": spec.workload.model_copy(update={"seed": given["seed"]})}
        )
    return changed.placed(spec.folder, spec.lines)
