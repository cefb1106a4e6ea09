from __future__ import annotations

from rich.console import Console

from apex_opt.plan.result import Deployment, Placement, Stage
from apex_opt.report.layout import show
from apex_opt.report.place import place
from tests.report.samples import deployment, plan, replica

ROLES = ("prefill", "decode")


def lines(*deployments: Deployment) -> list[str]:
    console = Console(width=100)
    with console.capture() as printed:
        show(console, [place(plan(deployments=deployments))])
    return printed.get().splitlines()[1:]


def on(node: int, stage: int = 0, devices: int = 4) -> Placement:
    return Placement(node=node, stage=stage, devices=devices)


def test_replicas_that_stand_alike_share_a_line() -> None:
    nodes = ((on(0),), (on(0),), (on(1),))
    assert lines(deployment(3, nodes=nodes)) == [
        "  h100 replicas 1-2  node 0: 4 devices each",
        "  h100 replica 3     node 1: 4 devices",
    ]


def test_replicas_say_what_their_role_is() -> None:
    nodes = ((on(0),),)
    split = [deployment(1, replica=replica(role=role), nodes=nodes) for role in ROLES]
    assert lines(*split) == [
        "  h100 prefill replica 1  node 0: 4 devices",
        "  h100 decode replica 1   node 0: 4 devices",
    ]


def test_stages_stand_beside_their_nodes() -> None:
    nodes = ((on(0, 0), on(0, 1), on(1, 2, 1)),)
    assert lines(deployment(1, replica=replica(pipeline=3), nodes=nodes)) == [
        "  h100 replica 1  node 0: 8 devices (stages 0-1); node 1: 1 device (stage 2)"
    ]


def test_stages_that_do_not_follow_each_other_are_listed() -> None:
    nodes = ((on(0, 0), on(1, 1), on(0, 2)),)
    assert lines(deployment(1, replica=replica(pipeline=3), nodes=nodes)) == [
        "  h100 replica 1  node 0: 8 devices (stages 0, 2); node 1: 4 devices (stage 1)"
    ]


def test_nodes_of_several_pools_are_named_in_the_order_of_stages() -> None:
    pools = [("l4", "l4", 4), ("a100", "a100-sxm-40gb", 36)]
    stages = tuple(Stage(pool=pool, device=device, layers=n) for pool, device, n in pools)
    nodes = (
        Placement(node=2, stage=0, devices=1, pool="l4"),
        Placement(node=0, stage=1, devices=1, pool="a100"),
    )
    one = replica(pipeline=2, tensor=1, devices=2, stages=stages)
    assert lines(deployment(1, replica=one, nodes=(nodes,))) == [
        "  l4(4)+a100(36) replica 1  l4 node 2: 1 device (stage 0); a100 node 0: 1 device (stage 1)"
    ]


def test_a_long_list_is_cut_and_says_so() -> None:
    printed = lines(deployment(20, nodes=tuple((on(n),) for n in range(20))))
    assert len(printed) == 13
    assert printed[-1] == "  and 8 more lines, in the plan's file"
