import pytest

from tests.solvers.flows import flow


def test_a_machine_holds_no_more_layers_than_it_was_measured_with_or_the_model_has():
    assert flow().holds(0) == 3
    assert flow(layers=2).holds(0) == 2


def test_the_rate_of_a_machine_is_that_of_its_type_at_its_number_of_layers():
    assert flow(rates=((12.0,), (7.0, 6.0)), machines=(0, 1, 1)).rate(1, (2, 4)) == 6.0


def test_machines_are_counted_by_type():
    assert flow(rates=((1.0,), (1.0,)), machines=(1, 0, 1)).counts == (1, 2)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"layers": 0}, "layers must be at least 1"),
        ({"machines": (0, 0, 1)}, "machine types must lie in 0..0"),
        ({"rates": ((),)}, "every machine type must be able to hold a layer"),
        ({"enter": (1.0,)}, "enter, leave and links need 3 entries a row"),
        ({"leave": (1.0, 1.0, -1.0)}, "rates must be finite and must not be negative"),
        ({"rates": ((float("inf"),),)}, "rates must be finite and must not be negative"),
    ],
)
def test_a_faulty_question_is_refused(changes, fault):
    with pytest.raises(ValueError, match=f"^{fault}$"):
        flow(**changes)


def test_all_faults_are_told_at_once():
    with pytest.raises(ValueError, match=r"^layers must be at least 1\nenter, leave and links"):
        flow(layers=0, enter=(1.0,))
