from pathlib import Path

import pytest

from benchmarks.fidelity.case import parse
from benchmarks.fidelity.outcome import Outcome
from benchmarks.fidelity.pairs import Counted, counted, difference, table
from tests.shapes import shape

LOOP = {"arrival": "closed", "concurrency": 4, "prompt_tokens": 100, "output_tokens": 10}


def row(measured_ms, predicted_ms, plan, **changes):
    record = {
        "id": "x",
        "engine": {"name": "vllm"},
        "device": "h100-sxm-80gb",
        "model": "mixtral-8x7b",
        "parallel": {},
        "workload": LOOP,
        "measured": {"tpot_ms": {"mean": measured_ms}},
    } | changes
    case = parse(record, Path())
    return Outcome(case, {"tpot_ms": {"mean": predicted_ms}}, shape=plan)


SPLIT, WHOLE = (shape("mixtral-8x7b", tensor=4, expert=n) for n in (1, 4))
WIDER = shape("mixtral-8x7b", tensor=8)
RANKS = shape("mixtral-8x7b", tensor=2, attention_data=2, expert=4)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (SPLIT, SPLIT, None),
        (SPLIT, WHOLE, "whole or split experts"),
        (SPLIT, WIDER, "tensor degree"),
        (WHOLE, WIDER, None),
        (WHOLE, RANKS, "attention ranks"),
        (RANKS, WIDER, None),
        (WHOLE, shape("mixtral-8x7b", tensor=2, pipeline=2), None),
    ],
)
def test_a_pair_differs_in_one_degree_or_is_none(one, other, kind):
    assert difference(one, other) == difference(other, one) == kind


def test_pairs_are_counted_by_what_is_predicted_between_them():
    rows = [row(10.0, 10.0, SPLIT), row(11.0, 10.2, WHOLE), row(8.0, 10.5, WIDER)]
    found = counted(rows)
    assert found["whole or split experts"] == [Counted(1, 1)] + [Counted(0, 0)] * 5
    assert found["tensor degree"] == [Counted(0, 0), Counted(0, 1)] + [Counted(0, 0)] * 4


def test_other_workloads_and_equal_measurements_make_no_pair():
    longer = row(11.0, 10.2, WHOLE, workload=LOOP | {"output_tokens": 20})
    assert counted([row(10.0, 10.0, SPLIT), longer]) == {}
    assert counted([row(10.0, 10.0, SPLIT), row(10.0, 11.0, WHOLE)]) == {}
    assert list(table([longer])) == []


def test_the_table_tells_how_many_of_how_many():
    head, line = table([row(10.0, 10.0, SPLIT), row(11.0, 12.5, WHOLE)])
    assert " ".join(head.split()) == (
        "pairs ordered as measured in TPOT, predicted apart "
        "to 3 % to 6 % to 10 % to 20 % to 40 % more"
    )
    assert " ".join(line.split()) == (
        "whole or split experts 0 of 0 0 of 0 0 of 0 0 of 0 1 of 1 0 of 0"
    )
