import math
from types import SimpleNamespace

import pytest

from apex_opt.auditing.conflict import conflicts, helps, option
from apex_opt.auditing.dials import Options, Range
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.judge import Judge, Verdict
from apex_opt.auditing.story import known_entries
from tests.auditing.gallery import HUGE, load, make, pool

DIAL = Options("bf16", (("fp8", "allow fp8"), ("awq", "allow awq")), "any", lambda _, value: value)


class Told:
    """A judge who knows the answers, and which were asked for."""

    def __init__(self, max_kinds, **answers):
        self.data = SimpleNamespace(max_kinds=max_kinds, caches=frozenset())
        self.answers, self.asked = answers, []

    def ask(self, value):
        self.asked.append(value)
        return Verdict(
            self.answers[value], "simulation", None, SimpleNamespace(data=self.data), None
        )


@pytest.mark.parametrize(
    ("answers", "status", "value"),
    [
        ({"fp8": "infeasible", "awq": "infeasible"}, "infeasible", "any"),
        ({"fp8": "undecided", "awq": "infeasible"}, "undecided", "any"),
        ({"fp8": "infeasible", "awq": "undecided"}, "undecided", "any"),
        ({"fp8": "undecided", "awq": "feasible"}, "feasible", "awq"),
    ],
)
def test_with_one_kind_of_replica_a_choice_is_worth_its_best_value(answers, status, value):
    judge = Told(1, **answers)
    verdict, chosen, _ = option(judge, None, DIAL)
    assert (verdict.status, chosen, judge.asked) == (status, value, ["fp8", "awq"])


def test_with_several_kinds_of_replica_all_values_are_asked_for_together():
    judge = Told(2, fp8="infeasible", awq="infeasible", any="feasible")
    verdict, chosen, words = option(judge, None, DIAL)
    assert (verdict.status, chosen, words) == ("feasible", "any", "allow fp8 and allow awq")
    assert judge.asked == ["fp8", "awq", "any"]


@pytest.mark.parametrize(
    ("does", "asked"),
    [(3, [2, 4]), (8, [2, 4, 8]), (20, [2, 4, 8, 16, 20]), (99, [2, 4, 8, 16, 20])],
)
def test_stages_are_doubled_until_a_plan_does(does, asked):
    judge = Told(1)
    judge.answers = {n: "feasible" if n >= does else "infeasible" for n in range(21)}
    dial = Range(1, 20, True, "stages", lambda _, value: value)
    stages = Entry("parallelism.max_stages", ("parallelism", "max_stages"), "parallelism", dial)
    assert helps(judge, None, stages).feasible == (does <= 20)
    assert judge.asked == asked


def test_what_follows_from_how_another_conflict_was_cured_hides_no_third_one(judge):
    # On four devices the weights fit, but cost too much; on one in 8 bits first tokens are late.
    spec = make(
        **HUGE,
        pools=pool(3, gigabytes=80),
        parallelism="max_stages = 1",
        limits="budget_per_hour = 3",
        workload=load(1, 200),
        slo="ttft_ms = { p95 = 50 }",
    )
    verdict = judge.ask(spec)
    found = conflicts(judge, spec, known_entries(spec, judge, verdict), verdict)
    assert [{e.key for e in one.members} for one in found] == [
        {"pools.p.devices_per_node", "quantization.weights", "parallelism.max_stages"},
        {"slo.ttft_ms.p95", "limits.budget_per_hour"},
    ]
    assert found[0].cure == found[0].members


class Noted(Judge):
    """A judge who notes the specs that it is asked of."""

    def ask(self, spec, *args, **more):
        self.specs = [*getattr(self, "specs", []), spec]
        return super().ask(spec, *args, **more)


def test_replicas_across_pools_are_looked_at_with_the_stock_that_there_is():
    judge = Noted(math.inf, lambda _: None)
    spec = make(pools=f"{pool(2)}\n[[pools]]\n{pool(2, name='q')}", parallelism="tensor = 3")
    verdict = judge.ask(spec)
    (found,) = conflicts(judge, spec, known_entries(spec, judge, verdict), verdict)
    assert [e.key for e in found.members] == ["parallelism.tensor"]
    nodes = [[p.nodes for p in one.pools] for one in judge.specs if one.parallelism.cross_pool]
    assert nodes == [[1, 1]]
