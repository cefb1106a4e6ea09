import math

from apex_opt.auditing import memory
from apex_opt.auditing.near import NEVER, distance, misses
from apex_opt.auditing.story import answer
from apex_opt.plan.predict import play_parts
from apex_opt.sim.replica import EndlessRunError
from tests.auditing.gallery import load, make, pool, timeless

CROWDED = {"pools": pool(2), "workload": load(300, 2000), "slo": "ttft_ms = { p50 = 200 }"}


def test_what_is_forgotten_is_worked_out_anew_and_the_answer_is_the_same(monkeypatch):
    known = answer(make(**CROWDED), timeless())
    monkeypatch.setattr(memory, "KEPT_REQUESTS", 1)
    monkeypatch.setattr(memory, "KEPT_BOUNDS", 1)
    forgetful = answer(make(**CROWDED), timeless())
    assert forgetful.simulated > known.simulated
    assert forgetful.model_copy(update={"simulated": known.simulated}) == known


def endless(monkeypatch, ends):
    """Make runs of plans endless unless `ends` of their number of replicas."""

    def play(spec, load, parts):
        if not ends(sum(part.count for part in parts)):
            raise EndlessRunError("sequences preempt each other")
        return play_parts(spec, load, parts)

    monkeypatch.setattr(memory, "play_parts", play)


def test_a_plan_whose_run_has_no_end_meets_nothing_and_is_the_farthest(monkeypatch):
    endless(monkeypatch, lambda _: False)
    spec = make(pools=pool(1))
    verdict = timeless().ask(spec)
    (plan,) = verdict.missed
    assert verdict.status == "infeasible"
    assert (distance(spec, plan), math.isnan(plan.objective)) == (NEVER, True)
    assert misses(spec, plan) == [("", "cannot be simulated: its run has no end")]


def test_runs_without_an_end_are_no_obstacle_to_plans_that_end(monkeypatch):
    endless(monkeypatch, lambda replicas: replicas == 2)
    found = answer(make(pools=pool(2), parallelism="tensor = 1\nmax_stages = 1"), timeless())
    assert (found.status, found.best) == ("feasible", "2 x p TP1 bf16")
