"""What random specs are drawn from, and what is held of each: the proved plan is the best."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from apex_opt.errors import InfeasibleError
from apex_opt.plan.objective import GOALS, goal
from apex_opt.plan.result import Result
from apex_opt.plan.solve import solve
from apex_opt.plan.tried import better
from apex_opt.solvers.fleet import FleetModel
from apex_opt.spec.spec import Spec
from benchmarks.exhaustive import LEVELS, LIMITS, OBJECTIVES, best_of_all


def uniform(low: int, high: int) -> str:
    """Return lengths of equal chance."""
    return f'{{ distribution = "uniform", low = {low}, high = {high} }}'


objectives = st.sampled_from(OBJECTIVES)
levels = st.sampled_from(LEVELS)
limits = st.sampled_from(LIMITS)
rates = st.sampled_from([5.0, 40.0, 150.0])
lengths = st.sampled_from(["40", uniform(1, 60)])


def aim(objective: str) -> str:
    """Return the table of an objective, by its name."""
    return f'{"maximize" if GOALS[objective].maximize else "minimize"} = "{objective}"'


def poisson(rate_rps: float, requests: int, prompt: str | int, output: str | int) -> str:
    """Return the table of a workload; lengths are numbers or tables."""
    return (
        f'arrival = "poisson"\nrate_rps = {rate_rps}\nrequests = {requests}\n'
        f"prompt_tokens = {prompt}\noutput_tokens = {output}"
    )


def assert_that_the_best_is_found(asked: Spec, *, cp_sat: bool = False) -> Result | None:
    """Hold `solve` against simulating every plan; return what it found.

    With `cp_sat` the solver answers for spaces that are small enough to be listed too.
    """
    best, plans = best_of_all(asked)
    with pytest.MonkeyPatch.context() as patch:
        if cp_sat:
            patch.setattr("apex_opt.plan.search.model_of", lambda data, _: FleetModel(data))
        if best is None:
            with pytest.raises(InfeasibleError):
                solve(asked)
            return None
        result = solve(asked)
    chosen = goal(asked.objective)
    assert (result.proof.status, result.proof.space) == ("optimal", plans)
    assert not better(chosen, best, result.plans[0].objective)
    assert not better(chosen, result.plans[0].objective, best)
    return result
