"""What a proved plan gains over usual ones: `python -m benchmarks.heuristic [SPEC ...]`.

One JSON line a spec, for those that are shipped unless others are named:

    {"case", "objective", "best", "other", "other_plan", "ratio", "proved", "seconds"}

For a spec that minimises energy the other plan is that of least latency for the same traffic and
limits. For any other it is what rules of thumb say: tensor parallel inside a node, pipeline stages
across nodes where one does not hold the model, copies for the rest. `ratio` is how many times more
it takes (or less it carries) than the plan that was found.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import apex_opt
from apex_opt.errors import CallError
from apex_opt.plan.by_hand import Wish
from apex_opt.plan.objective import goal
from apex_opt.plan.result import Plan
from apex_opt.spec.goals import Objective
from apex_opt.spec.spec import Spec
from benchmarks.lines import Line, geometric_mean, print_lines

EXAMPLES = Path(__file__).parents[1] / "specs" / "examples"
SHIPPED = [EXAMPLES / "heuristics.toml", EXAMPLES / "energy.toml"]


def rule_of_thumb(spec: Spec) -> Plan:
    """Return the plan of the first pool that the usual rules give: the fewest stages that fit.

    Raises:
        CallError: no number of stages fits.
    """
    pool = spec.pools[0]
    for stages in range(1, pool.nodes + 1):
        copies = pool.nodes // stages
        wish = Wish(tensor=pool.node_devices, pipeline=stages, expert=1, replicas=copies)
        try:
            return apex_opt.simulate(spec, wish=wish)
        except CallError as why:
            fault = why
    raise fault


def fastest(spec: Spec) -> Plan:
    """Return the plan of least latency."""
    update = {"objective": Objective(minimize="latency")}
    return apex_opt.solve(spec.model_copy(update=update)).plans[0]


def line(path: Path) -> Line:
    """Return the line of a spec."""
    spec = apex_opt.load(path)
    chosen = goal(spec.objective)
    other = fastest(spec) if chosen.name == "energy" else rule_of_thumb(spec)
    start = time.perf_counter()
    result = apex_opt.solve(spec)
    seconds = time.perf_counter() - start
    best, worth = result.plans[0].objective, chosen.value(other.prediction, other.devices)
    return {
        "case": path.stem,
        "objective": result.objective,
        "best": best,
        "best_plan": result.plans[0].label,
        "other": worth,
        "other_plan": other.label,
        "ratio": best / worth if chosen.maximize else worth / best,
        "proved": result.proof.status == "optimal",
        "seconds": round(seconds, 2),
    }


def lines(paths: list[Path]) -> Iterator[Line]:
    """Yield a line a spec."""
    yield from map(line, paths)


def summary(rows: list[Line]) -> Line:
    """Return the mean of all ratios."""
    return {"cases": len(rows), "ratio": geometric_mean(row["ratio"] for row in rows)}


def main(
    specs: Annotated[list[Path] | None, typer.Argument(help="Default: two examples.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the lines here.")] = None,
) -> None:
    """Compare proved plans with usual ones."""
    print_lines(lines(specs or SHIPPED), summary, json_file)


if __name__ == "__main__":
    typer.run(main)
