"""`python -m benchmarks.fidelity DIR`: predictions against measured serving runs.

Every `*.jsonl` file of DIR holds measured runs, one JSON object a line: see
`benchmarks.fidelity.case`. Each is predicted with the shipped cost model and simulator. For each
file a table of errors in percent is printed, and in the end a JSON line a file:

    {"file", "cases", "ttft_mape", "ttft_median", "tpot_mape", "tpot_median", "e2e_mape",
     "e2e_median", "rank_agreement", "not_predicted", "set_apart", "coverage_ttft",
     "coverage_tpot", "coverage_e2e"}

Coverage is the share of measured means within the band that is stated for them, in 0..1. Runs that
were saturated or are known in part stand apart. `--queueing` checks the simulator alone: see
`benchmarks.fidelity.queueing`. `--fit ENGINE:VERSION` fits the overheads of a release to its runs,
and with `--leave-out` shows what that predicts of runs that it did not see: see
`benchmarks.fidelity.fit`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from apex_opt.errors import ApexError
from benchmarks.fidelity import queueing
from benchmarks.fidelity.case import read
from benchmarks.fidelity.fit import Part, report
from benchmarks.fidelity.outcome import outcomes
from benchmarks.fidelity.table import details, summary, table
from benchmarks.lines import Line

app = typer.Typer(add_completion=False)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Case files.", exists=True, file_okay=False)],
    out: Annotated[
        Path | None, typer.Option("--json", help="Write a line a case there, and the summaries.")
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queueing", help="Check the simulator alone, on measured step times.")
    ] = False,
    release: Annotated[
        str | None, typer.Option("--fit", help="Fit overheads of a release, `vllm:0.16`.")
    ] = None,
    leave_out: Annotated[
        Part | None, typer.Option("--leave-out", help="Fit without each one, and score it.")
    ] = None,
    every: Annotated[int, typer.Option(help="Fit on each so many-th run.", min=1)] = 1,
) -> None:
    """Predict the measured runs of a folder."""
    written: list[Line] = []
    summaries: list[Line] = []
    try:
        files = {path: list(read(path)) for path in sorted(folder.glob("*.jsonl"))}
        if release is not None:
            cases = [case for found in files.values() for case in found]
            for told in report(cases, release, leave_out, every):
                print(told, flush=True)
            return
    except (ApexError, ValueError) as why:
        print(f"error: {why}", file=sys.stderr)
        raise typer.Exit(2) from None
    for path, cases in files.items():
        if queue:
            summaries += [queueing.line(case) for case in cases if queueing.has_times(case)]
            continue
        rows = outcomes(cases)
        print("\n".join(table(path.name, rows)), end="\n\n", flush=True)
        written += [{"file": path.name} | details(row) for row in rows]
        summaries.append(summary(path.name, rows))
    for one in summaries:
        print(json.dumps(one))
    if out is not None:
        out.write_text("".join(f"{json.dumps(one)}\n" for one in written + summaries))


if __name__ == "__main__":
    app()
