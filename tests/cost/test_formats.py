import pytest

from apex_opt.cost.formats import attention_format, format_precision, nearest, product_format
from apex_opt.spec import catalog


@pytest.mark.parametrize(
    ("device", "weights", "found"),
    [
        ("h100-sxm-80gb", "bf16", "bf16"),
        ("h100-sxm-80gb", "fp8", "fp8"),
        ("h100-sxm-80gb", "fp8-block", "fp8-block"),
        ("h100-sxm-80gb", "nvfp4", "weight-only-4"),
        ("h100-sxm-80gb", "awq-int4", "weight-only-4"),
        ("b200-sxm", "nvfp4", "fp4"),
        ("a100-sxm-80gb", "fp8", "weight-only-8"),
        ("a100-sxm-80gb", "int8-w8a8", "int8"),
        ("t4", "bf16", "fp16"),
    ],
)
def test_a_format_runs_as_its_kernels_do(device, weights, found):
    assert product_format(catalog.device(device), catalog.weight_format(weights)) == found


def test_a_format_that_the_device_lacks_is_refused():
    with pytest.raises(ValueError, match=r"^mi355x does not compute in int8-w8a8$"):
        product_format(catalog.device("mi355x"), catalog.weight_format("int8-w8a8"))


def test_weight_only_products_run_in_16_bits():
    assert format_precision(catalog.device("t4"), "weight-only-4") == "fp16"
    assert format_precision(catalog.device("h100-sxm-80gb"), "fp8-block") == "fp8"


@pytest.mark.parametrize(
    ("known", "asked", "found"),
    [
        ({"bf16": 1, "fp8": 2}, "fp8", 2),
        ({"bf16": 1, "fp8": 2}, "int8", 2),
        ({"bf16": 1, "fp8": 2}, "weight-only-4", 1),
        ({"fp4": 1}, "bf16", 1),
    ],
)
def test_the_nearest_format_stands_in_for_one_that_is_not_known(known, asked, found):
    assert nearest(known, asked) == found


def test_narrow_caches_need_kernels_that_know_them():
    fp8, hopper, ampere = (
        catalog.kv_format("fp8"),
        catalog.device("h100-sxm-80gb"),
        catalog.device("a100-sxm-80gb"),
    )
    assert attention_format(hopper, hopper.efficiency.prefill, fp8) == ("fp8", "fp8")
    assert attention_format(ampere, ampere.efficiency.prefill, fp8) == ("bf16", "bf16")
