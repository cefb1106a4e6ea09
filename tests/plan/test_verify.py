from fractions import Fraction

import pytest

from apex_opt.plan import tell
from apex_opt.plan.solve import solve
from apex_opt.plan.verify import exact, plan_faults
from tests.small_specs import TABLES, TWO_POOLS, spec

LIMITS = "devices = 4\nreplicas = 2\nbudget_per_hour = 12\npower_w = 3000\n"
LIMITS += "memory_reserve_fraction = 0.05"
ASKED = spec(limits=LIMITS, parallelism="tensor = 2\npipeline = 1", objective='minimize = "power"')


@pytest.fixture(scope="module")
def plan():
    return solve(ASKED).plans[0]


def changed(record, **values):
    """The record with other values, a path of names or numbers joined by `__` each."""
    for path, value in values.items():
        key, _, rest = path.partition("__")
        if isinstance(record, tuple):
            at = int(key)
            new = changed(record[at], **{rest: value}) if rest else value
            record = (*record[:at], new, *record[at + 1 :])
        else:
            new = changed(getattr(record, key), **{rest: value}) if rest else value
            record = record.model_copy(update={key: new})
    return record


def test_a_number_is_the_decimal_fraction_that_was_written():
    assert 3 * exact(0.1) == exact(0.3) == Fraction(3, 10)
    assert exact(1e18) == 10**18


def test_a_plan_that_keeps_everything_has_no_fault(plan):
    assert plan.label == "1 x h100 TP2 bf16"
    assert plan_faults(ASKED, plan) == []


REPLICA = "deployments__0__replica"
AT = "deployments__0__nodes__0__0"
ONE = "h100 TP2 bf16: "


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({f"{AT}__node": 1}, ["there is no node 1 in pool h100"]),
        (
            {f"{AT}__devices": 5},
            ["node 0 of pool h100: 5 devices taken of 4", f"{ONE}stage 0 stands on 5 devices"],
        ),
        ({"devices": 1}, ["1 devices are told, its replicas have 2"]),
        ({"checks__0__met": False}, ["ttft_ms p99 is missed"]),
        ({"prediction__completed": 197}, ["197 of 200 requests are completed"]),
        (
            {f"{REPLICA}__stage_layers": (31,)},
            [f"{ONE}its stages have 31 layers, the model has 32"],
        ),
        ({f"{REPLICA}__memory__total": 1}, [
            f"{ONE}memory of 1 bytes, a device of pool h100 has another",
            f"{ONE}the parts of its memory do not add up",
        ]),
        ({f"{REPLICA}__memory__free": -7}, [
            f"{ONE}the parts of its memory do not add up",
            f"{ONE}a device lacks 7 bytes",
        ]),
        ({"deployments__0__nodes": ()}, [f"{ONE}0 replicas stand somewhere, there are 1"]),
        ({f"{AT}__pool": "l40s"}, [
            "there is no node 0 in pool l40s",
            f"{ONE}stage 0 stands outside pool h100",
        ]),
        ({f"{REPLICA}__pool": "l40s"}, [
            "there is no node 0 in pool l40s",
            "l40s TP2 bf16: its stages stand in l40s",
        ]),
    ],
)  # fmt: skip
def test_what_a_plan_tells_wrongly_is_found(plan, values, faults):
    assert plan_faults(ASKED, changed(plan, **values)) == faults


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ("devices = 1", "limits.devices: 2 taken, at most 1 allowed"),
        ("budget_per_hour = 5.8999", "limits.budget_per_hour: 5.9 taken, at most 5.8999 allowed"),
        ("power_w = 1.5", "limits.power_w: {w:.12g} taken, at most 1.5 allowed"),
        (
            "memory_reserve_fraction = 0.5",
            f"{ONE}{{r}} bytes are left free, less than limits.memory_reserve_fraction",
        ),
    ],
)  # fmt: skip
def test_each_limit_of_the_spec_is_held_against_the_plan(plan, limits, fault):
    watts = next(row.used for row in plan.limits if row.limit == "limits.power_w")
    reserve = plan.deployments[0].replica.memory.reserve
    less = spec(limits=limits, parallelism="tensor = 2\npipeline = 1")
    assert plan_faults(less, plan) == [fault.format(w=watts, r=reserve)]


def test_degrees_that_were_not_asked_for_are_found(plan):
    other = spec(parallelism="tensor = 1\npipeline = 1")
    assert plan_faults(other, plan) == [f"{ONE}tensor = 2 is not asked for"]


def test_a_plan_that_breaks_its_spec_is_a_bug_and_is_not_shown(monkeypatch):
    monkeypatch.setattr(tell, "plan_faults", lambda *_: ["node 0 is taken twice"])
    with pytest.raises(AssertionError, match=r"^node 0 is taken twice$"):
        solve(ASKED)


def test_a_budget_is_kept_to_less_than_a_millionth():
    # 2 x $1.0000009 is $2.0000018, and in whole millionths $2.
    pools = TABLES["pools"] + "\nprice_per_device_hour = 1.0000009"
    asked = spec(
        pools=pools,
        parallelism="tensor = 1\npipeline = 1",
        limits="budget_per_hour = 2.0",
        objective='minimize = "latency"',
    )
    found = solve(asked)
    assert [p.label for p in found.plans] == ["1 x h100 TP1 bf16"]
    assert found.rejected[0].label == "2 x h100 TP1 bf16"
    assert found.rejected[0].reason == "price 2.0000018 USD/h > 2 USD/h"


def test_spot_devices_are_kept_to_less_than_a_millionth():
    # One of three devices is more than 0.3333331 of them, and no more in whole millionths.
    asked = spec(
        pools=TWO_POOLS.replace("devices_per_node = 2\n", "devices_per_node = 1\nspot = true\n"),
        parallelism="tensor = 1\npipeline = 1",
        limits="spot_fraction = 0.3333331\ndevices = 3",
        objective='minimize = "latency"',
    )
    found = solve(asked)
    assert found.plans[0].label == "2 x l40s TP1 bf16"
    reason = "spot devices 0.333333333333 of all > 0.3333331"
    assert reason in [one.reason for one in found.rejected]
