import pytest

import apex_opt
from apex_opt.errors import CallError
from apex_opt.plan.simulate import Choice
from tests.small_specs import spec

ONE = apex_opt.Wish(tensor=1, replicas=1)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(prefill=ONE), "prefill and decode replicas need each other; choose both"),
        (Choice(decode=ONE), "prefill and decode replicas need each other; choose both"),
        (
            Choice(wish=ONE, prefill=ONE, decode=ONE),
            "a plan is one of three: a whole one, replicas that do all, or prefill and decode",
        ),
    ],
)
def test_half_a_plan_or_two_are_a_wrong_call(choice, message):
    for call in (apex_opt.play, apex_opt.capacity):
        with pytest.raises(CallError) as caught:
            call(spec(), choice)
        assert str(caught.value) == message


def test_without_a_choice_the_pool_is_filled_with_the_specs_first_replica():
    found = apex_opt.play(spec(parallelism="tensor = [2, 4]"), Choice())
    assert found.plan.label == "2 x h100 TP2 bf16"


def test_a_plan_holds_the_longest_request_of_every_draw():
    work = 'arrival = "poisson"\nrate_rps = 5.0\nrequests = 50\noutput_tokens = 10\n'
    asked = spec(
        workload=work + "prompt_tokens = { distribution = 'uniform', low = 9, high = 999 }"
    )
    lengths = [
        apex_opt.play(asked, Choice(wish=ONE), seed=seed).plan.deployments[0].replica.engine
        for seed in (0, 1, 2)
    ]
    found = apex_opt.capacity(
        spec(
            workload=work + "prompt_tokens = { distribution = 'uniform', low = 9, high = 999 }",
            slo="tpot_ms = { p99 = 9 }",
        ),
        Choice(wish=ONE),
        accuracy=apex_opt.Accuracy(tolerance=0.3, seeds=3),
    )
    longest = max(engine.max_model_len for engine in lengths)
    assert found.deployments[0].replica.engine.max_model_len == longest


def test_progress_is_told_from_the_traffic_on():
    heard = []
    apex_opt.play(spec(), Choice(wish=ONE), listen=heard.append)
    phases = ["reading traffic", "simulating", "simulating both ends of the band"]
    assert [event.phase for event in heard] == phases
    heard.clear()
    accuracy = apex_opt.Accuracy(tolerance=0.3, seeds=2)
    asked = spec(slo="tpot_ms = { p99 = 9 }")
    found = apex_opt.capacity(asked, Choice(wish=ONE), accuracy=accuracy, listen=heard.append)
    assert heard[0].phase == "reading traffic"
    second = [event for event in heard if event.phase.startswith("seed 2 of 2")]
    assert [event.done for event in second] == list(range(found.seeds[1].runs))
    assert second[0].best == f"{found.seeds[0].value:.4g} with the seed before"


def test_nodes_and_facility_count_in_power_and_energy():
    pools = 'name = "h100"\ndevice = "h100-sxm-80gb"\ndevices_per_node = 4\n'
    found = [
        apex_opt.play(spec(pools=pools + more), Choice(wish=ONE)).plan.prediction
        for more in ("", "node_power_w = 2000", "pue = 1.5", "node_power_w = 2000\npue = 1.5")
    ]
    alone, node, facility, both = found
    # One device of four has a quarter of what its node draws.
    assert node.power_mean_w == pytest.approx(alone.power_mean_w + 500)
    assert node.power_peak_w == pytest.approx(alone.power_peak_w + 500)
    assert facility.energy_j == pytest.approx(1.5 * alone.energy_j)
    assert both.energy_j == pytest.approx(1.5 * node.energy_j)
    assert both.power_peak_w == pytest.approx(1.5 * node.power_peak_w)
