"""The fleet model, solved again and again: plans are cut out, bounds close in.

What is solved stands in `fleet_rules`; this is how. A bound holds for every plan that has not been
cut, also when the time runs out. The same calls give the same answers, as long as no search is
stopped by the clock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from apex_opt.solvers.fleet_rules import LIMITS, STRUCTURE, build, own_value
from apex_opt.solvers.fleet_vars import Rule

SEED = 0
WORKERS = 4

COMMON: dict[str, float] = {
    "random_seed": SEED,
    "linearization_level": 2,
    "cp_model_presolve": False,
    "cp_model_probing_level": 0,
    "symmetry_level": 0,
}
"""The whole linear relaxation, no presolve: these models are nearly linear, and presolve costs more
than the search (65 kinds, 32 devices: 2.5 s to 0.05 s) or hides what the bound lives on (60 kinds,
512 devices: more than 4 s to 1.9 s). Nor can presolve call a model infeasible that is not, as it is
reported of OR-Tools 9.15 (google/or-tools issue 5274).
"""

QUICK: dict[str, float] = {
    "num_workers": 1,
    "use_objective_lb_search": True,
    "max_deterministic_time": 1.0,
}
"""One worker that raises the bound solves most models in hundredths of a second. It is stopped by
its own count of work (1.0 is 2 to 5 s), not by the clock: the same call gives the same answer.
A model on which it stalled once is not given to it again: cuts make it no easier.
"""

SECOND: dict[str, float] = {
    "num_workers": 1,
    "random_seed": SEED + 1,
    "linearization_level": 1,
    "cp_model_presolve": True,
    "max_deterministic_time": 0.1,
}
"""A second opinion on models without a plan, by another road: a plan that it finds refutes the
first one. Where it finds none within its work the first one stands.
"""

STRATEGIES = ("default_lp", "objective_lb_search", "reduced_costs", "quick_restart")
"""What takes turns after it: each alone stalls on some models, together they solved them all."""


@dataclass(frozen=True)
class Answer:
    """What a search found, in the units of the objective.

    Attributes:
        status: `optimal`: no plan is better than `counts`. `feasible`: stopped by the clock with a
            plan. `infeasible`: proved. `unknown`: neither plan nor proof.
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
        self._own = own_value(self._model, self._vars, self._goal)
        self._model.minimize(self._own)
        self._differs: dict[tuple[int, int], list[IntVar]] = {}
        self._hard = False

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
            time_limit_s: for the search.
            workers: threads, over which strategies take turns if one is not enough; the answer is
                the same each time.
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
        answer = Answer("unknown", None, None, None)
        if not self._hard:
            answer = self._search(model, time_limit_s, QUICK)
        left = time_limit_s - (time.monotonic() - start)
        if answer.status in ("feasible", "unknown") and left > 0:
            self._hard = True
            turns = {"num_workers": workers, "interleave_search": True}
            answer = self._better(answer, self._search(model, left, turns, STRATEGIES))
        left = time_limit_s - (time.monotonic() - start)
        if answer.status == "infeasible" and left > 0:
            second = self._search(model, left, SECOND)
            return answer if second.counts is None else second
        return answer

    def _better(self, first: Answer, second: Answer) -> Answer:
        """Return the second answer, or the better plan and the better bound of both."""
        if second.status in ("optimal", "infeasible"):
            return second
        sign = -1 if self.data.sense == "max" else 1
        bound = sign * max(sign * a.bound for a in (first, second) if a.bound is not None)
        plans = [a for a in (second, first) if a.objective is not None]
        best = min(plans, key=lambda a: sign * (a.objective or 0), default=second)
        return replace(best, bound=bound)

    def _search(
        self,
        model: CpModel,
        time_limit_s: float,
        parameters: Mapping[str, float],
        strategies: Sequence[str] = (),
    ) -> Answer:
        solver = CpSolver()
        solver.parameters.max_time_in_seconds = time_limit_s
        for name, value in {**COMMON, **parameters}.items():
            setattr(solver.parameters, name, value)
        solver.parameters.subsolvers.extend(strategies)
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
