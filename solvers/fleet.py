"""The fleet model, solved again and again: plans are cut out, bounds close in.

What is solved stands in `fleet_rules`; this is how. A bound holds for every plan that has not been
cut, also when the time runs out. The same calls give the same answers, as long as no search is
stopped by the clock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ortools.sat.python.cp_model import (
    FEASIBLE,
    INFEASIBLE,
    OPTIMAL,
    CpModel,
    CpSolver,
    IntVar,
)

from apex_opt.solvers.fleet_data import FleetData
from apex_opt.solvers.fleet_objective import objective
from apex_opt.solvers.fleet_rules import LIMITS, STRUCTURE, Rule, build, own_value

SEED = 0
WORKERS = 8

QUICK: dict[str, int] = {
    "num_workers": 1,
    "linearization_level": 1,
    "cp_model_probing_level": 0,
    "symmetry_level": 0,
    "max_presolve_iterations": 1,
}
"""One worker, presolved once: these models are nearly linear, and presolve to the end takes 50 times
longer than the search (65 kinds, 32 devices: 0.03 s, not 2.5 s).
"""

QUICK_WORK = 10.0
"""Deterministic time, about seconds, after which all workers take over."""


@dataclass(frozen=True)
class Answer:
    """What a search found, in the units of the objective.

    Attributes:
        status: `optimal`: no plan is better than `counts`. `feasible`: stopped by the clock with a
            plan. `infeasible`: proved, twice. `unknown`: neither plan nor proof.
        counts: replicas of each kind; None without a plan.
        objective: of the plan, on the optimistic side: at most its real value for `min`, at least
            for `max`.
        bound: no plan that is left in the model, and within the window asked for, is below it for
            `min`, above it for `max`; None if infeasible.
    """

    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    counts: tuple[int, ...] | None
    objective: int | None
    bound: int | None


class FleetModel:
    """The model of one `FleetData`, from which plans can be cut.

    Args:
        data: the question.
        rules: the rules that hold; fewer of `LIMITS` to see what a limit costs.

    Raises:
        ValueError: sizes of groups that do not divide each other fill a node in too many ways.
    """

    def __init__(self, data: FleetData, rules: tuple[Rule, ...] = STRUCTURE + LIMITS) -> None:
        self.data = data
        self._goal = objective(data)
        self._model, self._vars = build(data, rules)
        self._own = own_value(data, self._vars, self._goal)
        self._model.minimize(self._own)
        self._differs: dict[tuple[int, int], list[IntVar]] = {}

    def cut(self, counts: Sequence[int]) -> None:
        """Exclude the plan with exactly these counts, whatever its split."""
        away = [literal for r, count in enumerate(counts) for literal in self._other(r, count)]
        self._model.add_bool_or(away)

    def _other(self, r: int, count: int) -> list[IntVar]:
        """Return literals of which one may be true only if n[r] != count."""
        if (r, count) not in self._differs:
            n, top = self._vars.n[r], self.data.kinds[r].max_count
            literals = []
            for name, low, high in (("below", 0, count - 1), ("above", count + 1, top)):
                if low <= high:
                    literal = self._model.new_bool_var(f"n[{r}] {name} {count}")
                    self._model.add_linear_constraint(n, low, high).only_enforce_if(literal)
                    literals.append(literal)
            self._differs[r, count] = literals
        return self._differs[r, count]

    def cap(self, kinds: frozenset[int], value: int) -> None:
        """Exclude each plan that uses exactly `kinds`, unless its bound is better than `value`."""
        exactly = [used if r in kinds else used.negated() for r, used in enumerate(self._vars.used)]
        best = self._goal.better(value)
        self._model.add(self._own <= best).only_enforce_if(exactly)

    def solve(
        self,
        *,
        at_least: int | None = None,
        at_most: int | None = None,
        hint: Sequence[int] | None = None,
        time_limit_s: float = 60.0,
        workers: int = WORKERS,
    ) -> Answer:
        """Return the best plan that is left, among those whose objective lies in the window.

        Args:
            at_least: no plan below it, in the units of the objective; some that fall short of it by
                a few millionths may be found.
            at_most: no plan above it, likewise.
            hint: counts to start from.
            time_limit_s: for the search; a proof of infeasibility is repeated once in addition.
            workers: threads. More than one search in turns, so that the answer is still the same
                each time; measured on two cores, one is faster.
        """
        low, high = self._goal.window(at_least, at_most)
        if low > high:
            return Answer("infeasible", None, None, None)
        model = self._model.clone()
        if at_least is not None or at_most is not None:
            model.add_linear_constraint(self._own, low, high)
        for n, count in zip(self._vars.n, hint or (), strict=False):
            model.add_hint(n, count)
        start = time.monotonic()
        answer = self._search(model, time_limit_s, {**QUICK, "max_deterministic_time": QUICK_WORK})
        left = time_limit_s - (time.monotonic() - start)
        if answer.status in ("feasible", "unknown") and left > 0:
            answer = self._search(model, left, {"num_workers": workers, "interleave_search": True})
        if answer.status == "infeasible":
            # OR-Tools 9.15 is reported to call a feasible model infeasible after presolve.
            answer = self._search(model, time_limit_s, {**QUICK, "cp_model_presolve": False})
        return answer

    def _search(
        self, model: CpModel, time_limit_s: float, parameters: Mapping[str, float]
    ) -> Answer:
        solver = CpSolver()
        solver.parameters.random_seed = SEED
        solver.parameters.max_time_in_seconds = time_limit_s
        for name, value in parameters.items():
            setattr(solver.parameters, name, value)
        status = solver.solve(model)
        if status == INFEASIBLE:
            return Answer("infeasible", None, None, None)
        # The whole-number bound: the one in floating point may have been rounded to the wrong side.
        bound = self._goal.to_units(max(0, solver.response_proto.inner_objective_lower_bound))
        if status not in (OPTIMAL, FEASIBLE):
            return Answer("unknown", None, None, bound)
        counts = tuple(solver.value(n) for n in self._vars.n)
        own = solver.value(self._own)
        found: Literal["optimal", "feasible"] = "optimal" if status == OPTIMAL else "feasible"
        return Answer(found, counts, self._goal.to_units(own), bound)
