from apex_opt.plan.problem import problem
from apex_opt.plan.seeds import seeds
from apex_opt.plan.solve import legal_candidates
from apex_opt.solvers.fleet_verify import faults
from apex_opt.trace.traffic import traffic
from tests.small_specs import spec


def asked(**tables):
    one = spec(**tables)
    offered = traffic(one.workload, one.search.seed, one.folder)
    return problem(one, offered.load, legal_candidates(one, offered))


def test_where_counts_enter_the_objective_the_model_proposes_alone():
    assert seeds(asked(objective='minimize = "cost"')) == []


def test_the_fastest_replica_comes_first_in_the_number_that_stock_allows():
    about = asked(objective='minimize = "latency"')
    first = seeds(about)[0]
    used = [r for r, n in enumerate(first) if n]
    shape = about.candidates[used[0]].shape
    assert (len(used), shape.tensor, first[used[0]]) == (1, 4, 1)


def test_every_seed_is_a_plan_that_the_limits_allow():
    about = asked(objective='maximize = "goodput"', limits="devices = 3\nreplicas = 2")
    found = seeds(about)
    assert found
    assert all(faults(about.data, counts) == [] for counts in found)
