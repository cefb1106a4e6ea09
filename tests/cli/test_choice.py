import pytest

from apex_opt.cli.choice import read_router, read_stages, read_wish
from apex_opt.errors import CallError
from apex_opt.plan.by_hand import Wish

KEYS = "tensor, pipeline, expert, attention_data, context, replicas, pool, weights, kv_cache"


def test_a_wish_is_a_list_of_keys_and_values():
    assert read_wish("tensor=4, replicas = 2,pool=h100,kv-cache=fp8,", "--prefill") == Wish(
        tensor=4, replicas=2, pool="h100", kv_cache="fp8"
    )
    assert read_wish("", "--decode") == Wish()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tensr=4", f'`tensr=4` is no `key=value`; keys are {KEYS}; did you mean "tensor"?'),
        ("tensor", f"`tensor` is no `key=value`; keys are {KEYS}"),
        ("tensor=", f"`tensor=` is no `key=value`; keys are {KEYS}"),
        ("tensor=4,tensor=4", "`tensor` stands there twice"),
        ("tensor=0", "`tensor` must be a whole number from 1 on, got `0`"),
        ("replicas=2.5", "`replicas` must be a whole number from 1 on, got `2.5`"),
        ("replicas=²", "`replicas` must be a whole number from 1 on, got `²`"),
    ],
)
def test_a_wish_that_means_nothing_is_a_wrong_call(text, message):
    with pytest.raises(CallError) as caught:
        read_wish(text, "--decode")
    assert str(caught.value) == f"--decode: {message}"


def test_a_router_is_known_by_its_name_with_dashes_too():
    assert read_router("least-kv") == read_router("least_kv") == "least_kv"


def test_stages_are_pools_with_layers():
    assert read_stages(None) == ()
    assert read_stages("a100=40, l4 = 20,l4=20") == (("a100", 40), ("l4", 20), ("l4", 20))


@pytest.mark.parametrize("item", ["", "a100", "=4", "l4=0", "l4=-1", "l4=x"])
def test_a_stage_without_pool_or_layers_is_refused(item):
    with pytest.raises(CallError, match=r"^--stages: .* is no `pool=layers` such as `a100=40`$"):
        read_stages(f"a100=40,{item}")
