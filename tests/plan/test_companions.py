import numpy as np
import pytest

from apex_opt.plan.companions import companions
from apex_opt.plan.features import FEATURES, Features
from apex_opt.plan.objective import Traffic
from apex_opt.plan.optimistic import Optimistic
from apex_opt.spec import catalog
from apex_opt.spec.engine import Engine
from apex_opt.spec.goals import Objective, Percentiles, Slo
from apex_opt.spec.spec import Spec

MS = 1e6
ZERO = (0.0,) * len(FEATURES)


def bounds(ttft_ms, decode_ms):
    return Optimistic((), ZERO, ZERO, np.array(ttft_ms) * MS, np.array(decode_ms) * MS)


def traffic(decode, samples=1):
    columns = np.zeros((len(FEATURES), len(decode)), dtype=np.int64)
    columns[2] = decode
    return Features(
        columns, (0,) * len(FEATURES), columns[:3], columns[2], columns[1], samples=samples
    )


def found(
    slo,
    floors,
    decode,
    objective=None,
    requests=None,
    samples=1,
    roles=None,
    left_ms=None,
    refused=None,
):
    spec = Spec.model_construct(
        model=catalog.model("llama-3.1-8b"),
        engine=Engine(name="tensorrt-llm" if refused is not None else "vllm"),
        slo=slo,
        objective=objective or Objective(minimize="cost"),
    )
    sent = len(decode) // samples if requests is None else requests
    roles = roles or ["mixed"] * len(floors)
    left_ns = None if left_ms is None else np.array(left_ms) * MS
    offered = Traffic(traffic(decode, samples), sent, 1.0, None, left_ns, refused)
    return companions(spec, offered, [bounds(*f) for f in floors], roles)


FAST, SLOW = [10.0] * 100, [10.0] * 98 + [500.0] * 2


def test_a_replica_that_meets_its_levels_serves_alone():
    slo = Slo(ttft_ms=Percentiles(p99=100.0))
    assert found(slo, [(FAST, FAST)], [10] * 100) == ([None], [None])


def test_a_percentile_that_is_missed_for_sure_needs_a_faster_companion():
    # Of 100 requests, p99 lies between the 99th and the 100th: two late ones are too many.
    slo = Slo(ttft_ms=Percentiles(p99=100.0))
    needs, why = found(slo, [(SLOW, FAST), (FAST, FAST)], [10] * 100)
    assert needs == [frozenset({1}), None]
    assert why == ["ttft_ms p99", None]


def test_one_late_request_may_still_interpolate_under_the_limit():
    slo = Slo(ttft_ms=Percentiles(p99=100.0))
    once = [10.0] * 99 + [500.0]
    assert found(slo, [(once, FAST)], [10] * 100)[0] == [None]


def test_nobody_helps_where_all_are_late_with_the_same():
    slo = Slo(ttft_ms=Percentiles(p50=5.0))
    needs, _ = found(slo, [(FAST, FAST), (FAST, FAST)], [10] * 100)
    assert needs == [frozenset(), frozenset()]


def test_a_mean_needs_a_companion_of_a_lower_mean():
    slo = Slo(e2e_ms=Percentiles(mean=15.0))
    needs, why = found(slo, [(FAST, FAST), (FAST, [1.0] * 100)], [10] * 100)
    assert needs == [frozenset({1}), None]
    assert why == ["e2e_ms mean", None]


def test_a_mean_is_helped_by_whoever_is_faster_with_some_requests():
    # Each alone has a mean of 105 ms; each request with its own expert, 10 ms.
    slo = Slo(e2e_ms=Percentiles(mean=15.0))
    one, other = [10.0] * 50 + [200.0] * 50, [200.0] * 50 + [10.0] * 50
    needs, _ = found(slo, [(one, [0.0] * 100), (other, [0.0] * 100)], [10] * 100)
    assert needs == [frozenset({1}), frozenset({0})]


def test_requests_of_one_token_have_no_time_per_token():
    slo = Slo(tpot_ms=Percentiles(p99=1.0))
    assert found(slo, [(FAST, [0.0] * 100)], [0] * 100)[0] == [None]


@pytest.mark.parametrize(("late", "expected"), [(1, None), (2, frozenset())])
def test_attainment_allows_its_share_of_late_requests(late, expected):
    slo = Slo(ttft_ms=100.0, attainment=0.99)
    floors = [10.0] * (100 - late) + [500.0] * late
    assert found(slo, [(floors, FAST)], [10] * 100)[0] == [expected]


@pytest.mark.parametrize(("requests", "expected"), [(101, None), (102, frozenset())])
def test_requests_that_nobody_takes_count_against_attainment(requests, expected):
    # 100 are served: of 101 that is 0.9901, of 102 it is 0.9804.
    needs, why = found(Slo(attainment=0.99), [(FAST, FAST)], [10] * 100, requests=requests)
    assert needs == [expected]
    longer = "completed (2 of 102 requests are longer than `model.max_context`)"
    assert why == [None if expected is None else longer]


def test_attainment_is_no_constraint_where_goodput_is_maximised():
    slo = Slo(ttft_ms=100.0, attainment=0.99)
    needs, _ = found(slo, [([500.0] * 100, FAST)], [10] * 100, Objective(maximize="goodput"))
    assert needs == [None]


def test_a_limit_on_the_largest_gap_is_missed_when_the_mean_gap_is_larger():
    slo = Slo(itl_ms=10.0, attainment=0.5)
    needs, why = found(slo, [(FAST, [1000.0] * 100)], [10] * 100)
    assert needs == [frozenset()]
    assert why == ["attainment"]


def test_of_two_samples_the_sooner_gives_the_first_token_and_the_later_the_end():
    # Each request has a sample of 10 ms and one of 500 ms.
    both = [10.0, 500.0] * 50
    none = [0.0] * 100
    ttft = found(Slo(ttft_ms=Percentiles(p99=100.0)), [(both, none)], [10] * 100, samples=2)
    assert ttft == ([None], [None])
    e2e = found(Slo(e2e_ms=Percentiles(p99=100.0)), [(both, none)], [10] * 100, samples=2)
    assert e2e == ([frozenset()], ["e2e_ms p99"])


def test_the_time_per_token_of_samples_is_at_least_the_least_of_theirs():
    # 10 tokens in 90 or 900 ms: 10 or 100 ms a token; the last pair has one token each.
    slow, decode = [90.0, 900.0] * 50, [9, 9] * 49 + [0, 0]
    tpot = found(Slo(tpot_ms=Percentiles(p99=50.0)), [(FAST, slow)], decode, samples=2)
    assert tpot == ([None], [None])
    tpot = found(Slo(tpot_ms=Percentiles(p99=5.0)), [(FAST, slow)], decode, samples=2)
    assert tpot == ([frozenset()], ["tpot_ms p99"])


def test_a_replica_that_prefills_is_helped_by_another_one_that_does():
    slo = Slo(ttft_ms=Percentiles(p99=100.0))
    floors = [(SLOW, FAST), (FAST, FAST), (FAST, FAST), (SLOW, FAST)]
    roles = ["prefill", "decode", "prefill", "mixed"]
    needs, _ = found(slo, floors, [10] * 100, roles=roles)
    assert needs == [frozenset({2}), None, None, frozenset()]


@pytest.mark.parametrize(("left_ms", "expected"), [(20.0, None), (19.9, frozenset({1}))])
def test_a_replica_that_is_not_done_with_the_last_request_in_time_needs_a_faster_one(
    left_ms, expected
):
    left = [1000.0] * 99 + [left_ms]
    floors = [(FAST, FAST), (FAST, [9.0] * 100)]
    needs, why = found(Slo(), floors, [10] * 100, left_ms=left)
    assert needs == [expected, None]
    assert why == [None if expected is None else "drain_s", None]


@pytest.mark.parametrize(
    ("slo", "missed"),
    [
        (Slo(ttft_ms=Percentiles(p99=100.0), attainment=0.5), None),
        (Slo(ttft_ms=Percentiles(mean=100.0), attainment=0.5), None),
        (Slo(attainment=0.5), None),
        (Slo(attainment=0.99), "completed"),
        (Slo(ttft_ms=600.0, attainment=0.98), None),
        (Slo(ttft_ms=600.0, attainment=0.99), "completed"),
    ],
)
def test_a_request_that_a_replica_rejects_counts_against_attainment_alone(slo, missed):
    # It takes no part in statistics, and is not waited for at the end.
    slow, left = [10.0] * 98 + [90_000.0] * 2, [1000.0] * 100
    refused = np.array([[False] * 98 + [True] * 2, [False] * 100])
    floors = [(slow, FAST), (FAST, FAST)]
    needs, why = found(slo, floors, [10] * 100, left_ms=left, refused=refused)
    assert needs == [None if missed is None else frozenset({1}), None]
    out = "completed (0 of 100 requests are longer than `model.max_context`, "
    out += "or their prompt than `max_num_batched_tokens`)"
    assert why == [missed and out, None]


def test_a_replica_that_rejects_what_another_one_is_late_with_helps_it():
    slo = Slo(ttft_ms=Percentiles(mean=15.0), attainment=0.5)
    refused = np.array([[False] * 100, [False] * 98 + [True] * 2])
    needs, _ = found(slo, [(SLOW, FAST), (FAST, FAST)], [10] * 100, refused=refused)
    assert needs == [frozenset({1}), None]


def test_who_rejects_a_request_may_stand_beside_whoever_takes_it_and_lowers_the_mean():
    # 100 ms at the one, 50 of the other: 75 together, though it is no faster with any request.
    slo = Slo(ttft_ms=Percentiles(mean=90.0), attainment=0.5)
    refused = np.array([[True, False], [False, False]])
    needs, _ = found(
        slo, [([50.0, 100.0], [0.0] * 2), ([50.0, 120.0], [0.0] * 2)], [1, 1], refused=refused
    )
    assert needs == [None, None]


@pytest.mark.parametrize(
    "slo",
    [
        Slo(ttft_ms=Percentiles(mean=50.0), attainment=0.1),
        Slo(ttft_ms=Percentiles(p50=50.0), attainment=0.1),
        Slo(attainment=0.1, drain_s=0.05),
    ],
)
def test_what_a_replica_that_decodes_rejects_is_not_held_against_who_prefills_it(slo):
    refused = np.array([[False] * 3, [False, True, True]])
    floors = [([10.0, 90.0, 90.0], [0.0] * 3)] * 2
    roles, left = ["prefill", "decode"], [50.0] * 3
    needs, _ = found(slo, floors, [1] * 3, roles=roles, left_ms=left, refused=refused)
    assert needs == [None, None]
