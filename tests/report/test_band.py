from __future__ import annotations

import re

import pytest

from apex_opt.plan.result import Plan, Prediction, Result
from apex_opt.report.band import between, ends, inside
from apex_opt.report.console import as_text
from apex_opt.report.numbers import power
from tests.report.samples import band, checks, plan, prediction, result


def banded() -> Prediction:
    found = prediction()
    return found.model_copy(update={"band": band(found)})


def shown(found: Result | Plan) -> dict[str, list[str]]:
    """The sections of a report, by title, as lines without their indent."""
    whole = found if isinstance(found, Result) else result(plans=(found,))
    blocks = [block.splitlines() for block in as_text(whole).split("\n\n")]
    return {block[0]: [line[2:] for line in block[1:]] for block in blocks}


def test_latencies_stand_beside_both_ends_of_their_means() -> None:
    assert shown(plan(prediction=banded()))["Latency"] == [
        "ms       mean     p50     p90     p95      p99    mean, 9 in 10",
        "───────────────────────────────────────────────────────────────",
        "TTFT      120    96.0     180     240      480      96.0 to 180",
        "TPOT     9.00    7.20    13.5    18.0     36.0     7.20 to 13.5",
        "ITL      9.50    7.60    14.2    19.0     38.0     7.60 to 14.2",
        "E2E     3,000   2,400   4,500   6,000   12,000   2,400 to 4,500",
        "queue    0.25    0.20    0.38    0.50     1.00",
    ]


def test_rates_energy_and_power_stand_before_both_ends() -> None:
    lines = shown(plan(prediction=banded()))["Throughput and use"]
    assert lines[1:3] + lines[6:8] == [
        "throughput  4.00 requests/s (3.20 to 6.00), 4,620 prompt + 844 output tokens/s",
        "goodput     4.00 requests/s (3.20 to 6.00) meet their limits, 100 % of all requests",
        "energy      750 J a request (600 to 1,125), 3.55 J an output token",
        "power       3,000 W mean (2,400 W to 4,500 W), 5,234 W peak (4,187 W to 7,851 W)",
    ]


def test_what_the_ranges_rest_on_is_a_line_a_ground() -> None:
    assert shown(plan(prediction=banded()))["What the ranges rest on"] == [
        "on                                         9 in 10 within",
        "─────────────────────────────────────────────────────────",
        "TPOT of vllm 0.19, other models measured             16 %",
        "kernels of h100-sxm-80gb, measured                  9.0 %",
    ]


def test_without_a_band_nothing_is_said_of_one() -> None:
    assert ends(prediction(), "ttft_ms") is None
    assert between(None) == inside(None) == ""
    assert "What the ranges rest on" not in shown(plan())


def test_ends_are_told_in_the_words_of_their_figure() -> None:
    found = ends(banded(), "power_mean_w")
    assert inside(found, power) == " (2,400 W to 4,500 W)"
    assert between(ends(banded(), "tpot_ms")) == "7.20 to 13.5"


def test_a_level_within_the_error_of_the_prediction_is_marked() -> None:
    sure, unsure, *rest = checks()
    told = (
        sure.model_copy(update={"sure": True}),
        unsure.model_copy(update={"sure": False}),
        *rest,
    )
    lines = shown(plan(checks=told))["Service levels"]
    assert lines[2].endswith("76 % left     yes")
    assert lines[3].endswith("10 % left   yes *")
    assert lines[-1] == (
        "* within the error of the prediction: at one end of its range it is the other way"
    )


def test_levels_that_are_all_sure_need_no_mark() -> None:
    assert not any("*" in line for line in shown(plan())["Service levels"])


@pytest.mark.parametrize(
    ("sought", "unit", "objective", "row"),
    [
        # The objective is a rate over the span of arrivals, 1.25 times that of the whole run.
        ("maximize goodput", "requests/s", 5.0, ["5.00", "4.00 to 7.50"]),
        ("minimize latency", "ms", 3000.0, ["3,000", "2,400 to 4,500"]),
    ],
)
def test_a_predicted_objective_is_ranked_with_both_of_its_ends(
    sought: str, unit: str, objective: float, row: list[str]
) -> None:
    found = prediction(goodput_rps=4.0)
    first = plan(objective=objective, prediction=found.model_copy(update={"band": band(found)}))
    told = result(objective=sought, unit=unit, plans=(first, first.model_copy(update={"rank": 2})))
    head, _, line, *_ = shown(told)["The best plans of each kind"]
    assert re.split(r"  +", head)[1:4] == [unit, "9 in 10", "USD/h"]
    assert re.split(r"  +", line)[1:3] == row


def test_a_plan_that_ties_with_the_first_is_marked_and_told() -> None:
    first, second = result().plans
    found = shown(result(plans=(first, second.model_copy(update={"tie": True}))))
    assert " ".join(found["Why it won"]) == (
        "Minimize cost: $23.60 an hour. The best other plan, 1 x h100 TP8 fp8/kv-fp8, is 25 % "
        "worse: $29.50 an hour, which is within the error of the prediction: a tie."
    )
    assert found["The best plans of each kind"][3].startswith("2. 1 x h100 TP8 fp8/kv-fp8 *")
    assert found["The best plans of each kind"][-1] == (
        "* tied with the first within the error of the prediction"
    )
