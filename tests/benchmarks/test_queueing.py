import numpy as np
import pytest

from benchmarks.fidelity import queueing
from benchmarks.fidelity.case import parse
from benchmarks.fidelity.setup import prepare
from tests.benchmarks.test_fidelity import case, record, written


@pytest.fixture
def timed(tmp_path):
    """Return a case whose trace was made by the simulator itself, from known step times."""
    rows = [
        {"arrival_s": 0.05 * i, "prompt_tokens": 200 + 40 * (i % 7), "output_tokens": 20 + i % 9}
        for i in range(60)
    ]
    written(tmp_path, *rows, name="trace.jsonl")
    one = parse(record(workload={"arrival": "trace", "file": "trace.jsonl"}), tmp_path)
    run = prepare(one)
    log = queueing.play_linear(run.part, run.load, np.array([12.0, 40.0, 30.0, 60.0]))
    for row, arrival, first, last in zip(
        rows, log.arrival_ns, log.first_ns, log.last_ns, strict=True
    ):
        row["measured_ttft_ms"] = (first - arrival) / 1e6
        row["measured_e2e_ms"] = (last - arrival) / 1e6
    written(tmp_path, *rows, name="trace.jsonl")
    return one


def test_step_times_come_back_from_the_times_of_requests(timed):
    assert queueing.has_times(timed)
    found = queueing.line(timed)
    assert found["step_ms"] == pytest.approx(12.0, rel=0.2)
    assert abs(found["ttft_error"]) < 3
    assert abs(found["tpot_error"]) < 1
    assert abs(found["e2e_error"]) < 2


def test_runs_without_a_time_of_each_request_are_not_checked_for_queueing(tmp_path):
    written(tmp_path, {"arrival_s": 0, "prompt_tokens": 1, "output_tokens": 1}, name="t.jsonl")
    one = parse(record(workload={"arrival": "trace", "file": "t.jsonl"}), tmp_path)
    assert not queueing.has_times(one)
    assert not queueing.has_times(case())
