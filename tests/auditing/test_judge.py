import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.auditing.conflict import loosened
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.relax import alone
from apex_opt.auditing.story import known_entries
from apex_opt.errors import InfeasibleError
from apex_opt.plan.likely import alone as of_one_kind
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, routings, solve, tried
from apex_opt.solvers.fleet_verify import faults
from apex_opt.trace.traffic import traffic
from tests.auditing.brute import plans_of
from tests.auditing.gallery import load, make, pool, timeless


@settings(max_examples=12, deadline=None)
@given(
    rate=st.sampled_from([4, 60, 400]),
    limit=st.sampled_from([15, 40, 100, 400]),
    devices=st.sampled_from([1, 2]),
    statistic=st.sampled_from(["mean", "p50", "p99"]),
    disaggregate=st.booleans(),
)
def test_the_verdict_is_that_of_simulating_every_plan(
    rate, limit, devices, statistic, disaggregate
):
    spec = make(
        parallelism=f"max_stages = 2\ndisaggregate = {'true' if disaggregate else 'false'}",
        pools=pool(devices),
        workload=load(rate, 1000),
        slo=f"ttft_ms = {{ {statistic} = {limit} }}",
    )
    judge = timeless()
    meets = [plan for plan in plans_of(spec) if plan.missed is None]
    assert judge.ask(spec).status == ("feasible" if meets else "infeasible")


@settings(max_examples=6, deadline=None)
@given(rate=st.sampled_from([4, 60, 400]), statistic=st.sampled_from(["mean", "p50", "p99"]))
def test_the_least_level_is_the_best_of_simulating_every_plan(rate, statistic):
    spec = make(pools=pool(2), workload=load(rate, 1000), slo=f"ttft_ms = {{ {statistic} = 0.5 }}")
    judge = timeless()
    verdict = judge.ask(spec)
    entry = next(e for e in known_entries(spec, judge, verdict) if e.key.startswith("slo.ttft"))
    repair = alone(judge, spec, entry)
    best = min(
        getattr(plan.outcome.prediction.ttft_ms, statistic)
        for plan in plans_of(entry.loosened(spec))
        if plan.missed is None
    )
    assert best <= repair.moves[0].value <= 1.01 * best


def plans_of_one_kind(spec, most):
    """Simulate up to so many replicas of each kind alone, without the judge."""
    offered = traffic(spec.workload, spec.search.seed, spec.folder)
    asked = problem(spec, offered.load, legal_candidates(spec, offered))
    for r in range(len(asked.candidates)):
        for n in range(1, most + 1):
            counts = of_one_kind(asked, r, n)
            if not faults(asked.data, counts):
                (parts,) = routings(spec, asked, counts)
                yield tried(spec, counts, play(spec, offered.load, parts))


@pytest.mark.parametrize("nodes", [1, 16])
@pytest.mark.parametrize("limit_ms", [80, 300])
def test_the_least_power_is_that_of_a_plan_between_too_few_replicas_and_too_many(nodes, limit_ms):
    spec = make(
        pools=pool(8, nodes=nodes),
        workload=load(40, 1500),
        slo=f"ttft_ms = {{ p99 = {limit_ms} }}",
        limits="power_w = 250",
    )
    judge = timeless()
    verdict = judge.ask(spec)
    assert verdict.status == "infeasible"
    entry = next(e for e in known_entries(spec, judge, verdict) if e.key == "limits.power_w")
    repair = alone(judge, spec, entry)
    loose = entry.loosened(spec)
    best = min(
        plan.outcome.power.total_w for plan in plans_of_one_kind(loose, 40) if plan.missed is None
    )
    assert best <= repair.moves[0].value <= 1.01 * best


def test_a_spec_that_solve_proves_infeasible_is_infeasible_and_one_with_a_plan_is_not(judge):
    for slo, status in (("ttft_ms = { p99 = 1 }", "infeasible"), ("", "feasible")):
        spec = make(slo=slo)
        assert judge.ask(spec).status == status
        if status == "feasible":
            assert solve(spec).plans
        else:
            with pytest.raises(InfeasibleError):
                solve(spec)


def test_a_question_that_comes_too_late_stays_undecided():
    assert Judge(0.0, lambda _: None).ask(make()).status == "undecided"


def test_a_large_space_is_answered_by_guesses_and_bounds(judge):
    pools = pool(8, nodes=64)
    assert judge.ask(make(pools=pools)).feasible
    assert judge.ask(make(pools=pools, slo="ttft_ms = { p99 = 1 }")).stage == "bound"
    assert judge.simulated <= 3


def test_a_large_space_is_undecided_until_each_plan_within_the_bounds_was_simulated(judge):
    # The bound leaves out that requests wait for the step under way, as every simulation has it.
    pools = pool(8, nodes=64)
    tight = make(pools=pools, slo="ttft_ms = { p99 = 0.5 }")
    verdict = judge.ask(tight)
    entry = next(e for e in known_entries(tight, judge, verdict) if e.key.startswith("slo.ttft"))
    floor = min(bounds.ttft_ns.max() for bounds in verdict.asked.bounds) / 1e6
    between = entry.dial.put(tight, 1.001 * floor)
    assert judge.ask(between, 0).status == "undecided"
    assert judge.ask(between).status == "infeasible"
    assert judge.ask(between).stage == "simulation"


def test_guesses_have_a_replica_beside_those_that_may_be_lost(judge):
    tables = {"pools": pool(8, nodes=64, more="spare_replicas = 1"), "parallelism": "tensor = 8"}
    verdict = judge.ask(make(**tables, slo="ttft_ms = { p99 = 1 }"))
    floor = min(bounds.ttft_ns.max() for bounds in verdict.asked.bounds) / 1e6
    between = judge.ask(make(**tables, slo=f"ttft_ms = {{ p99 = {1.001 * floor} }}"), 0)
    assert between.status == "undecided"
    assert min(sum(plan.counts) for plan in between.missed) >= 2


def test_questions_that_differ_in_levels_only_share_their_simulations(judge):
    judge.ask(make(slo="ttft_ms = { p50 = 37.3 }"))
    once = judge.simulated
    judge.ask(make(slo="ttft_ms = { p50 = 37.31 }"))
    assert 0 < once == judge.simulated


def test_progress_counts_questions():
    heard = []
    judge = Judge(math.inf, heard.append)
    judge.ask(make())
    judge.ask(make())
    assert [event.done for event in heard if event.phase == "asking what would help"] == [1, 2]


def test_everything_loosened_makes_a_spec_feasible(judge):
    spec = make(slo="ttft_ms = { p99 = 1 }", limits="power_w = 10")
    verdict = judge.ask(spec)
    assert judge.ask(loosened(spec, known_entries(spec, judge, verdict))).feasible


def test_bounds_that_follow_from_a_level_are_not_those_of_another(judge):
    tight = make(slo="tpot_ms = { p99 = 5 }", workload=load(400, 1000))
    loose = make(slo="tpot_ms = { p99 = 500 }", workload=load(400, 1000))
    judge.ask(tight)
    fresh = timeless()
    mine, other = judge.ask(loose).asked, fresh.ask(loose).asked
    assert [b.busy_ns for b in mine.bounds] == [b.busy_ns for b in other.bounds]


def test_once_the_time_is_over_no_replica_is_laid_out_and_nothing_is_excluded():
    judge, spec = Judge(0.0, lambda _: None), make(slo="ttft_ms = { p99 = 1e-9 }")
    assert judge.ask(spec).found.legal == ()
    assert not judge.excludes(spec)


def test_a_plan_of_two_roles_is_none_where_limits_leave_one_of_them():
    apart = 'disaggregate = "only"\nmax_stages = 1\ntensor = [1, 2]'
    judge, spec = timeless(), make(pools=pool(3), parallelism=apart)
    asked = judge.problem(spec)
    sizes = [(one.role, one.shape.tensor) for one in asked.candidates]
    counts = tuple(int(size in {("prefill", 1), ("decode", 2)}) for size in sizes)
    plan = judge.play(spec, judge.traffic(spec), asked, counts)
    assert judge.again(spec, [plan]).feasible
    tight = make(pools=pool(3), parallelism=apart, limits="devices = 1")
    assert judge.again(tight, [plan]) is None
