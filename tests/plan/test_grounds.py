import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import apex_opt
from apex_opt.cost.kernel_error import ALONE
from apex_opt.plan.grounds import POWER_PRIOR, joined, widths
from apex_opt.spec import catalog
from apex_opt.trace.traffic import traffic
from tests.small_specs import spec

WIDTHS = st.floats(0.001, 3)


def known(model="llama-3.1-70b", device="h100-sxm-80gb", engine='version = "0.6"', **wish):
    """The half-widths of a replica on eight devices."""
    asked = spec(
        model=f'name = "{model}"',
        pools=f'name = "pool"\ndevice = "{device}"\ndevices_per_node = 8',
        engine=engine,
        workload='arrival = "constant"\nrate_rps = 1.0\nrequests = 1\n'
        "prompt_tokens = 100\noutput_tokens = 10",
    )
    choice = apex_opt.Choice(wish=apex_opt.Wish(tensor=8, replicas=1, **wish))
    (part,) = choice.parts(asked, [traffic(asked.workload, 0, asked.folder)])
    return widths(part, ALONE)


def stated(version, engine="vllm"):
    return catalog.release(engine, version).validation


def test_runs_of_the_same_model_on_the_same_device_speak_for_themselves():
    found, runs = known(), stated("0.6").models["llama-3.1-70b"]
    assert (found.ttft, found.tpot) == (runs.ttft, runs.tpot)
    assert [g.what for g in found.grounds] == [
        "TTFT of vllm 0.6 with llama-3.1-70b, measured",
        "TPOT of vllm 0.6 with llama-3.1-70b, measured",
        "power of h100-sxm-80gb, not measured",
    ]
    assert [g.half_width for g in found.grounds] == [runs.ttft, runs.tpot, POWER_PRIOR]


def test_on_another_device_the_error_of_its_kernels_is_added():
    found, runs = known(device="a100-sxm-80gb"), stated("0.6").models["llama-3.1-70b"]
    assert found.tpot == pytest.approx(joined(runs.tpot, found.kernels))
    assert found.ttft == pytest.approx(joined(runs.ttft, found.kernels))
    ground = found.grounds[2]
    assert ground.what == "kernels of a100-sxm-80gb, measured"
    assert ground.half_width == found.kernels > 0


def test_a_device_without_measurements_has_the_widest_band():
    measured, prior = known(device="a100-sxm-80gb"), known(device="mi300x")
    assert prior.grounds[2].what == "kernels of mi300x, not measured"
    assert prior.tpot > measured.tpot > known().tpot


def test_another_model_has_the_width_of_a_model_that_was_left_out():
    found, left_out = known("llama-3.1-8b", engine='version = "0.14"'), stated("0.14").dense
    assert (found.ttft, found.tpot) == (left_out.ttft, left_out.tpot)
    assert found.grounds[0].what == "TTFT of vllm 0.14, other models measured"


def test_a_release_without_runs_is_as_wide_as_the_widest_of_its_engine():
    found = known("llama-3.1-8b", engine='version = "0.21"')
    others = [v.dense for r in catalog.engine("vllm").releases if (v := r.validation) and v.dense]
    assert found.grounds[0].half_width == max(w.ttft for w in others)
    assert found.grounds[1].half_width == max(w.tpot for w in others)
    assert found.grounds[0].what == "TTFT of vllm 0.21, not measured"
    assert found.grounds[0].source == "the widest of its releases"


def test_experts_that_were_not_measured_make_a_band_wider():
    dense, moe = (known(m, engine='version = "0.33"') for m in ("llama-3.1-8b", "mixtral-8x22b"))
    assert moe.tpot > dense.tpot
    assert moe.ttft > dense.ttft


def test_where_no_model_of_its_kind_was_measured_the_others_stand_in():
    found = known("llama-3.1-8b", engine='name = "tensorrt-llm"')
    assert found.grounds[0].what == (
        "TTFT of tensorrt-llm 1.0, no model without routed experts measured"
    )
    assert found.ttft == max(w.ttft for w in stated(None, "tensorrt-llm").models.values())


def test_power_is_as_well_known_as_that_of_kernels():
    h200 = known(device="h200-sxm-141gb")
    assert h200.power == catalog.device("h200-sxm-141gb").efficiency.power.error[1] / 100
    assert h200.grounds[-1].what == "power of h200-sxm-141gb, kernels measured"


@given(WIDTHS, WIDTHS)
def test_independent_errors_join_to_more_than_the_larger_and_less_than_both(one, other):
    found = joined(one, other)
    assert max(one, other) <= found <= (1 + one) * (1 + other) - 1
    assert joined(one) == pytest.approx(one)
    assert math.log1p(joined(one, one)) == pytest.approx(math.sqrt(2) * math.log1p(one))


@pytest.mark.parametrize("engine", catalog.entries("engines"), ids=lambda e: e.name)
def test_what_engines_were_validated_on_is_in_the_catalogue_and_says_where_from(engine):
    runs = [r.validation for r in engine.releases if r.validation is not None]
    assert runs
    for one in runs:
        assert all(catalog.device(name).name == name for name in one.devices)
        assert all(catalog.model(name).name == name for name in one.models)
        assert one.source
