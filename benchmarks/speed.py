"""How fast the simulator is: `python -m benchmarks.speed`.

A table on stderr; on stdout one JSON line a case, and last of all
`{"requests_per_s": ..., "steps_per_s": ...}` of the case `one replica`: a million requests, prompts
of 500 and outputs of 200 tokens on average, arriving at random at 80 % of what the replica could
work off. Times are the best of three, checks and layout included; compiling, or loading compiled
code, is in the case `first call` alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.load import Load
from apex_opt.sim.log import Log
from apex_opt.sim.member import Member
from apex_opt.sim.replica import play
from apex_opt.sim.steps import StepTable

Answer = TypeVar("Answer")

REQUESTS = 1_000_000
USE = 0.8
RULES = EngineRules(
    max_seqs=32, max_batch_tokens=2048, max_model_tokens=16384, block_tokens=16, blocks=20_000
)


def steps(stages: int = 1) -> StepTable:
    """Return a table of round numbers like those of an 8-billion-parameter model on one H100.

    A step takes 5 ms, 20 us a decoding sequence or 60 us a token with prompts, 0.5 ns a token of
    context and 10 ps a query-key pair, spread evenly over the stages; it takes 0.4 to 0.6 kW.
    """
    tokens = np.arange(RULES.max_batch_tokens + 1)
    decode, mixed = (5_000_000 + per_token * tokens for per_token in (20_000, 60_000))
    none, each = np.zeros(stages, np.int64), np.ones(stages, np.int64)
    return StepTable(
        decode_ns=np.tile(decode // stages, (stages, 1)),
        mixed_ns=np.tile(mixed // stages, (stages, 1)),
        rows_ns=np.zeros((stages, len(tokens)), np.int64),
        context_fs=each * (500_000 // stages),
        window_fs=none,
        window_tokens=1,
        pair_fs=each * (10_000 // stages),
        window_pair_fs=none,
        hop_ns=np.zeros((stages, RULES.max_batch_tokens + 1), np.int64),
        decode_j=4e-7 * decode,
        mixed_j=6e-7 * mixed,
        rows_j=np.zeros(len(tokens)),
        context_j=0.0,
        window_j=0.0,
        pair_j=0.0,
        window_pair_j=0.0,
        idle_w=100.0,
    )


def lognormal(rng: np.random.Generator, n: int, mean: float) -> np.ndarray:
    """Return (n,) token counts, lognormal with this mean and a standard deviation as large."""
    variance = np.log(2)
    tokens = rng.lognormal(np.log(mean) - variance / 2, np.sqrt(variance), n)
    return np.clip(tokens, 1, 8192).astype(np.int64)


def burst(n: int) -> Load:
    """Return `n` requests that all come at the start: mean prompt 500, mean output 200."""
    rng = np.random.default_rng(0)
    return Load(np.zeros(n, np.int64), lognormal(rng, n, 500), lognormal(rng, n, 200))


def capacity_rps(rules: EngineRules, table: StepTable) -> float:
    """Return the rate at which a replica works off a burst."""
    n = 20_000
    return n / play(burst(n), rules, table).totals.end_ns * 1e9


def poisson(n: int, rate_rps: float) -> Load:
    """Return the requests of a burst, arriving at random."""
    gaps = np.random.default_rng(1).exponential(1e9 / rate_rps, n)
    return replace(burst(n), arrival_ns=np.cumsum(gaps).astype(np.int64))


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


def line(name: str, seconds: float, log: Log) -> dict[str, float | str]:
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


def one(name: str, rules: EngineRules, table: StepTable) -> dict[str, float | str]:
    """Play a million requests on one replica."""
    load = poisson(REQUESTS, USE * capacity_rps(rules, table))
    return line(name, *best_of(3, lambda: play(load, rules, table)))


def fleet(replicas: int) -> dict[str, float | str]:
    """Play a million requests on many replicas, one after the other."""
    load = poisson(REQUESTS, replicas * USE * capacity_rps(RULES, steps()))
    members = [Member(RULES, steps(), replicas, 1)]
    seconds, log = best_of(3, lambda: play_fleet(load, members).log)
    return line(f"{replicas} replicas", seconds, log)


def cases() -> Iterator[dict[str, float | str]]:
    """Play every case and yield its line."""
    yield line("first call", *best_of(1, lambda: play(burst(10), RULES, steps())))
    yield one("one replica", RULES, steps())
    yield one("async scheduling", replace(RULES, async_scheduling=True), steps())
    yield one("four stages", replace(RULES, max_seqs=4 * RULES.max_seqs), steps(4))
    yield fleet(64)


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
