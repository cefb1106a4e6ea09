from apex_opt.plan.optimistic import optimistic
from apex_opt.plan.problem import problem
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
