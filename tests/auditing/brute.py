"""Every plan of a small spec, simulated one by one, without judge, search or bounds."""

from __future__ import annotations

from apex_opt.auditing.guesses import every
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, routings, tried
from apex_opt.plan.tell import label
from apex_opt.trace.traffic import traffic


def labelled(spec):
    """Yield every plan that stock and limits allow, simulated, with its label."""
    offered = traffic(spec.workload, spec.search.seed, spec.folder)
    asked = problem(spec, offered.load, legal_candidates(spec, offered))
    for counts in every(asked.data):
        for parts in routings(spec, asked, counts):
            yield label(asked, counts), tried(spec, counts, play(spec, offered.load, parts))


def plans_of(spec):
    """Return every plan."""
    return [plan for _, plan in labelled(spec)]


def least(spec):
    """Return the least objective of all plans that meet the spec."""
    return min(plan.objective for plan in plans_of(spec) if plan.missed is None)
