import dataclasses

import pytest

from apex_opt.plan.search import Search
from apex_opt.plan.solve import solve
from tests.small_specs import spec


@pytest.mark.parametrize(
    ("change", "ranked"),
    [
        ({}, 3),
        ({"bound": 3.0}, 1),
        ({"bound": 2.0, "proved": False}, 0),
    ],
)
def test_plans_are_ranked_where_nothing_that_was_not_looked_at_can_be_better(
    change, ranked, monkeypatch
):
    run = Search.run

    def bounded(search):
        return dataclasses.replace(run(search), **change)

    monkeypatch.setattr(Search, "run", bounded)
    found = solve(spec())
    assert [plan.objective for plan in found.plans] == [2.95, 5.9, 5.9]
    assert found.proof.ranked == ranked
