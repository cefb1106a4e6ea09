import dataclasses

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from apex_opt.plan.peak import peaks_above_idle, prompt_step_w, sharing
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.load import Load
from apex_opt.sim.member import Member
from apex_opt.sim.replica import EndlessRunError, rejects
from tests.auditing.gallery import make
from tests.plan.test_optimistic import ENGINES, RELEASES, SENT, SHAPES, UNLIKE, candidate, taken
from tests.sim.cases import loads


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SHAPES | UNLIKE)),
    engine=ENGINES,
    spare_blocks=st.sampled_from([0, 3, 40]),
    release=st.sampled_from(RELEASES),
    requests=SENT | loads(),
    replicas=st.integers(1, 4),
)
def test_no_replica_that_serves_draws_less_at_its_peak(
    name, engine, spare_blocks, release, requests, replicas
):
    one = candidate(name, engine, spare_blocks, release)
    requests, rules = taken(requests, one), one.rules_in_role
    assert not rejects(requests, rules).any()
    try:
        played = play_fleet(requests, [Member(rules, one.steps, replicas, 1)])
    except EndlessRunError:
        reject()  # two cohorts of a pipeline preempt each other for ever
    served = min(replicas, sharing(make(), requests))
    assert served * prompt_step_w(one) <= played.members[0].peak_w


def test_a_pipeline_and_a_group_have_a_bound_and_what_takes_time_of_its_own_has_none():
    engine = {"prefix_caching": False, "drafts": None, "kv_offload_bytes": 0}
    assert prompt_step_w(candidate("dense", engine, 9, ("vllm", "0.19"))) > 50
    assert prompt_step_w(candidate("groups", engine, 9, ("vllm", "0.19"))) > 100
    assert prompt_step_w(candidate("heard", {}, 9, ("vllm", "0.19"))) == 0
    assert prompt_step_w(candidate("dense", engine, 9, ("vllm", "0.19"), role="decode")) == 0


FOUR = Load(np.arange(4), np.full(4, 20), np.full(4, 20))


def above(load, most, **limits):
    """What four requests draw at least of up to `most` replicas, 100 W a step."""
    tables = {"limits": "\n".join(f"{key} = {value}" for key, value in limits.items())}
    one = candidate("dense", {"drafts": None, "kv_offload_bytes": 0}, 9, ("vllm", "0.19"))
    return peaks_above_idle(make(**tables), load, 1)(one, 100.0, most)


@pytest.mark.parametrize(("most", "share"), [(1, 1.0), (4, 1.0), (8, 0.5)])
def test_replicas_without_a_request_are_idle(most, share):
    assert above(FOUR, most, power_w=1_000_000) == 100.0 * share


def test_no_more_replicas_count_than_a_limit_allows_of_idle_ones():
    idle = candidate("dense", {"drafts": None}, 9, ("vllm", "0.19")).idle_w
    assert above(FOUR, 8, power_w=4 * idle) == 100.0


def test_limits_that_count_no_peaks_have_no_such_bound():
    assert above(FOUR, 1) == 0
    assert above(FOUR, 1, power_w=1000, power_by='"rated"') == 0
    assert above(FOUR, 1, power_w=1000, power_window_s=10) == 0


def test_requests_that_are_refused_start_no_step():
    long = Load(np.arange(2), np.array([20, 9999]), np.array([20, 20]))
    assert above(long, 1, power_w=1000) == 0


def test_who_gets_a_request_is_known_only_where_they_are_dealt_in_turn():
    five = Load(np.arange(5), np.full(5, 20), np.full(5, 20))
    assert sharing(make(), five) == 5
    assert sharing(make(), dataclasses.replace(five, concurrency=3)) == 3
    assert sharing(make(routing='router = "least_outstanding"'), five) == 0
