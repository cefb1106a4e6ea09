import pytest

from apex_opt.plan.offered import traffic_of
from apex_opt.plan.solve import legal_candidates
from apex_opt.trace.traffic import traffic
from tests.small_specs import spec

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


@pytest.mark.parametrize(("output_tokens", "rejected"), [(1, set()), (60, {"decode"})])
def test_what_has_one_token_of_output_is_rejected_by_no_replica_that_decodes(
    output_tokens, rejected
):
    one = spec(
        engine='name = "tensorrt-llm"\nchunked_prefill = false\n'
        "max_num_batched_tokens = [300, 600]\nasync_scheduling = false",
        parallelism="tensor = 1\npipeline = 1\ndisaggregate = true",
        workload=EVEN.replace("60", f"{output_tokens}"),
    )
    offered = traffic(one.workload, one.search.seed, one.folder)
    candidates = legal_candidates(one, offered)
    refused = traffic_of(one, offered.load, candidates).refused
    who = {c.role for c, row in zip(candidates, refused, strict=True) if row.any()}
    assert who == {"mixed", "prefill"} | rejected
