from __future__ import annotations

from typing import Any

from rich.console import Console

from apex_opt.plan.capacity_result import Capacity, Interval, SeedCapacity
from apex_opt.report.capacity import render_capacity
from tests.report.samples import deployment


def capacity(**changes: Any) -> Capacity:
    missed = "TPOT p99 60.2 ms > 60 ms"
    base: dict[str, Any] = {
        "apexopt_version": "0.1.0",
        "model": "llama-3.1-70b",
        "plan": "2 x h100 TP4 bf16",
        "deployments": (deployment(),),
        "router": "round_robin",
        "devices": 8,
        "cost_per_hour": 23.6,
        "traffic": "2,000 requests over 8.3 min (4/s)",
        "rate_rps": 13.0,
        "concurrency": None,
        "interval": Interval(confidence=0.95, low=12.0, high=14.0),
        "tolerance": 0.01,
        "seeds": (
            SeedCapacity(seed=0, value=12.9, scale=3.2, fails_at=13.0, missed=missed, runs=17),
            SeedCapacity(seed=1, value=13.1, scale=3.3, fails_at=13.2, missed=missed, runs=17),
        ),
        "notes": (),
    }
    return Capacity(**{**base, **changes})


def lines(found: Capacity) -> list[str]:
    console = Console(width=80, color_system=None)
    with console.capture() as printed:
        render_capacity(found, console)
    return printed.get().splitlines()


def test_the_limit_comes_first_then_how_well_it_is_known() -> None:
    assert lines(capacity()) == [
        "2 x h100 TP4 bf16: 13.0 requests/s",
        "12.0 to 14.0 with 95 % confidence, 2 seeds; each within 1.0 %",
        "llama-3.1-70b, 2,000 requests over 8.3 min (4/s)",
        "",
        "By seed of the traffic",
        "  seed   requests/s   of the spec's   fails at               missed there",
        "  ───────────────────────────────────────────────────────────────────────",
        "  0            12.9          3.20 x       13.0   TPOT p99 60.2 ms > 60 ms",
        "  1            13.1          3.30 x       13.2   TPOT p99 60.2 ms > 60 ms",
        "",
        "  Each value is the highest that was played and held below the first that did",
        "  not, on a grid of steps of half as much again, then by bisection. Levels need",
        "  not fall evenly: a higher value may hold again, and does not count.",
        "",
        "What it takes",
        "  8 devices, router round_robin, $23.60 an hour, $0.50 a thousand requests",
    ]


def test_one_seed_says_nothing_of_chance_and_a_closed_loop_counts_clients() -> None:
    one = capacity(
        rate_rps=None,
        concurrency=96.0,
        interval=None,
        cost_per_hour=0.0,
        seeds=capacity().seeds[:1],
        notes=("the traffic is the same with any seed: one was played",),
    )
    shown = lines(one)
    assert shown[:2] == [
        "2 x h100 TP4 bf16: 96.0 clients",
        "one seed, so that chance is not known; each within 1.0 %",
    ]
    assert shown[-5:] == [
        "What it takes",
        "  8 devices, router round_robin",
        "",
        "Notes",
        "  the traffic is the same with any seed: one was played",
    ]
