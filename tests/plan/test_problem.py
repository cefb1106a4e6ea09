import math

import pytest

from apex_opt.plan.optimistic import optimistic
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of
from apex_opt.solvers.fleet_verify import faults
from apex_opt.trace.traffic import traffic
from benchmarks.exhaustive import plans as every_plan
from tests.small_specs import TABLES, TWO_POOLS, spec


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


def load(rate, arrival="poisson"):
    lengths = "prompt_tokens = { distribution = 'lognormal', mean = 900, p99 = 4000 }"
    return f'arrival = "{arrival}"\nrate_rps = {rate}\nrequests = 60\n{lengths}\noutput_tokens = 40'


TABLES_OF = {
    "pipelines": {"parallelism": "tensor = [1, 2]\npipeline = [1, 2, 4]"},
    "roles": {"parallelism": "tensor = 1\npipeline = [1, 2]\ndisaggregate = true"},
    "pools": {"parallelism": "tensor = 1\npipeline = [1, 2]", "pools": TWO_POOLS},
    "chunks": {
        "parallelism": "tensor = 1\npipeline = 1",
        "engine": "max_num_batched_tokens = 512",
    },
}


def held_against_themselves(tables, rate):
    """Yield the problem, counts and watts of each plan under its own power and times as limits."""
    tables = {**tables, "workload": load(rate)}
    first = spec(**tables, limits="devices = 4")
    offered = traffic(first.workload, first.search.seed, first.folder)
    candidates = legal_candidates(first, offered)
    asked = problem(first, offered.load, candidates)
    for counts in every_plan(asked.data):
        played = play(first, offered.load, parts_of(asked, counts))
        shown, watts = played.prediction, math.nextafter(played.power.total_w, math.inf)
        late_ms = math.nextafter(shown.ttft_ms.p99, math.inf)
        levels = f"ttft_ms = {{ p99 = {late_ms!r} }}\ndrain_s = {shown.drain_s * 1.000001!r}"
        own = spec(**tables, limits=f"devices = 4\npower_w = {watts!r}", slo=levels)
        yield problem(own, offered.load, candidates), counts, watts


@pytest.mark.parametrize("rate", [1, 8, 60])
@pytest.mark.parametrize("name", TABLES_OF)
def test_no_plan_is_excluded_by_the_power_and_the_times_that_it_has(name, rate):
    for asked, counts, _ in held_against_themselves(TABLES_OF[name], rate):
        assert all(kind.drawn for kind in asked.data.kinds)
        assert faults(asked.data, counts) == []


def test_what_prompts_that_are_due_draw_on_average_comes_near_to_the_peak_under_load():
    near = []
    for asked, counts, watts in held_against_themselves(TABLES_OF["pipelines"], 60):
        ((kind, n),) = [(k, n) for k, n in zip(asked.data.kinds, counts, strict=True) if n]
        due = max(sum(one.work) - one.late for one in kind.drawn)
        near.append((n * kind.standing_mw + due) / (1000 * watts))
    assert 0.7 < max(near) < 1
