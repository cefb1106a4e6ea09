"""How fast the simulator is: `python -m benchmarks.speed`.

A table on stderr; on stdout one JSON line a case, and last of all
`{"requests_per_s": ..., "steps_per_s": ...}` of the case `one replica`: a million requests, prompts
of 500 and outputs of 200 tokens on average, arriving at random at 80 % of what the replica could
work off. The other cases are as many requests at 80 % too. Times are the best of three, checks and
layout included; compiling, or loading compiled code, is in the cases `first call` alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.load import Load
from apex_opt.sim.log import Log
from apex_opt.sim.member import Member, Routing
from apex_opt.sim.replica import play
from apex_opt.sim.steps import StepTable
from benchmarks.loads import (
    CACHING,
    OVER_NETWORK,
    RULES,
    SGLANG,
    at_random,
    grouped,
    plain,
    roles,
    sessions,
    steps,
)

Answer = TypeVar("Answer")
Row = dict[str, float | str]
Draw = Callable[[int], Load]

REQUESTS = 1_000_000
FEW = 20_000
"""Requests from which it is told how much a fleet works off."""
USE = 0.8


def capacity_rps(rules: EngineRules, table: StepTable, draw: Draw = plain) -> float:
    """Return the rate at which a replica works off what comes all at once."""
    return FEW / play(draw(FEW), rules, table).totals.end_ns * 1e9


def best_of(times: int, work: Callable[[], Answer]) -> tuple[float, Answer]:
    """Return the shortest time of a call, s, and its answer."""
    best = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - begin)
    return best, answer


def peak_mib() -> float:
    """Return the most memory that this process has held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def line(name: str, seconds: float, log: Log) -> Row:
    """Return the JSON line of a case; `peak_mib` is the most of the process until then."""
    return {
        "case": name,
        "requests": len(log.status),
        "served": int((log.last_ns >= 0).sum()),
        "steps": log.totals.steps,
        "mean_batch": round(log.totals.rows / log.totals.steps, 2),
        "seconds": round(seconds, 4),
        "requests_per_s": round(len(log.status) / seconds),
        "steps_per_s": round(log.totals.steps / seconds),
        "peak_mib": round(peak_mib()),
    }


def one(name: str, rules: EngineRules, table: StepTable, draw: Draw = plain) -> Row:
    """Play a million requests on one replica."""
    load = at_random(draw(REQUESTS), USE * capacity_rps(rules, table, draw))
    return line(name, *best_of(3, lambda: play(load, rules, table)))


def alone(replicas: int) -> Row:
    """Play a million requests on many replicas, one after the other."""
    load = at_random(plain(REQUESTS), replicas * USE * capacity_rps(RULES, steps()))
    members = [Member(RULES, steps(), replicas, 1)]
    seconds, log = best_of(3, lambda: play_fleet(load, members).log)
    return line(f"{replicas} replicas", seconds, log)


def together(name: str, members: Sequence[Member], routing: Routing) -> Row:
    """Play a million requests on replicas that depend on each other."""
    burst = play_fleet(plain(FEW), members, routing=routing).log
    load = at_random(plain(REQUESTS), USE * FEW / burst.totals.end_ns * 1e9)
    return line(name, *best_of(3, lambda: play_fleet(load, members, routing=routing).log))


def cases() -> Iterator[Row]:
    """Play every case and yield its line."""
    yield line("first call", *best_of(1, lambda: play(plain(10), RULES, steps())))
    yield one("one replica", RULES, steps())
    yield one("async scheduling", replace(RULES, async_scheduling=True), steps())
    yield one("four stages", replace(RULES, max_seqs=4 * RULES.max_seqs), steps(4))
    yield one("prefix caching", CACHING, steps(), grouped)
    yield one("sessions", CACHING, steps(), sessions)
    yield one("sglang rules", SGLANG, steps())
    yield alone(64)
    first = best_of(1, lambda: play_fleet(plain(10), roles(), routing=OVER_NETWORK).log)
    yield line("first call, joint", *first)
    yield together("disaggregation", roles(), OVER_NETWORK)
    least = Routing("least_outstanding")
    yield together("least outstanding", [Member(RULES, steps(), 4, 1)], least)


def aligned(values: Iterable[float | str]) -> str:
    """Return a row of the table."""
    return "".join(f"{v:<18}" if isinstance(v, str) else f"{v:>15,}" for v in values)


def main() -> None:
    """Print the lines and the table."""
    lines = []
    for row in cases():
        print(json.dumps(row), flush=True)
        lines.append(row)
    names = [name.replace("_", " ") for name in lines[0]]
    print(f"{names[0]:<18}" + "".join(f"{name:>15}" for name in names[1:]), file=sys.stderr)
    for row in lines:
        print(aligned(row.values()), file=sys.stderr)
    summary = next(row for row in lines if row["case"] == "one replica")
    print(json.dumps({key: summary[key] for key in ("requests_per_s", "steps_per_s")}))


if __name__ == "__main__":
    main()
