from pathlib import Path

import numpy as np
import pytest

import apex_opt
from apex_opt.errors import CallError
from apex_opt.plan.by_hand import Wish, from_wish
from apex_opt.plan.classes import GRID, boundaries, by_class, class_shares
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of, routings
from apex_opt.plan.tell import plan_of_parts
from apex_opt.trace.traffic import traffic
from tests.small_specs import TABLES, spec

MIXED = {
    "pools": (
        'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1\ndevices_per_node = 1\n'
        '[[pools]]\nname = "l40s"\ndevice = "l40s"\nnodes = 1\ndevices_per_node = 4'
    ),
    "workload": (
        'arrival = "poisson"\nrate_rps = 12.0\nrequests = 300\noutput_tokens = 100\n'
        'prompt_tokens = { distribution = "lognormal", mean = 2000, p99 = 16000, maximum = 30000 }'
    ),
    "slo": "ttft_ms = 1500\nattainment = 0.9",
    "parallelism": "tensor = [1]\npipeline = [1]",
    "routing": "by_class = true",
}
UNLIKE = (
    "the plan has `class_shares` whose `prompt_tokens_up_to` do not ascend to null, the same in "
    "every deployment"
)
BY_LENGTH = Path(__file__).parents[2] / "specs" / "examples" / "by-length.toml"


def asked_of(**tables):
    asked_spec = spec(**{**MIXED, **tables})
    offered = traffic(asked_spec.workload, asked_spec.search.seed, asked_spec.folder)
    return (
        asked_spec,
        offered,
        problem(asked_spec, offered.load, legal_candidates(asked_spec, offered)),
    )


def ways(counts=(1, 4), **tables):
    asked_spec, _, asked = asked_of(**tables)
    return routings(asked_spec, asked, counts)


def test_classes_are_of_equal_work():
    lengths = np.array([5, 1, 3, 2, 4, 6, 7, 8])
    assert boundaries(lengths, np.ones(8)) == (1, 2, 3, 4, 5, 6, 7)
    assert boundaries(lengths, (lengths == 8) + 0.01) == ()
    assert boundaries(np.array([4, 4, 9]), np.ones(3)) == (4,)


def test_prompts_of_one_length_are_one_class_and_are_not_split():
    assert boundaries(np.array([7, 7, 7]), np.ones(3)) == ()
    load = 'arrival = "poisson"\nrate_rps = 9.0\nrequests = 50\n'
    assert len(ways(workload=load + "prompt_tokens = 500\noutput_tokens = 60")) == 1


def test_without_the_key_or_with_one_kind_of_replica_there_is_one_way():
    assert len(ways(routing="")) == 1
    assert len(ways((0, 4))) == 1
    assert len(ways()) == 2


def test_replicas_that_are_played_together_are_not_split():
    asked = spec()
    wishes = [(Wish(tensor=1), "prefill"), (Wish(tensor=1), "decode")]
    parts = tuple(part for wish, role in wishes for part in from_wish(asked, wish, 560, role))
    assert by_class(parts, [], None) is None


def test_every_class_is_served_in_steps_of_the_grid_and_long_prompts_by_the_faster_device():
    _, parts = ways()
    fast, slow = class_shares(parts)
    assert np.add(fast, slow) == pytest.approx(1.0)
    assert np.multiply(fast, GRID) == pytest.approx(np.rint(np.multiply(fast, GRID)))
    assert list(fast) == sorted(fast)
    assert (fast[0], fast[-1]) == (0.0, 1.0)
    assert parts[0].up_to_tokens == parts[1].up_to_tokens


def test_the_same_spec_gives_the_same_shares():
    assert [p.class_weights for p in ways()[1]] == [p.class_weights for p in ways()[1]]


def test_short_prompts_apart_from_long_ones_meet_more_limits_than_dealt_alike():
    asked_spec, offered, asked = asked_of()
    plain, split = (
        play(asked_spec, offered.load, parts).prediction
        for parts in routings(asked_spec, asked, (1, 4))
    )
    assert split.attainment > plain.attainment
    assert split.ttft_ms.p99 < plain.ttft_ms.p99


def test_of_the_example_the_cheapest_plan_is_one_by_length_which_is_told_and_played_again():
    asked = apex_opt.load(BY_LENGTH)
    result = apex_opt.solve(asked)
    plan, *_ = result.plans
    assert result.proof.status == "optimal"
    assert plan.label == "1 x h100 TP1 bf16 + 4 x l40s TP1 bf16"
    assert plan.cost_per_hour == pytest.approx(3.90 + 4 * 0.85)
    one, four = (deployment.class_shares for deployment in plan.deployments)
    assert [a.share + b.share for a, b in zip(one, four, strict=True)] == pytest.approx([1.0] * 8)
    again = apex_opt.simulate(asked, plan)
    assert again == plan.model_copy(update={"rank": again.rank})
    alike = asked.model_copy(
        update={"routing": asked.routing.model_copy(update={"by_class": False})}
    )
    assert apex_opt.solve(alike).plans[0].cost_per_hour == pytest.approx(2 * 3.90 + 0.85)


@pytest.fixture(scope="module")
def told():
    asked_spec, offered, asked = asked_of()

    parts = routings(asked_spec, asked, (1, 4))[1]
    return asked_spec, plan_of_parts(asked_spec, play(asked_spec, offered.load, parts))


def test_a_router_that_looks_at_replicas_is_refused(told):
    asked_spec, plan = told
    with pytest.raises(CallError) as caught:
        apex_opt.play(asked_spec, apex_opt.Choice(plan=plan, router="least_kv"))
    assert str(caught.value) == (
        "the plan deals prompts by their length, which the router `least_kv` does not; play it "
        "with `round_robin`"
    )


def test_clients_of_a_closed_loop_are_refused(told):
    _, plan = told
    closed = TABLES["workload"].replace('"poisson"\nrate_rps = 20.0', '"closed"\nconcurrency = 4')
    with pytest.raises(CallError) as caught:
        apex_opt.simulate(spec(**{**MIXED, "workload": closed, "routing": ""}), plan)
    assert str(caught.value) == (
        "the plan deals prompts by their length, but clients of a closed loop stay with their "
        "replica; play it under an open loop"
    )


def changed(plan, nth, **update):
    """Return a plan in which the first class share of a deployment is another."""
    first, *others = plan.deployments[nth].class_shares
    shares = (first.model_copy(update=update), *others)
    deployments = list(plan.deployments)
    deployments[nth] = deployments[nth].model_copy(update={"class_shares": shares})
    return plan.model_copy(update={"deployments": tuple(deployments)})


@pytest.mark.parametrize(
    ("nth", "update", "message"),
    [
        (
            0,
            {"prompt_tokens_up_to": 3},
            UNLIKE,
        ),
        (1, {"weight": 0}, "the plan has no deployment that takes prompts of class 1"),
        (1, {"weight": -1}, "the plan has no deployment that takes prompts of class 1"),
    ],
)
def test_a_file_with_shares_that_make_no_sense_is_refused(told, nth, update, message):
    asked_spec, plan = told
    with pytest.raises(CallError) as caught:
        apex_opt.simulate(asked_spec, changed(plan, nth, **update))
    assert str(caught.value) == message


def test_a_plan_without_classes_has_no_shares():
    asked_spec, offered, asked = asked_of(routing="")
    parts = parts_of(asked, (1, 4))
    assert class_shares(parts) == []
    told = plan_of_parts(asked_spec, play(asked_spec, offered.load, parts))
    assert all(deployment.class_shares == () for deployment in told.deployments)
