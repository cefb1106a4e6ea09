import pytest

from apex_opt.plan.predict import play_parts
from benchmarks.fidelity.coverage import coverage, factors, half_width
from benchmarks.fidelity.outcome import Outcome, outcomes
from benchmarks.fidelity.setup import prepare
from benchmarks.fidelity.table import details, summary, table
from tests.benchmarks.test_fidelity import case


def inside(measured_ms, low=0.8, high=1.25):
    one = case(measured={"ttft_ms": {"mean": measured_ms}})
    return Outcome(one, {"ttft_ms": {"mean": 100.0}}, band={"ttft_ms": (low, high)})


@pytest.mark.parametrize(
    ("measured_ms", "within"), [(79, False), (80, True), (125, True), (126, False)]
)
def test_a_run_is_inside_its_band_up_to_both_ends(measured_ms, within):
    assert inside(measured_ms).inside("ttft_ms") is within


def test_what_was_not_measured_or_not_predicted_is_neither_inside_nor_outside():
    assert inside(100).inside("tpot_ms") is None
    assert Outcome(case(), reason="no room").inside("ttft_ms") is None


def test_coverage_is_the_share_of_what_is_known():
    assert coverage([True, None, True, False, True]) == 0.75
    assert coverage([None]) is None


def test_nine_in_ten_errors_lie_within_the_half_width():
    # From 10 % too low to 9.09 % too high are the same factor of 1/0.9.
    errors = [100 * (0.9 - 1), 100 * (1 / 0.9 - 1)] * 5
    assert half_width([*errors, None]) == pytest.approx(1 / 0.9 - 1)
    assert half_width([*[0.0] * 10, 900.0]) == pytest.approx(0.0)
    assert half_width(errors[:9]) is None


def test_a_case_is_told_with_its_band_and_a_file_with_its_coverage():
    (row,) = outcomes([case()])
    low, high = row.band["tpot_ms"]
    assert low < 1 < high
    assert details(row)["band"]["tpot"] == pytest.approx(
        [row.predicted["tpot_ms"]["mean"] * end for end in (low, high)], abs=1e-3
    )
    assert summary("runs.jsonl", [row])["coverage_tpot"] == float(row.inside("tpot_ms"))
    lines = list(table("runs.jsonl", [row]))
    assert lines[4].startswith("within the stated band; nine in ten lie within  runs        TTFT")
    assert lines[6].startswith("  vllm 0.14 Llama-3.1-8B")


def test_a_band_is_that_of_a_simulated_plan():
    run = prepare(case())
    found = factors(run, play_parts(run.spec, run.load, [run.part]))
    # Another dense model of vLLM 0.15.1 on its device: the width of a model left out.
    width = run.part.candidate.shape.release.validation.dense.tpot
    assert found["tpot_ms"] == pytest.approx((1 / (1 + width), 1 + width), rel=0.02)
