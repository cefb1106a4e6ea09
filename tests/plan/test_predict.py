import pytest

import apex_opt
from tests.small_specs import spec

LATE = 'arrival = "constant"\nrate_rps = 0.5\nrequests = 4\nprompt_tokens = 500\noutput_tokens = 60'
SHARED = (
    'arrival = "poisson"\nrate_rps = 20.0\nrequests = 200\nprompt_tokens = 500\n'
    "output_tokens = 60\nprefix = { groups = 2, tokens = 400 }"
)


def played(wish, router=None, **tables):
    choice = apex_opt.Choice(wish=wish, router=router)
    return apex_opt.play(spec(**tables), choice)


def test_a_run_lasts_from_the_first_arrival_to_the_last_token():
    work = LATE.replace("constant", "poisson")
    found = played(apex_opt.Wish(tensor=1, replicas=1), workload=work)
    log, shown = found.log.log, found.plan.prediction
    assert log.arrival_ns[0] > 0
    assert shown.duration_s == pytest.approx((log.last_ns.max() - log.arrival_ns[0]) / 1e9)
    assert shown.drain_s == pytest.approx((log.last_ns.max() - log.arrival_ns[-1]) / 1e9)
    assert shown.requests_per_s == pytest.approx(4 / shown.duration_s)


def test_what_the_prefix_cache_holds_is_a_share_of_the_prompt_tokens():
    one = apex_opt.Wish(tensor=1, replicas=1)
    on = played(one, workload=SHARED, engine="prefix_caching = true")
    # All but the first of each group find 400 of 500 tokens.
    assert on.plan.prediction.hit_tokens_share == pytest.approx(0.8 * 198 / 200)
    off = played(one, workload=SHARED, engine="prefix_caching = false")
    assert off.plan.prediction.hit_tokens_share == 0.0


def test_which_guesses_are_right_follows_the_seed():
    guessing = '[engine.speculation]\nmethod = "ngram"\ntokens = 3\nacceptance = 0.5'

    def ends(seed):
        asked = spec(workload=LATE, more=guessing)
        choice = apex_opt.Choice(wish=apex_opt.Wish(tensor=1, replicas=1))
        return apex_opt.play(asked, choice, seed=seed).log.log.last_ns.tolist()

    assert ends(1) == ends(1) != ends(2)
    assert ends(2**63 - 1) != ends(1)


def test_the_router_decides_how_often_a_prefix_is_computed():
    two = apex_opt.Wish(tensor=1, replicas=2)
    tables = {"workload": SHARED, "engine": "prefix_caching = true"}
    shares = {
        router: played(two, router, **tables).plan.prediction.hit_tokens_share
        for router in ("prefix_affinity", "round_robin")
    }
    assert shares["prefix_affinity"] > shares["round_robin"]


@pytest.mark.parametrize("router", ["random", "least_outstanding", "least_kv"])
def test_every_router_serves_all_requests_and_the_same_twice(router):
    two = apex_opt.Wish(tensor=1, replicas=2)
    first, again = (played(two, router).plan for _ in range(2))
    assert first.prediction.completed == 200
    assert first == again
    assert first.router == router


def test_a_search_plays_its_plans_with_the_router_of_the_spec():
    asked = spec(routing='router = "least_outstanding"', limits="devices = 2")
    found = apex_opt.solve(asked, top_k=1)
    assert found.plans[0].router == "least_outstanding"
    assert apex_opt.simulate(asked, found.plans[0]) == found.plans[0]


def test_ranks_of_a_replica_share_the_requests():
    tables = {
        "model": 'name = "mixtral-8x7b"',
        "pools": 'name = "h100"\ndevice = "h100-sxm-80gb"',
    }
    found = played(apex_opt.Wish(tensor=1, attention_data=8), **tables)
    assert found.plan.label == "1 x h100 TP1 DP8 EP8 bf16"
    assert set(found.log.replica.tolist()) == set(range(8))
    assert 0 < found.plan.prediction.busy <= 1
    assert found.plan.prediction.completed == 200


def test_a_cache_that_moves_delays_the_first_token_and_no_other():
    both = {"prefill": apex_opt.Wish(tensor=1), "decode": apex_opt.Wish(tensor=1)}
    pools = 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 2'
    fast, slow = (
        apex_opt.play(
            spec(workload=LATE, pools=pools, network=f"bandwidth_gbps = {gbps}"),
            apex_opt.Choice(**both),
        ).plan.prediction
        for gbps in (400, 4)
    )
    # 500 tokens of 131,072 bytes at 80 % of the bandwidth, over 0.4 GB/s and 40 GB/s.
    waited_ms = 500 * 131_072 * (1 / 0.4e9 - 1 / 40e9) * 1e3
    assert slow.ttft_ms.p50 - fast.ttft_ms.p50 == pytest.approx(waited_ms, rel=1e-3)
    assert slow.tpot_ms.p50 == pytest.approx(fast.tpot_ms.p50, rel=0.01)
