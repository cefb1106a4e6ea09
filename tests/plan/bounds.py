"""Bounds held against the simulation of every plan of a small space."""

from __future__ import annotations

from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of, tried
from apex_opt.solvers.fleet_verify import faults, value
from apex_opt.trace.traffic import traffic
from benchmarks.exhaustive import plans as every_plan


def worth(asked, counts):
    """Return the bound of a plan in the units of the fleet model, with all that is known of it."""
    return max(value(asked.data, counts), worth_as_dealt(asked, counts) if asked.known else 0)


def worth_as_dealt(asked, counts):
    """Return the bound of a plan by how requests are dealt alone."""
    fixed = sum(kind.fixed * n for kind, n in zip(asked.data.kinds, counts, strict=True))
    return fixed + asked.known(counts)


def assert_that_bounds_hold(asked_spec):
    """Simulate every plan: none that meets the spec is excluded, or better than its bound."""
    offered = traffic(asked_spec.workload, asked_spec.search.seed, asked_spec.folder)
    asked = problem(asked_spec, offered.load, legal_candidates(asked_spec, offered))
    for counts in every_plan(asked.data):
        one = tried(asked_spec, counts, play(asked_spec, offered.load, parts_of(asked, counts)))
        if one.missed is None:
            assert faults(asked.data, counts) == []
            bound = asked.in_units(float(worth(asked, counts)))
            slack = 1e-9 * abs(bound)
            if asked.goal.maximize:
                assert one.objective <= bound + slack
            else:
                assert one.objective >= bound - slack
