import pytest

from apex_opt.plan.problem import problem
from apex_opt.plan.sketch import OF_POOL, PLANS, fast, good, sketch, worth
from apex_opt.plan.solve import legal_candidates, solve
from apex_opt.solvers.fleet_verify import faults
from apex_opt.trace.traffic import traffic
from tests.small_specs import TWO_POOLS, spec


def asked(**tables):
    one = spec(**{"pools": TWO_POOLS} | tables)
    offered = traffic(one.workload, one.search.seed, one.folder)
    return problem(one, offered.load, legal_candidates(one, offered))


def test_a_sketch_is_made_of_few_plans_that_limits_and_bounds_allow(monkeypatch):
    monkeypatch.setattr("apex_opt.plan.sketch.MANY", 1)
    about = asked()
    plans = [*sketch(about)]
    assert 1 <= len(plans) <= 2 * PLANS
    assert all(faults(about.data, counts) == [] for counts in plans)


def test_each_pool_gives_its_best_kinds_and_its_fastest_that_are_nearly_as_good():
    about = asked()
    kinds = about.data.kinds
    for chosen in (good(about), fast(about)):
        assert [kinds[r].pool for r in chosen] == sorted(kinds[r].pool for r in chosen)
        assert {kinds[r].pool for r in chosen} == {0, 1}
        assert len(chosen) <= 2 * OF_POOL
    labels = {about.candidates[r].replica.label for r in fast(about)}
    assert "h100 TP2 bf16" in labels
    for pool in (0, 1):
        mine = [worth(k) for k in kinds if k.pool == pool and k.companions is None]
        assert min(worth(kinds[r]) for r in good(about) if kinds[r].pool == pool) == min(mine)


@pytest.mark.parametrize(
    "tables",
    [
        {},  # too few kinds
        {"search": "max_deployments = 1"},  # no solver is asked
        {"objective": 'minimize = "latency"'},  # replicas cost nothing
    ],
)
def test_small_models_are_asked_at_once(tables, monkeypatch):
    if tables:
        monkeypatch.setattr("apex_opt.plan.sketch.MANY", 1)
    assert [*sketch(asked(**tables))] == []


def test_the_answer_is_the_same_with_and_without_a_sketch(monkeypatch):
    plain = solve(spec(pools=TWO_POOLS))
    monkeypatch.setattr("apex_opt.plan.sketch.MANY", 1)
    sketched = solve(spec(pools=TWO_POOLS))
    assert plain.proof.status == sketched.proof.status == "optimal"
    assert sketched.proof.best == pytest.approx(plain.proof.best)
