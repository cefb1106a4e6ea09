import pytest

from tests.solvers.placements import group, question

MIXED = question(
    group(memory_bytes=9, layer_bytes=(1, 4), fixed_ns=5, layers_ns=((0, 10, 15), (0, 100))),
    runs=((1, 1), (0, 3), (1, 1)),
)


def test_layers_are_counted_by_kind():
    assert MIXED.layers == 5
    assert MIXED.counts(0, 3) == {1: 1, 0: 2}
    assert MIXED.counts(0, 5) == {1: 2, 0: 3}


def test_the_time_of_a_stage_is_that_of_each_kind_and_a_fixed_part():
    assert MIXED.stage_ns((0, 0, 3)) == 5 + 100 + 15


def test_a_stage_must_fit_in_memory():
    # 4 + 3 + 4 bytes of 9; and two layers of kind 0 and the head are 6.
    assert MIXED.stage_ns((0, 0, 5)) is None
    assert MIXED.stage_ns((0, 2, 5)) == 5 + 15 + 100


def test_a_stage_must_be_no_larger_than_was_measured():
    assert MIXED.stage_ns((0, 1, 4)) is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"runs": ()}, "runs need a kind and at least one layer each"),
        ({"runs": ((0, 0),)}, "runs need a kind and at least one layer each"),
        ({"hop_ns": ()}, "hop_ns needs 1 rows of as many entries"),
        ({"hop_ns": ((-1,),)}, "hop_ns must lie in 0..1125899906842624"),
        ({"stock": (-1,)}, "stock must lie in 0..1125899906842624"),
        ({"stages": 0}, "pipelines and stages must be at least 1"),
        ({"stock": ()}, "group 0: there is no pool 0"),
        ({"runs": ((1, 2),)}, "group 0: layer_bytes and layers_ns need 2 kinds of layers"),
    ],
)
def test_a_faulty_question_is_refused(changes, fault):
    with pytest.raises(ValueError, match=f"^{fault}$"):
        question(group(), **changes)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"devices": 0}, "group 0: it needs at least one device"),
        ({"layers_ns": ((1, 2),)}, "group 0: layers_ns must begin with 0, the time of no layers"),
        ({"power_mw": -1}, "group 0: bytes, times and power must lie in 0..1125899906842624"),
    ],
)
def test_a_faulty_group_is_refused(changes, fault):
    with pytest.raises(ValueError, match=f"^{fault}$"):
        question(group(**changes))
