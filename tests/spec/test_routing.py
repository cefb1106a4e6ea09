from typing import get_args

import pytest

from apex_opt.errors import SpecError
from apex_opt.sim import member
from apex_opt.spec.routing import Router
from tests.small_specs import TABLES, spec


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


def test_routing_by_length_is_asked_for():
    assert not spec().routing.by_class
    assert spec(routing="by_class = true").routing.by_class


@pytest.mark.parametrize(
    ("routing", "arrival", "why"),
    [
        (
            'router = "least_kv"\n',
            "",
            'goes with `router = "round_robin"` only, got the string "least_kv"; leave it out',
        ),
        (
            "",
            'arrival = "closed"\nconcurrency = 4\n',
            "does nothing for clients of a closed loop, who stay with their replica; leave it out",
        ),
    ],
)
def test_routing_by_length_is_refused_where_nothing_is_dealt_beforehand(routing, arrival, why):
    usual = 'arrival = "poisson"\nrate_rps = 20.0\n'
    load = TABLES["workload"].replace(usual, arrival or usual)
    with pytest.raises(SpecError) as caught:
        spec(routing=routing + "by_class = true", workload=load)
    assert str(caught.value).split(": ", 1)[1] == f"routing.by_class: {why}"
