import pytest

import apex_opt
from apex_opt.errors import CallError
from apex_opt.plan.by_hand import Wish
from apex_opt.plan.solve import solve
from apex_opt.report.console import as_text
from tests.small_specs import TABLES, spec

ONE_SPARE = TABLES["pools"] + "\nspare_replicas = 1"


def test_a_plan_holds_its_levels_without_its_spare_replicas():
    plain, safe = (solve(spec(pools=p)).plans[0] for p in (TABLES["pools"], ONE_SPARE))
    assert (plain.label, plain.without_spares) == ("1 x h100 TP1 bf16", None)
    assert safe.label == "2 x h100 TP1 bf16"
    assert safe.without_spares is not None
    assert safe.without_spares.counts == (1,)
    assert safe.without_spares.checks == plain.checks
    assert safe.without_spares.prediction.ttft_ms == plain.prediction.ttft_ms
    assert safe.prediction.ttft_ms.p99 < plain.prediction.ttft_ms.p99


def test_a_plan_that_holds_only_with_its_spares_is_turned_down():
    # One replica misses the level, two keep it: three are needed where one may be lost.
    tight = {"slo": "ttft_ms = { p99 = 50 }", "parallelism": "tensor = 1\npipeline = 1"}
    plain, safe = (solve(spec(pools=p, **tight)) for p in (TABLES["pools"], ONE_SPARE))
    assert plain.plans[0].label == "2 x h100 TP1 bf16"
    assert safe.plans[0].label == "3 x h100 TP1 bf16"
    (turned_down,) = [r for r in safe.rejected if r.label == "2 x h100 TP1 bf16"]
    assert turned_down.reason.startswith("TTFT p99 ")
    assert turned_down.reason.endswith(" ms > 50 ms, without its spare replicas")


def test_the_report_shows_what_is_left():
    shown = as_text(solve(spec(pools=ONE_SPARE)))
    assert "Once its spare replicas are lost: 1 x h100 TP1 bf16\n" in shown


def test_a_plan_by_hand_needs_a_replica_beside_its_spares():
    with pytest.raises(CallError) as told:
        apex_opt.simulate(spec(pools=ONE_SPARE), wish=Wish(tensor=1, replicas=1))
    assert str(told.value) == (
        "pools.h100.spare_replicas: the plan has 1 x h100 TP1 bf16, and 1 may be lost; "
        "it takes at least 2"
    )


def test_spot_devices_are_taken_up_to_their_share():
    spot = 'name = "spot"\ndevice = "h100-sxm-80gb"\ndevices_per_node = 4\nspot = true'
    pools = f"{TABLES['pools']}\n[[pools]]\n{spot}\nprice_per_device_hour = 1.0"
    tight = {"pools": pools, "slo": "e2e_ms = { p99 = 550 }", "parallelism": "tensor = 1"}
    free, half = (solve(spec(**tight, limits=limits)) for limits in ("", "spot_fraction = 0.5"))
    assert free.plans[0].label == "2 x spot TP1 bf16"
    assert half.plans[0].label == "1 x h100 TP1 bf16 + 1 x spot TP1 bf16"
    (limit, *_) = half.plans[0].limits
    assert (limit.limit, limit.value, limit.used) == ("limits.spot_fraction", 0.5, 0.5)
