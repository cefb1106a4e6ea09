from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import CallError, InfeasibleError, UndecidedError
from apex_opt.plan.pareto import pareto
from apex_opt.plan.pareto_axis import axis_named
from apex_opt.plan.pareto_window import Window, narrowed
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, routings, solve, tried
from apex_opt.spec.goals import Objective
from apex_opt.trace.traffic import traffic
from tests.small_specs import TWO_POOLS, spec

EACH = "ttft_ms = 60\ntpot_ms = 7.5"
THREE = 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1\ndevices_per_node = 3'


def small(rate=90.0, requests=100, slo=EACH, **more):
    load = (
        f'arrival = "poisson"\nrate_rps = {rate}\nrequests = {requests}\n'
        'prompt_tokens = { distribution = "uniform", low = 50, high = 900 }\noutput_tokens = 40'
    )
    return spec(slo=slo, workload=load, **{"parallelism": "max_stages = 1", **more})


def values(asked_spec, x, y):
    """Return (x, y) of every plan of the space that meets the spec, each simulated."""
    axes = [axis_named(x), axis_named(y)]
    goodput = "goodput" in (x, y)
    objective = Objective(maximize="goodput") if goodput else Objective(minimize="devices")
    judged = asked_spec.model_copy(update={"objective": objective})
    offered = traffic(judged.workload, judged.search.seed, judged.folder)
    asked = problem(judged, offered.load, legal_candidates(judged, offered))
    found = []
    for counts in product(*(range(kind.max_count + 1) for kind in asked.data.kinds)):
        used = sum(1 for n in counts if n)
        if not 0 < used <= asked.data.max_kinds or any(
            sum(n * kind.devices_in(p) for n, kind in zip(counts, asked.data.kinds, strict=True))
            > pool.nodes * pool.node_devices
            for p, pool in enumerate(asked.data.pools)
        ):
            continue
        for parts in routings(judged, asked, counts):
            one = tried(judged, counts, play(judged, offered.load, parts))
            if one.missed is None:
                devices = sum(part.devices for part in parts)
                found.append(tuple(a.goal.value(one.outcome.prediction, devices) for a in axes))
    return axes, found


def front_of(axes, found):
    """Return the values of which none other is as good on both axes and better on one."""

    def beats(a, b):
        as_good = all(axis.as_good(p, q) for axis, p, q in zip(axes, a, b, strict=True))
        return as_good and any(axis.better(p, q) for axis, p, q in zip(axes, a, b, strict=True))

    best = {
        tuple(float(f"{v:.9g}") for v in a) for a in found if not any(beats(b, a) for b in found)
    }
    return sorted(best)  # equal but for rounding is one


@settings(max_examples=12, deadline=None)
@given(
    axes=st.sampled_from(
        [
            ("cost", "goodput"),
            ("goodput", "devices"),
            ("cost", "ttft_p99"),
            ("e2e_p50", "cost"),
            ("energy", "latency"),
            ("power", "tpot_mean"),
            ("ttft_p90", "tpot_p95"),
            ("goodput", "energy"),
            ("power", "goodput"),
            ("cost", "throughput"),
            ("power", "energy"),
        ]
    ),
    rate=st.sampled_from([30.0, 90.0, 200.0]),
    slo=st.sampled_from([EACH, "ttft_ms = { p99 = 600 }", "e2e_ms = 400\nattainment = 0.5"]),
    pools=st.sampled_from([THREE, TWO_POOLS]),
)
def test_the_front_is_that_of_simulating_every_plan(axes, rate, slo, pools):
    asked = small(rate, slo=slo, pools=pools)
    known, found = values(asked, *axes)
    if not found:
        with pytest.raises(InfeasibleError):
            pareto(asked, *axes, points=100)
        return
    shown = pareto(asked, *axes, points=100)
    wanted = front_of(known, found)
    assert len(shown.points) == len(wanted)
    for point, truth in zip(shown.points, wanted, strict=True):
        assert (point.x, point.y) == pytest.approx(truth, rel=2e-5)
    assert shown.complete
    assert all(p.proved for p in shown.points)


def test_with_routing_by_length_the_front_is_that_of_every_plan_routed_both_ways():
    asked = small(
        60.0,
        slo="ttft_ms = { p99 = 600 }",
        pools=TWO_POOLS,
        routing="by_class = true",
        parallelism="pipeline = [1]",
    )
    known, found = values(asked, "cost", "ttft_p90")
    shown = pareto(asked, "cost", "ttft_p90", points=100)
    wanted = front_of(known, found)
    assert [(p.x, p.y) for p in shown.points] == [pytest.approx(w, rel=2e-5) for w in wanted]
    assert shown.complete


def test_no_more_points_are_shown_than_asked_for_and_the_ends_are_among_them():
    asked = small(pools=THREE)
    whole, few = (pareto(asked, "cost", "goodput", points=n) for n in (100, 2))
    assert len(whole.points) > 2
    ends = whole.points[0], whole.points[-1]
    assert [(p.x, p.y) for p in few.points] == [(p.x, p.y) for p in ends]
    assert [p.plan.rank for p in few.points] == [1, 2]
    assert (whole.complete, few.complete) == (True, False)


def test_the_ends_are_the_optima_of_each_axis():
    asked = small(slo="ttft_ms = { p99 = 600 }")
    front = pareto(asked, "cost", "latency")
    for end, key in ((front.points[0], "cost"), (front.points[-1], "latency")):
        alone = solve(asked.model_copy(update={"objective": Objective(minimize=key)}))
        assert (end.x if key == "cost" else end.y) == alone.plans[0].objective


def test_the_same_spec_gives_the_same_front_and_axes_may_change_places():
    one, again, turned = (
        pareto(small(slo="ttft_ms = { p99 = 600 }"), *axes)
        for axes in (("cost", "ttft_p99"), ("cost", "ttft_p99"), ("ttft_p99", "cost"))
    )
    assert one.model_dump(exclude={"solve_s"}) == again.model_dump(exclude={"solve_s"})
    assert [(p.y, p.x) for p in reversed(turned.points)] == [(p.x, p.y) for p in one.points]


def test_no_plan_is_simulated_twice(monkeypatch):
    played = []

    def once(spec_, load, parts):
        played.append(tuple((p.candidate.replica.label, p.count) for p in parts))
        return play(spec_, load, parts)

    monkeypatch.setattr("apex_opt.plan.pareto_search.play", once)
    front = pareto(small(), "cost", "goodput")
    assert len(played) == front.simulated == len(set(played)) <= front.space


def test_what_is_not_proved_says_so_with_its_gap(monkeypatch):
    monkeypatch.setattr("apex_opt.plan.pareto_search.MOST_PLANS", 1)
    slo = "ttft_ms = { p99 = 600 }"
    routing = 'router = "least_outstanding"'  # who gets which request is not known beforehand
    asked = small(slo=slo, pools=TWO_POOLS, routing=routing)
    front = pareto(asked, "energy", "latency", points=2)
    doubtful = [p for p in front.points if not p.proved]
    assert doubtful
    assert not front.complete
    for point in doubtful:
        assert point.text.startswith("not proved: ")
        assert point.bound <= point.x
        assert point.gap == pytest.approx((point.x - point.bound) / point.x, abs=2e-5)


def test_goodput_says_what_limits_on_each_request_mean():
    assert pareto(small(), "cost", "goodput").notes == (
        "goodput is an axis: limits on each request say which requests count, and exclude no plan",
    )
    front = pareto(small(slo="ttft_ms = { p99 = 600 }"), "cost", "goodput")
    assert front.notes == (
        (
            "the spec limits no single request, so that each one that completes counts as "
            "goodput; write for example `ttft_ms = 1000` under [slo]"
        ),
    )
    total = f"{front.simulated} plan{'s' if front.simulated > 1 else ''} simulated"
    assert front.text == (
        "one plan is best on both axes, proved for this traffic and seed: "
        f"{total}, {front.space} in the space"
    )


@pytest.mark.parametrize(
    ("x", "y", "points", "message"),
    [
        (
            "cost",
            "ttft99",
            8,
            (
                'no axis `ttft99`; did you mean "ttft_p99"?\n'
                "axes are cost, devices, energy, power, latency, goodput, throughput, and "
                "(ttft|tpot|itl|e2e)_(mean|p50|p90|p95|p99)"
            ),
        ),
        ("cost", "cost", 8, "x and y are the same figure: cost, cost"),
        ("latency", "e2e_mean", 8, "x and y are the same figure: latency, e2e_mean"),
        ("cost", "energy", 1, "points: must be from 2 to 100, got 1"),
    ],
)
def test_a_wrong_call_says_what_to_write(x, y, points, message):
    with pytest.raises(CallError) as caught:
        pareto(small(), x, y, points=points)
    assert str(caught.value) == message


def test_without_time_nothing_is_claimed():
    asked = small()
    search = asked.search.model_copy(update={"time_limit_s": 1e-9})
    with pytest.raises(UndecidedError) as caught:
        pareto(asked.model_copy(update={"search": search}), "cost", "goodput")
    assert str(caught.value) == (
        "no plan was found in 1e-09 s and none is excluded: 0 plans simulated; "
        "raise `search.time_limit_s`"
    )


def test_a_spec_that_no_plan_meets_is_proved_infeasible():
    with pytest.raises(InfeasibleError) as caught:
        pareto(small(slo="ttft_ms = { p99 = 1 }"), "cost", "latency")
    assert str(caught.value) == (
        "no plan meets the spec, even with every request alone on idle devices: ttft_ms p99"
    )


@pytest.mark.parametrize(("limits", "most"), [("", 10_000), ("power_w = 5000", 5_000_000)])
def test_mean_power_is_not_held_against_what_limits_count(limits, most):
    one = small(limits=limits)
    offered = traffic(one.workload, one.search.seed, one.folder)
    asked = problem(one, offered.load, legal_candidates(one, offered))
    assert narrowed(asked, one, Window(axis_named("power"), 10.0)).data.power_mw == most
