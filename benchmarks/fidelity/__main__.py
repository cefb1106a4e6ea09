"""`python -m benchmarks.fidelity DIR`: predictions against measured serving runs.

Every `*.jsonl` file of DIR holds measured runs, one JSON object a line: see
`benchmarks.fidelity.case`. Each is predicted with the shipped cost model and simulator. For each
file a table of errors in percent is printed, and in the end a JSON line a file:

    {"file", "cases", "ttft_mape", "ttft_median", "tpot_mape", "tpot_median", "e2e_mape",
     "e2e_median", "rank_agreement", "not_predicted", "set_apart", "coverage_ttft",
     "coverage_tpot", "coverage_e2e"}

Coverage is the share of measured means within the band that is stated for them, in 0..1. Runs that
were saturated or are known in part stand apart. `--queueing` checks the simulator alone: see
`benchmarks.fidelity.queueing`. `--fit ENGINE:VERSION` fits the overheads of a release to its runs:
see `benchmarks.fidelity.fit`. `--held-out model` predicts each model's runs from fits to the other
models, and prints the same table: see `benchmarks.fidelity.held_out`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from apex_opt.cli import output
from apex_opt.errors import ApexError, CallError
from benchmarks.fidelity import held_out, queueing
from benchmarks.fidelity.case import read
from benchmarks.fidelity.fit import report
from benchmarks.fidelity.outcome import outcomes
from benchmarks.fidelity.table import details, summary, table
from benchmarks.lines import Line

app = typer.Typer(add_completion=False)


def _check(out: Path | None, *, queue: bool, fits: bool, holds: bool, every: int) -> None:
    """Refuse options that would be passed over, and an `out` that cannot be written.

    Raises:
        CallError: with the options that do not go together, or what keeps it from being written.
    """
    if queue + fits + holds > 1:
        raise CallError("--queueing, --fit and --held-out exclude one another")
    if every > 1 and not (fits or holds):
        raise CallError("--every chooses runs to fit to: it needs --fit or --held-out")
    if fits and out is not None:
        raise CallError("--fit prints numbers of a release, and has no line a case")
    if out is not None:
        output.check(str(out))


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
    left_out: Annotated[
        held_out.Part | None,
        typer.Option("--held-out", help="Predict each one from fits to all others."),
    ] = None,
    every: Annotated[int, typer.Option(help="Fit on each so many-th run.", min=1)] = 1,
) -> None:
    """Predict the measured runs of a folder."""
    written: list[Line] = []
    summaries: list[Line] = []
    try:
        files = {path: list(read(path)) for path in sorted(folder.glob("*.jsonl"))}
        if not files:
            raise CallError(f"{folder} holds no case file, *.jsonl")
        _check(out, queue=queue, fits=release is not None, holds=left_out is not None, every=every)
        if release is not None:
            cases = [case for found in files.values() for case in found]
            for told in report(cases, release, every):
                print(told, flush=True)
            return
    except (ApexError, ValueError) as why:
        print(f"error: {why}", file=sys.stderr)
        raise typer.Exit(2) from None
    for path, cases in files.items():
        if queue:
            summaries += [queueing.line(case) for case in cases if queueing.has_times(case)]
            continue
        if left_out is not None:
            parts = held_out.outcomes(cases, left_out, every)
            rows = [row for some in parts.values() for row in some]
            lines = held_out.table(path.name, parts, left_out)
        else:
            rows = outcomes(cases)
            lines = table(path.name, rows)
        print("\n".join(lines), end="\n\n", flush=True)
        written += [{"file": path.name} | details(row) for row in rows]
        summaries.append(summary(path.name, rows))
    for one in summaries:
        print(json.dumps(one))
    if out is not None:
        out.write_text("".join(f"{json.dumps(one)}\n" for one in written + summaries))


if __name__ == "__main__":
    app()
