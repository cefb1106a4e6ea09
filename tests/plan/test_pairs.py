import pytest

from apex_opt.plan.pairs import fastest_pairs
from apex_opt.plan.problem import problem
from apex_opt.plan.seeds import seeds
from apex_opt.plan.solve import legal_candidates
from apex_opt.solvers.fleet_verify import faults
from apex_opt.trace.traffic import traffic
from tests.small_specs import TABLES, spec

APART = "tensor = [1, 2]\npipeline = 1\ndisaggregate = true"


def asked(**tables):
    one = spec(**{"parallelism": APART, "objective": 'minimize = "latency"'} | tables)
    offered = traffic(one.workload, one.search.seed, one.folder)
    return problem(one, offered.load, legal_candidates(one, offered))


def told(about, counts):
    return {about.candidates[r].replica.label: n for r, n in enumerate(counts) if n}


def test_the_fastest_pair_comes_first_and_takes_all_that_stock_allows():
    about = asked()
    first, *_ = fastest_pairs(about, 8)
    assert told(about, first) == {"h100 TP2 bf16 prefill": 1, "h100 TP2 bf16 decode": 1}


@pytest.mark.parametrize(
    ("prompts", "outputs", "most"), [(4000, 2, "prefill"), (10, 400, "decode")]
)
def test_a_pool_is_shared_as_the_work_asks(prompts, outputs, most):
    work = f'arrival = "poisson"\nrate_rps = 1.0\nrequests = 50\nprompt_tokens = {prompts}\n'
    about = asked(
        parallelism='tensor = 1\npipeline = 1\ndisaggregate = "only"',
        workload=work + f"output_tokens = {outputs}",
    )
    (counts,) = fastest_pairs(about, 8)
    numbers = {label.rsplit(" ", 1)[1]: n for label, n in told(about, counts).items()}
    assert numbers == {"prefill": 1, "decode": 1} | {most: 3}


@pytest.mark.parametrize(
    ("limits", "numbers"),
    [("prefill_devices = 1", (1, 3)), ("decode_devices = 1", (3, 1)), ("devices = 3", (2, 1))],
)
def test_a_role_takes_no_more_than_its_limit(limits, numbers):
    about = asked(
        parallelism='tensor = 1\npipeline = 1\ndisaggregate = "only"',
        workload='arrival = "poisson"\nrate_rps = 1.0\nrequests = 50\nprompt_tokens = 4000\n'
        "output_tokens = 2",
        limits=limits,
    )
    (counts,) = fastest_pairs(about, 8)
    assert tuple(told(about, counts).values()) == numbers


def test_pools_of_their_own_are_taken_whole():
    pools = TABLES["pools"] + '\n[[pools]]\nname = "l40s"\ndevice = "l40s"\nnodes = 1\n'
    about = asked(
        pools=pools + "devices_per_node = 3",
        parallelism='tensor = 1\npipeline = 1\ndisaggregate = "only"',
    )
    found = [told(about, counts) for counts in fastest_pairs(about, 8)]
    assert {"h100 TP1 bf16 prefill": 4, "l40s TP1 bf16 decode": 3} in found


def test_every_seed_of_either_kind_is_a_plan_that_the_limits_allow():
    about = asked(objective='maximize = "goodput"', limits="devices = 3\nreplicas = 2")
    found = seeds(about)
    roles = [{about.data.kinds[r].role for r, n in enumerate(c) if n} for c in found]
    assert {"mixed"} in roles
    assert {"prefill", "decode"} in roles
    assert all(faults(about.data, counts) == [] for counts in found)
