import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.plan.climb import climb, scaled, trim


def climbed(start, need, most):
    """Climb where any `need` replicas meet the spec; return the sizes that were simulated."""
    played = []

    def meets(counts):
        played.append(sum(counts))
        return sum(counts) >= need

    found = climb(start, lambda counts: sum(counts) <= most, meets)
    assert found == any(size >= need for size in played)
    return played


@pytest.mark.parametrize(
    ("counts", "total", "grown"),
    [((65, 0), 130, (130, 0)), ((3, 1), 8, (6, 2)), ((3, 1), 5, (4, 2)), ((3, 1), 4, (3, 1))],
)
def test_a_mixture_grows_in_all_its_kinds(counts, total, grown):
    assert scaled(counts, total) == grown


@pytest.mark.parametrize(
    ("need", "most", "played"),
    [
        (17, 100, [10, 20, 15, 17, 16]),
        (50, 13, [10, 12, 13]),
        (50, 5, []),
    ],
)
def test_a_climb_doubles_until_the_spec_is_met_or_limits_end_it_and_halves(need, most, played):
    assert climbed((5,), need, most) == played


@settings(deadline=None)
@given(start=st.integers(1, 50), need=st.integers(1, 5000), most=st.integers(1, 5000))
def test_a_climb_finds_the_least_fleet_that_meets_in_few_simulations(start, need, most):
    played = climbed((start,), need, most)
    assert len(set(played)) == len(played) <= 2 * most.bit_length()
    assert not start < need <= most or need in played


@settings(deadline=None)
@given(plan=st.tuples(*[st.integers(0, 200)] * 3), need=st.tuples(*[st.integers(1, 200)] * 3))
def test_each_kind_of_a_plan_is_made_as_few_as_it_may_be(plan, need):
    def meets(counts):
        return all(n == 0 or n >= least for n, least in zip(counts, need, strict=True))

    found = trim(plan, meets)
    if meets(plan):
        assert found == tuple(min(n, least) for n, least in zip(plan, need, strict=True))


def test_of_several_kinds_that_climb_together_each_is_trimmed():
    # Prefill needs 40 replicas, decode 3; in proportion 2 to 1 there are 42 and 21 first.
    played = []

    def meets(counts):
        played.append(counts)
        return counts[0] >= 40 and counts[1] >= 3

    assert climb((2, 1), lambda _: True, meets)
    assert min(sum(c) for c in played if c[0] >= 40 and c[1] >= 3) == 43
    assert len(played) < 25
