import dataclasses

import numpy as np
import pytest

from apex_opt.cost.rates import (
    IDLE_SHARE,
    Rates,
    compute_precision,
    half_precision,
    most_w,
    power_limit_w,
    standing_w,
)
from apex_opt.spec import catalog
from tests.shapes import shape


def pool(device="h100-sxm-80gb", **changes):
    whole = shape(device=device).pool
    return whole.model_copy(
        update={"device": whole.device.model_copy(update=changes.pop("of_device", {})), **changes}
    )


def test_a_device_draws_the_lesser_of_its_limit_and_the_pools_cap():
    assert power_limit_w(pool()) == 700
    assert power_limit_w(pool(power_cap_w=400.0)) == 400
    assert power_limit_w(pool(power_cap_w=400.0, of_device={"tdp_w": None})) == 400


def test_a_device_without_any_power_limit_is_refused():
    with pytest.raises(ValueError, match=r"^no power limit of h100-sxm-80gb is known$"):
        power_limit_w(pool(of_device={"tdp_w": None}))


@pytest.mark.parametrize(
    ("peaks", "found"),
    [
        ({"fp8": 4.0, "bf16": 2.0, "fp16": 3.0}, "bf16"),
        ({"fp32": 1.0, "fp16": 3.0}, "fp16"),
        ({"fp32": 1.0}, "fp32"),
        ({"fp8": 4.0}, "fp8"),
    ],
)
def test_sixteen_bits_mean_bf16_or_the_next_best(peaks, found):
    assert half_precision(pool(of_device={"peak_tflops": peaks}).device) == found


@pytest.mark.parametrize(
    ("device", "weights", "found"),
    [
        ("h100-sxm-80gb", "fp8", "fp8"),
        ("a100-sxm-80gb", "fp8", "bf16"),
        ("h100-sxm-80gb", "awq-int4", "bf16"),
        ("t4", "bf16", "fp16"),
        ("mi355x", "int8-w8a8", None),
    ],
)
def test_a_format_computes_in_its_precision_or_as_weights_only(device, weights, found):
    assert compute_precision(catalog.device(device), catalog.weight_format(weights)) == found


def test_an_idle_power_that_is_not_published_is_a_share_of_the_limit():
    silent = dataclasses.replace(shape(), pool=pool(of_device={"idle_w": None}))
    assert Rates(shape()).idle_w == 85
    assert Rates(silent).idle_w == IDLE_SHARE * 700


def test_a_device_has_its_share_of_what_its_node_and_the_facility_draw():
    # 4,600 W for 8 devices; an H100 idles at 85 W and draws 700.
    found = pool(node_power_w=4600.0, pue=1.5)
    assert standing_w(found) == 1.5 * (85 + 575)
    assert most_w(found) == 1.5 * (700 + 575)
    assert standing_w(pool()) == 85


def test_what_a_device_draws_above_idle_counts_at_the_wall():
    inside = shape()
    wall = dataclasses.replace(inside, pool=pool(pue=1.5))
    second = np.array([1.0])
    drawn = [Rates(s).cost(second, second * 1e14, second * 1e12, "bf16") for s in (inside, wall)]
    sent = [Rates(s).communication(second) for s in (inside, wall)]
    for alone, whole in (drawn, sent):
        assert whole.joules == pytest.approx(1.5 * alone.joules)
        assert whole.seconds == alone.seconds
