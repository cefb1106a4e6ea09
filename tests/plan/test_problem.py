import pytest

from apex_opt.plan.optimistic import optimistic
from apex_opt.plan.problem import problem, traffic_of
from apex_opt.plan.solve import legal_candidates
from apex_opt.trace.traffic import traffic
from tests.small_specs import TABLES, spec


def test_pools_that_no_step_tells_apart_are_bounded_once():
    dear = TABLES["pools"].replace('"h100"', '"dear"') + "\nprice_per_device_hour = 9"
    capped = TABLES["pools"].replace('"h100"', '"capped"') + "\npower_cap_w = 300"
    one = spec(
        pools="\n[[pools]]\n".join([TABLES["pools"], dear, capped]),
        parallelism="tensor = [1, 2]\npipeline = 1\ndisaggregate = true",
    )
    offered = traffic(one.workload, one.search.seed, one.folder)
    candidates = legal_candidates(one, offered)
    asked = []

    def counting(candidate, features):
        asked.append((candidate.shape.pool.name, candidate.shape.tensor, candidate.role))
        return optimistic(candidate, features)

    found = problem(one, offered.load, candidates, counting)
    roles = ("mixed", "prefill", "decode")
    expected = {(pool, n, role) for pool in ("h100", "capped") for n in (1, 2) for role in roles}
    assert len(asked) == len(set(asked))
    assert set(asked) == expected
    rows = {
        (c.shape.pool.name, c.shape.tensor, c.role): kind.work
        for c, kind in zip(candidates, found.data.kinds, strict=True)
    }
    for n in (1, 2):
        for role in roles:
            assert rows["h100", n, role] == rows["dear", n, role]
            assert rows["h100", n, "mixed"] != rows["capped", n, "mixed"]


THREE = "\nrequests = 3\nprompt_tokens = 500\noutput_tokens = 60"
EVEN = f'arrival = "constant"\nrate_rps = 10.0{THREE}'


@pytest.mark.parametrize(
    ("tables", "left_ms"),
    [
        ({"slo": "drain_s = 0.5"}, [700, 600, 500]),
        ({"slo": "drain_s = 1e12"}, None),  # longer than the simulator's clock
        ({"objective": 'maximize = "goodput"', "slo": "e2e_ms = 500"}, None),
        ({"workload": f'arrival = "closed"\nconcurrency = 3{THREE}'}, None),
    ],
)
def test_a_request_has_until_the_end_of_the_longest_stable_run(tables, left_ms):
    one = spec(**{"workload": EVEN} | tables)
    offered = traffic(one.workload, one.search.seed, one.folder)
    found = traffic_of(one, offered.load, legal_candidates(one, offered)).left_ns
    assert (found is None) == (left_ms is None)
    assert found is None or found.tolist() == [ms * 1_000_000 for ms in left_ms]
