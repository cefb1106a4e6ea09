from typing import get_args

import pytest

from apex_opt.errors import SpecError
from apex_opt.sim import member
from apex_opt.spec.routing import Router
from tests.small_specs import spec


def test_the_routers_of_a_spec_are_those_of_the_simulator():
    assert get_args(Router) == get_args(member.Router)


def test_requests_are_dealt_in_turn_where_nothing_is_said():
    assert spec().routing.router == "round_robin"
    assert spec(routing='router = "least_kv"').routing.router == "least_kv"


def test_an_unknown_router_is_told_with_the_nearest():
    with pytest.raises(SpecError) as caught:
        spec(routing='router = "leastkv"')
    assert str(caught.value) == (
        'spec.toml:24: routing.router: must be one of "round_robin", "random", '
        '"least_outstanding", "least_kv" or "prefix_affinity", got the string "leastkv"; did you '
        'mean "least_kv"?'
    )
