import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers import flow_anneal, flow_blocks, flow_bound, flow_improve, flow_rows
from apex_opt.solvers.flow import compile_all, solve
from apex_opt.solvers.flow_verify import faults, throughput
from tests.solvers.flows import apart, flow, flows, placements


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Few moves: these questions are small."""
    monkeypatch.setattr(flow_improve, "STEPS", 1_500)


def test_a_proved_answer_says_so():
    answer = solve(flow(machines=(0,) * 4), time_limit_s=60.0)
    assert answer.throughput == 10.0
    assert answer.bound == pytest.approx(10.0)
    assert answer.proved


def test_where_no_chain_holds_all_layers_nothing_flows():
    answer = solve(flow(layers=9, machines=(0, 0)), time_limit_s=1.0)
    assert (answer.throughput, answer.proved) == (0.0, True)


def test_blocks_are_generated_where_the_table_would_be_too_large(monkeypatch):
    monkeypatch.setattr(flow_rows, "TABLE_WORK", 0)
    assert solve(flow(machines=(0,) * 4), time_limit_s=5.0).throughput == 10.0


def compiled():
    """Return the functions of each module that are compiled, with the types they are made for."""
    modules = (flow_anneal, flow_blocks, flow_bound)
    return {
        (module.__name__, name): list(entry.signatures)
        for module in modules
        for name, entry in vars(module).items()
        if hasattr(entry, "signatures")
    }


def test_all_is_compiled_before_the_time_of_a_search_begins(monkeypatch):
    compile_all()
    before = compiled()
    solve(flow(machines=(0,) * 4, enter=(3.0,) * 4), time_limit_s=5.0)
    monkeypatch.setattr(flow_rows, "TABLE_WORK", 0)
    solve(flow(machines=(0,) * 4, enter=(3.0,) * 4), time_limit_s=5.0)
    assert compiled() == before


def test_types_without_machines_are_left_out(monkeypatch):
    monkeypatch.setattr(flow_rows, "TABLE_WORK", 0)
    rates = ((99.0, 99.0, 99.0, 99.0), (6.0, 5.0, 4.0))
    assert solve(flow(rates=rates, machines=(1,) * 4), time_limit_s=5.0).throughput == 10.0


def test_networks_that_are_not_in_series_and_parallel_are_found():
    # A bridge: types with one length each, and from 2 both to the end and to 3.
    rates = ((0, 2.0), (0, 0, 1.0), (1.0,), (0, 0, 1.0), (0, 2.0))
    rates = tuple(tuple(map(float, row)) for row in rates)
    data = flow(layers=5, rates=rates, machines=(0, 1, 2, 3, 4))
    assert solve(data, time_limit_s=5.0).throughput == 3.0


@settings(max_examples=15, deadline=None)
@given(flows())
def test_the_best_placement_is_found_and_bounded(data):
    answer = solve(data, time_limit_s=30.0)
    most = max(float(throughput(data, placement)) for placement in placements(data))
    assert faults(data, answer.placement) == []
    assert answer.throughput == float(throughput(data, answer.placement)) == most
    assert answer.bound >= most


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([(0, 0, 1), (0, 1, 2), (0, 0, 1, 1)]),
    st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0]),
    st.integers(2, 3),
    st.lists(st.sampled_from([2.0, 4.0, 6.0]), min_size=2, max_size=3),
)
def test_over_slow_links_between_sites_no_placement_is_better(where, link, layers, rates):
    data = apart(where, link, layers=layers, rates=(tuple(rates),))
    answer = solve(data, time_limit_s=30.0)
    most = max(float(throughput(data, placement)) for placement in placements(data))
    assert faults(data, answer.placement) == []
    assert answer.throughput == most <= answer.bound
