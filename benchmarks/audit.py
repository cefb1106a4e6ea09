"""How long an audit takes, by its cause: `python -m benchmarks.audit`.

One JSON line a case, a 70B model on 512 and on 12,288 GPUs, degrees left open, in one pool of H100
or, `two pools`, half of them A100:

    {"case", "devices", "status", "codes", "changes", "proved", "questions", "simulated",
     "seconds", "cpu_s"}

`changes` are those that were found, `proved` how many of them are proved to be the smallest. The
last line has the longest time of each size; `cpu_s` is the time of all threads, which other work on
the machine does not stretch. Compiling, or loading compiled code, is done before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from apex_opt.auditing.story import audit
from apex_opt.spec.loader import loads
from benchmarks.lines import Line, print_lines

SIZES = (512, 12_288)
SPEC = """
[model]
name = "{model}"
{pools}
[workload]
arrival = "poisson"
rate_rps = {rate}
requests = 2000
prompt_tokens = {{ distribution = "lognormal", mean = 1155, p99 = 4100 }}
output_tokens = {{ distribution = "lognormal", mean = 211, p99 = 900 }}
[slo]
{slo}
{more}
[search]
time_limit_s = {time_limit_s}
"""
POOL = """
[[pools]]
name = "{name}"
device = "{name}-sxm-80gb"
nodes = {nodes}
devices_per_node = 8
price_per_device_hour = {price}
"""
PRICES = {"h100": 2.5, "a100": 1.2}
USUAL = {"model": "llama-3.1-70b", "rate": 40, "slo": "ttft_ms = { p99 = 1000 }", "more": ""}
CASES: dict[str, dict[str, object]] = {
    "memory": {"model": "llama-3.1-405b", "more": "[parallelism]\ntensor = [1, 2]\npipeline = 1"},
    "heads": {"more": "[parallelism]\ntensor = 3"},
    "devices": {"more": "[limits]\ndevices = 1"},
    "budget": {"more": "[limits]\nbudget_per_hour = 4"},
    "power": {"more": "[limits]\npower_w = 5600"},
    "ttft": {"slo": "ttft_ms = { p99 = 10 }"},
    "tpot": {"slo": "tpot_ms = { p99 = 3 }"},
    "load": {"rate": 400, "slo": "ttft_ms = { p99 = 500 }", "more": "[limits]\ndevices = 16"},
    "demand": {"rate": 400, "slo": "", "more": "[limits]\ndevices = 8"},
    "power and ttft": {"slo": "ttft_ms = { p99 = 10 }", "more": "[limits]\npower_w = 300"},
    "feasible": {},
}
CASES |= {f"{name}, two pools": CASES[name] for name in ("power", "load", "ttft")}


def spec_text(case: str, devices: int, time_limit_s: float) -> str:
    """Return the spec of a case."""
    own, names = {**USUAL, **CASES[case]}, list(PRICES)[: 1 + case.endswith("two pools")]
    nodes = devices // 8 // len(names)
    pools = [POOL.format(name=name, nodes=nodes, price=PRICES[name]) for name in names]
    return SPEC.format(pools="".join(pools), time_limit_s=time_limit_s, **own)


def measured(case: str, devices: int, time_limit_s: float) -> Line:
    """Audit a case and return its line."""
    spec = loads(spec_text(case, devices, time_limit_s))
    begin, worked = time.perf_counter(), time.process_time()
    found = audit(spec)
    seconds, cpu_s = time.perf_counter() - begin, time.process_time() - worked
    changes = [r for c in found.conflicts for r in c.relaxations]
    return {
        "case": case,
        "devices": devices,
        "status": found.status,
        "codes": [c.code for c in found.conflicts],
        "changes": len(changes),
        "proved": sum(r.smallest == "proved" for r in changes),
        "questions": found.questions,
        "simulated": found.simulated,
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu_s, 2),
    }


def lines(time_limit_s: float, sizes: tuple[int, ...], only: str | None = None) -> Iterator[Line]:
    """Audit every case at every size, or `only` one, and yield its line."""
    measured("feasible", 8, time_limit_s)
    for devices in sizes:
        for case in CASES if only is None else [only]:
            yield measured(case, devices, time_limit_s)


def summary(rows: list[Line]) -> Line:
    """Return the last line: the longest time of each size, seconds."""
    longest = {
        f"seconds_{size}": max(row["seconds"] for row in rows if row["devices"] == size)
        for size in sorted({row["devices"] for row in rows})
    }
    return {**longest, "cases": len(rows)}


def main(
    out: Annotated[Path | None, typer.Option("--json", help="Write the lines there too.")] = None,
    time_limit: Annotated[float, typer.Option(help="For each case, seconds.", min=0.1)] = 120.0,
    only: Annotated[str | None, typer.Option(help="One case of them.")] = None,
    devices: Annotated[int | None, typer.Option(help="One size of them.")] = None,
) -> None:
    """Audit specs of 512 and 12,288 GPUs that cannot be met, each for another reason."""
    sizes = SIZES if devices is None else (devices,)
    print_lines(lines(time_limit, sizes, only), summary, out)


if __name__ == "__main__":
    typer.run(main)
