import random

import pytest

from apex_opt.spec.loader import loads
from benchmarks.exhaustive import draw, line, summary


def test_drawn_specs_are_specs_and_the_same_each_time():
    texts = [draw(random.Random(seed)) for seed in range(40)]
    assert texts == [draw(random.Random(seed)) for seed in range(40)]
    assert all(loads(text) for text in texts)
    assert any("disaggregate = true" in text for text in texts)


@pytest.mark.parametrize("seed", [1, 4, 8])
def test_the_proved_plan_is_the_best_of_all(seed):
    found = line("one", draw(random.Random(seed)))
    assert found["agrees"]
    assert found["proved"]
    assert found["simulated"] <= found["plans"]
    assert summary([found])["agree"] == 1
