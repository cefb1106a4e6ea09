from dataclasses import replace

from apex_opt.cost.drawn import Drawn
from apex_opt.cost.memory import fit
from apex_opt.plan.candidate import KEPT, Candidate
from tests.shapes import shape, unlike


def test_idle_power_is_that_of_the_step_table():
    s = shape("llama-3.1-70b", tensor=4, pipeline=2)
    one = Candidate(s, fit(s), 0)
    assert one.idle_w == one.steps.idle_w == 8 * 85


def test_step_tables_are_kept_for_a_while_and_made_anew_the_same():
    s = shape()
    one = Candidate(s, fit(s), 0)
    clocks = [1 / (2 + n) for n in range(KEPT)]
    others = [Candidate(replace(s, clock=c), fit(s), 0) for c in clocks]
    first = one.steps
    assert one.steps is first
    for other in others:
        assert other.steps is not first
    again = one.steps
    assert again is not first
    assert (again.mixed_ns == first.mixed_ns).all()


def test_pools_that_differ_in_number_and_price_only_share_a_step_table():
    s = shape()
    pool = s.pool.model_copy(update={"nodes": 7, "price_per_device_hour": 9.0, "name": "other"})
    assert Candidate(replace(s, pool=pool), fit(s), 1).steps is Candidate(s, fit(s), 0).steps
    capped = s.pool.model_copy(update={"power_cap_w": 400.0})
    assert Candidate(replace(s, pool=capped), fit(s), 0).steps is not Candidate(s, fit(s), 0).steps


MIXED = unlike(
    shape("llama-2-70b", pipeline=4), ["l4", "a100-sxm-40gb", "a100-sxm-40gb", "l4"], (4, 36, 35, 5)
)


def test_a_replica_over_two_pools_says_what_it_takes_of_each():
    one = Candidate(MIXED, fit(MIXED), 1, (0,))
    assert one.stages_in == {1: 2, 0: 2}
    assert [one.devices_in(p) for p in (0, 1, 2)] == [2, 2, 0]
    assert one.idle_in(0) + one.idle_in(1) == one.idle_w == one.steps.idle_w
    assert one.idle_in(0) > one.idle_in(1) > one.idle_in(2) == 0
    told = one.replica
    assert (told.pool, told.devices, told.label) == (
        "l4",
        4,
        "l4(4)+a100-sxm-40gb(36,35)+l4(5) TP1 PP4 bf16",
    )
    assert [(s.pool, s.layers) for s in told.stages] == [
        ("l4", 4),
        ("a100-sxm-40gb", 36),
        ("a100-sxm-40gb", 35),
        ("l4", 5),
    ]


def test_replicas_over_pools_that_differ_in_name_and_number_only_are_drawn_alike():
    def other(at, **changes):
        return replace(at, pool=at.pool.model_copy(update=changes))

    renamed = [other(at, name=f"p {at.pool.name}", nodes=9) for at in MIXED.places]
    alike = replace(MIXED, pool=renamed[0].pool, elsewhere=tuple(renamed))
    assert Drawn(alike) == Drawn(MIXED)
    assert hash(Drawn(alike)) == hash(Drawn(MIXED))
    capped = [other(at, power_cap_w=60.0) for at in MIXED.places]
    assert Drawn(replace(MIXED, pool=capped[0].pool, elsewhere=tuple(capped))) != Drawn(MIXED)
    roomy = [other(at, devices_per_node=64) for at in MIXED.places]
    assert Drawn(replace(MIXED, pool=roomy[0].pool, elsewhere=tuple(roomy))) == Drawn(MIXED)
    fed = [
        replace(MIXED, pool=own[0].pool, elsewhere=tuple(own))
        for n in (32, 64)
        for own in [[other(at, devices_per_node=n, node_power_w=640.0) for at in MIXED.places]]
    ]
    assert Drawn(fed[0]) != Drawn(fed[1])
    turned = MIXED.places[1:] + MIXED.places[:1]
    assert Drawn(replace(MIXED, pool=turned[0].pool, elsewhere=turned)) != Drawn(MIXED)
