import numpy as np

from apex_opt.plan.samples import folded
from apex_opt.plan.solve import solve
from apex_opt.sim import metrics
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.replica import play as play_one
from tests.sim.cases import table
from tests.small_specs import TABLES, spec


def column(*values):
    return np.array(values, np.int64)


RULES = EngineRules(max_seqs=1, max_batch_tokens=8, max_model_tokens=20, block_tokens=4, blocks=5)


def run(outputs):
    """Two requests of two samples each, one sequence at a time."""
    load = Load(column(0, 0, 50, 50), column(6, 6, 6, 6), column(*outputs))
    return load, play_one(load, RULES, table(0, 1, 8, 1, drafts=False))


def test_the_first_sample_begins_a_request_and_the_last_ends_it():
    load, log = run((3, 2, 5, 4))
    one, whole = folded(load, log, 2)
    assert one.prompt_tokens.tolist() == [6, 6]
    assert one.output_tokens.tolist() == [3, 5]
    assert whole.arrival_ns.tolist() == [0, 50]
    assert whole.first_ns.tolist() == [log.first_ns[0], log.first_ns[2]]
    assert whole.last_ns.tolist() == [log.last_ns[1], log.last_ns[3]]
    assert whole.gap_ns.tolist() == log.gap_ns.reshape(2, 2).max(axis=1).tolist()
    assert whole.totals is log.totals


def test_a_request_is_rejected_with_any_of_its_samples():
    load, log = run((3, 20, 5, 4))
    _, whole = folded(load, log, 2)
    assert whole.status.tolist() == [1, 0]
    assert len(metrics.ttft(whole)) == len(metrics.e2e(whole)) == 1


def test_a_request_of_one_token_a_sample_has_no_time_per_token_to_keep():
    load, log = run((1, 1, 5, 4))
    one, whole = folded(load, log, 2)
    assert whole.last_ns[0] > whole.first_ns[0]
    kept = metrics.met(whole, one.output_tokens, metrics.Limits(tpot_ns=0.0))
    assert kept.tolist() == [True, False]


def test_one_sample_is_the_request():
    load, log = run((3, 2, 5, 4))
    assert folded(load, log, 1) == (load, log)


def test_a_plan_for_samples_counts_requests_and_all_tokens():
    asked = spec(workload=TABLES["workload"] + "\nsamples = 4\nseed = 3", slo="attainment = 1.0")
    found = solve(asked).plans[0].prediction
    assert found.requests == found.completed == 200
    assert found.output_tokens_per_s * found.duration_s == 4 * 200 * 60
    # Three of four find their prompt in the cache, where the first one is done in time.
    assert found.hit_tokens_share > 0.2
