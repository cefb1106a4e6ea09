from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apex_opt.errors import SpecError, TraceError
from apex_opt.spec.workload import Workload
from apex_opt.trace.traffic import traffic

LOGNORMAL = {"distribution": "lognormal", "mean": 1155.0, "p99": 4100.0}
TRACE = "arrived_at,num_prefill_tokens,num_decode_tokens\n1.0,10,1\n2.0,20,2\n4.5,30,3\n"


def workload(**changes: Any) -> Workload:
    poisson = {"rate_rps": 4.0, "prompt_tokens": LOGNORMAL, "output_tokens": 200}
    return Workload.model_validate({**poisson, **changes})


def closed() -> Workload:
    return Workload.model_validate(
        {"arrival": "closed", "concurrency": 8, "prompt_tokens": 100, "output_tokens": 10}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "day.csv").write_text(TRACE)
    return tmp_path


def of_trace(folder: Path, **changes: Any) -> Any:
    return traffic(Workload(arrival="trace", file="day.csv", **changes), 0, folder)


def test_two_thousand_requests_are_drawn_where_nothing_is_said() -> None:
    assert len(traffic(workload(), 0, Path()).load) == 2000


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (traffic(workload(), 7, Path()).load for _ in range(2))
    assert first.arrival_ns.tobytes() == second.arrival_ns.tobytes()
    assert first.prompt_tokens.tobytes() == second.prompt_tokens.tobytes()
    assert first.arrival_ns.tobytes() != traffic(workload(), 8, Path()).load.arrival_ns.tobytes()


def test_the_seed_of_the_workload_goes_before_that_of_the_search() -> None:
    own = traffic(workload(seed=7), 0, Path()).load
    assert (own.arrival_ns == traffic(workload(), 7, Path()).load.arrival_ns).all()


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"rate_rps": 5.0}, "arrival_ns"),
        ({"arrival": "gamma", "burstiness": 0.3}, "arrival_ns"),
        ({"prompt_tokens": {"distribution": "uniform", "low": 1, "high": 99}}, "prompt_tokens"),
        ({"output_tokens": LOGNORMAL}, "output_tokens"),
    ],
)
def test_to_change_one_stream_leaves_the_others(change: dict[str, Any], changed: str) -> None:
    before, after = traffic(workload(), 3, Path()).load, traffic(workload(**change), 3, Path()).load
    for column in ("arrival_ns", "prompt_tokens", "output_tokens"):
        same = (getattr(before, column) == getattr(after, column)).all()
        assert same == (column != changed), column


def test_fewer_requests_are_the_first_of_more() -> None:
    few, many = (traffic(workload(requests=n), 3, Path()).load for n in (100, 300))
    assert (few.arrival_ns == many.arrival_ns[:100]).all()
    assert (few.prompt_tokens == many.prompt_tokens[:100]).all()


def test_constant_traffic_describes_itself_and_its_rate() -> None:
    drawn = traffic(workload(arrival="constant", prompt_tokens=1200, requests=601), 0, Path())
    assert drawn.rate_rps == 4.0
    assert drawn.description == (
        "601 requests over 2.5 min (4/s), prompts 1,200 mean / 1,200 p99, outputs 200 / 200"
    )


def phased(*phases: dict[str, float], **changes: Any) -> Workload:
    return workload(arrival="piecewise", rate_rps=None, phases=phases, **changes)


def test_phases_with_an_end_have_all_that_arrive_before_it() -> None:
    drawn = traffic(phased({"until_s": 50.0, "rate_rps": 20.0}), 0, Path())
    assert abs(len(drawn.load) - 1000) < 160  # five standard deviations
    assert drawn.load.arrival_ns[-1] < 50 * 10**9


def test_phases_without_an_end_have_two_thousand_requests_or_as_many_as_asked() -> None:
    assert len(traffic(phased({"rate_rps": 20.0}), 0, Path()).load) == 2000
    assert len(traffic(phased({"rate_rps": 20.0}, requests=7), 0, Path()).load) == 7


def test_phases_that_end_too_soon_are_told() -> None:
    why = r"workload: 500 requests are asked for, `phases` end after \d+"
    with pytest.raises(SpecError, match=f"^{why}$"):
        traffic(phased({"until_s": 1.0, "rate_rps": 20.0}, requests=500), 0, Path())


@pytest.mark.parametrize(
    "change",
    [
        {"prefix": {"groups": 3, "tokens": 1}},
        {"distinct_prompts": 10**6},
        {"priority_shares": (1.0, 2.0)},
        {"samples": 2},
    ],
)
def test_what_requests_share_leaves_their_arrivals_and_lengths(change: dict[str, Any]) -> None:
    before, after = (traffic(workload(**w), 3, Path()).load for w in ({}, change))
    each = len(after) // len(before)
    assert before.arrival_ns.tolist() == after.arrival_ns[::each].tolist()
    assert before.output_tokens.tolist() == after.output_tokens[::each].tolist()
    assert (
        np.maximum(before.prompt_tokens, 2).tolist()
        == np.maximum(after.prompt_tokens[::each], 2).tolist()
    )


def test_a_closed_loop_has_clients_and_no_rate() -> None:
    drawn = traffic(closed(), 0, Path())
    assert drawn.load.concurrency == 8
    assert drawn.rate_rps is None
    assert drawn.description == (
        "2,000 requests from 8 clients in a closed loop, "
        "prompts 100 mean / 100 p99, outputs 10 / 10"
    )


def test_a_trace_is_played_whole(folder: Path) -> None:
    played = of_trace(folder)
    assert played.load.arrival_ns.tolist() == [0, 1_000_000_000, 3_500_000_000]
    assert played.load.prompt_tokens.tolist() == [10, 20, 30]
    assert played.load.output_tokens.tolist() == [1, 2, 3]
    assert played.rate_rps == pytest.approx(2 / 3.5)
    assert played.description == (
        "3 requests over 3.5 s (0.571/s), prompts 20 mean / 30 p99, outputs 2 / 3, from day.csv"
    )


def test_requests_cut_a_trace(folder: Path) -> None:
    assert of_trace(folder, requests=2).load.prompt_tokens.tolist() == [10, 20]


def test_a_single_request_arrives_at_once(folder: Path) -> None:
    alone = of_trace(folder, requests=1)
    assert alone.rate_rps is None
    assert alone.description.startswith("1 request at once, prompts 10 mean")


def test_the_time_of_a_trace_can_be_stretched(folder: Path) -> None:
    assert of_trace(folder, time_scale=0.5).load.arrival_ns.tolist() == [0, 5 * 10**8, 175 * 10**7]


def test_what_of_a_trace_was_repaired_is_said(folder: Path) -> None:
    (folder / "day.csv").write_text(TRACE + "5.0,1,0\n")
    played = of_trace(folder, repair=("drop_failed",), requests=1)
    assert played.description == (
        "1 request at once, prompts 10 mean / 10 p99, outputs 1 / 1, from day.csv; "
        "requests that failed, with no output, are left out: 1"
    )


def test_a_trace_that_is_shorter_than_asked_is_refused(folder: Path) -> None:
    why = "workload: day.csv: 4 requests are asked for, there are 3"
    with pytest.raises(SpecError, match=f"^{re.escape(why)}$"):
        of_trace(folder, requests=4)


def test_a_trace_stretched_over_ten_years_is_refused(folder: Path) -> None:
    why = "workload: day.csv: stretched 1e+18 times, the trace goes on for more than ten years"
    with pytest.raises(SpecError, match=f"^{re.escape(why)}$"):
        of_trace(folder, time_scale=1e18)


def test_drawn_traffic_over_ten_years_is_refused() -> None:
    why = "workload: 2,000 requests at 1e-09 a second take more than ten years"
    with pytest.raises(SpecError, match=f"^{re.escape(why)}$"):
        traffic(workload(arrival="constant", rate_rps=1e-9), 0, Path())


def test_the_format_can_be_named(folder: Path) -> None:
    assert len(of_trace(folder, format="vidur").load) == 3
    with pytest.raises(TraceError, match=r"day\.csv:1: not of the format azure, which has"):
        of_trace(folder, format="azure")


def test_columns_are_contiguous_int64(folder: Path) -> None:
    for load in (of_trace(folder, requests=2).load, traffic(workload(), 0, Path()).load):
        for column in (load.arrival_ns, load.prompt_tokens, load.output_tokens):
            assert column.dtype == np.int64
            assert column.flags.c_contiguous
