"""Every engine, cache, session and guess from the spec to the plan, and its bounds."""

import dataclasses

import pytest

from apex_opt.plan.offered import earliest_ns, traffic_of
from apex_opt.plan.optimistic import value
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of, solve
from apex_opt.plan.tried import as_good
from apex_opt.trace.traffic import traffic
from tests.small_specs import TABLES, spec

FEW = "tensor = [1, 2]\npipeline = [1]"
PREFIX = "[workload.prefix]\ngroups = 3\ntokens = 400"
SESSIONS = "[workload.sessions]\nturns = 4\nthink_time_s = 1.5"
GUESSES = (
    '[engine.speculation]\nmethod = "draft_model"\nmodel = "llama-3.2-1b"\n'
    "tokens = 3\nacceptance = 0.75"
)
CASES = {
    "v0": {"engine": 'version = "0.6"'},
    "v0 in chunks": {"engine": 'version = "0.6"\nchunked_prefill = true'},
    "sglang": {"engine": 'name = "sglang"', "more": PREFIX},
    "sglang mixed": {
        "engine": 'name = "sglang"\nenable_mixed_chunk = true\nschedule_conservativeness = 0.3'
    },
    "tensorrt-llm": {"engine": 'name = "trtllm"', "more": PREFIX},
    "prefixes": {"more": PREFIX},
    "uncached": {"engine": "prefix_caching = false", "more": PREFIX},
    "repeated": {"workload": TABLES["workload"] + "\ndistinct_prompts = 7"},
    "sessions": {"more": SESSIONS},
    "host": {"engine": "kv_offload_gib_per_device = 4\nnum_gpu_blocks = 400", "more": PREFIX},
    "samples": {"workload": TABLES["workload"] + "\nsamples = 3"},
    "guesses": {"more": GUESSES},
    "windows": {"model": 'name = "gpt-oss-20b"', "quantization": 'weights = "mxfp4"'},
    "weights in host memory": {"engine": "weight_offload = 0.2"},
    "priorities": {
        "engine": 'scheduling_policy = "priority"',
        "workload": TABLES["workload"] + "\npriority_shares = [0.2, 0.8]",
    },
}


def small(case, **more):
    tables = {"parallelism": FEW, "slo": "ttft_ms = { p99 = 4000 }", **CASES[case], **more}
    return spec(**tables)


def offered(asked):
    return traffic(asked.workload, asked.search.seed, asked.folder)


@pytest.mark.parametrize("case", CASES)
def test_no_plan_is_better_than_its_bounds(case):
    asked = small(case)
    sent = offered(asked)
    asked_of = problem(asked, sent.load, legal_candidates(asked, sent))
    totals = asked_of.traffic.features.totals
    for r, bounds in enumerate(asked_of.bounds):
        counts = tuple(int(q == r) for q in range(len(asked_of.bounds)))
        found = play(asked, sent.load, parts_of(asked_of, counts)).prediction
        busy_s = found.busy * found.duration_s
        assert max(value(row, totals) for row in bounds.busy_ns) <= busy_s * 1e9 * (1 + 1e-9)
        rows = sent.load.concurrency or found.completed * asked.workload.samples
        assert value(bounds.e2e_ns, totals) / rows <= found.e2e_ms.mean * 1e6 * (1 + 1e-9)


@pytest.mark.parametrize("goal", ["cost", "energy", "latency"])
@pytest.mark.parametrize("case", CASES)
def test_the_best_plan_is_no_better_than_what_is_proved(case, goal):
    asked = small(case, objective=f'minimize = "{goal}"', search="time_limit_s = 20.0\ntop_k = 1")
    found = solve(asked)
    best = found.plans[0]
    assert all(check.met for check in best.checks)
    chosen = problem(asked, offered(asked).load, legal_candidates(asked, offered(asked))).goal
    assert as_good(chosen, found.proof.bound, best.objective)
    engine = best.deployments[0].replica.engine
    assert engine.name == asked.engine.name


def test_a_cache_of_prefixes_saves_what_is_shared():
    cached, whole = (solve(small(case)).plans[0].prediction for case in ("prefixes", "uncached"))
    # Prompts of 500 tokens begin with one of three beginnings of 400.
    assert cached.hit_tokens_share == pytest.approx(0.8, abs=0.02)
    assert whole.hit_tokens_share == 0
    assert cached.ttft_ms.mean < whole.ttft_ms.mean


def test_guesses_make_tokens_come_sooner():
    plain, guessed = (solve(small(case)).plans[0].prediction for case in ("uncached", "guesses"))
    assert guessed.tpot_ms.mean < 0.8 * plain.tpot_ms.mean


def test_turns_arrive_when_the_replies_before_them_have_ended():
    asked = small("sessions")
    sent = offered(asked)
    found = solve(asked).plans[0].prediction
    # Four turns, each 1.5 s and a reply after the one before.
    assert found.requests == 200
    last = float(sent.load.arrival_ns[sent.load.opens].max()) / 1e9
    assert found.duration_s > last + 3 * 1.5


def test_what_sessions_take_has_no_horizon_and_spans_the_pauses_at_least():
    asked = small("sessions")
    load = offered(asked).load
    seen = traffic_of(asked, load, legal_candidates(asked, offered(asked)))
    assert seen.horizon_s is None
    opens = load.arrival_ns[load.opens]
    assert seen.span_s == pytest.approx((opens[-1] - opens[0]) / 1e9 + 3 * 1.5)


def test_requests_arrive_no_sooner_than_their_sessions_allow():
    load = offered(small("sessions")).load
    earliest = earliest_ns(load)
    follows = load.after >= 0
    assert (earliest[~follows] == load.arrival_ns[~follows]).all()
    before = earliest[load.after[follows]]
    assert (earliest[follows] == before + load.think_ns[follows]).all()
    alone = dataclasses.replace(load, after=load.after[:0], think_ns=load.think_ns[:0])
    assert earliest_ns(alone) is load.arrival_ns
