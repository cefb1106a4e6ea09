"""Mean and percentiles that the shipped model predicts for a case."""

from __future__ import annotations

from apex_opt.plan.predict import play_parts
from apex_opt.sim import metrics
from apex_opt.sim.load import Load
from apex_opt.sim.log import Log
from benchmarks.fidelity import recipes
from benchmarks.fidelity.case import STATISTICS, Case
from benchmarks.fidelity.setup import Run

NS_PER_MS = 1e6
SAME = 1e-3
"""A measured ratio of means that differs by less, relatively, is one."""

Values = dict[str, dict[str, float]]


def ratio_of_means(case: Case, output_tokens: float) -> bool:
    """Return whether a case states TPOT as (mean E2E - mean TTFT) / (mean output - 1).

    Files differ; the measured numbers tell. Where lengths are all the same it makes no difference.
    """
    found = {metric: values.get("mean") for metric, values in case.measured.items()}
    ttft, tpot, e2e = (found.get(metric) for metric in ("ttft_ms", "tpot_ms", "e2e_ms"))
    if ttft is None or tpot is None or e2e is None or output_tokens <= 1:
        return False
    return abs((e2e - ttft) / (output_tokens - 1) - tpot) <= SAME * tpot


def statistics(log: Log, load: Load, *, of_means: bool) -> Values:
    """Return latencies in ms; `of_means`: TPOT is a ratio of means."""
    found = {
        "ttft_ms": metrics.describe(metrics.ttft(log)),
        "tpot_ms": metrics.describe(metrics.tpot(log, load.output_tokens)),
        "e2e_ms": metrics.describe(metrics.e2e(log)),
    }
    values = {
        metric: {name: float(getattr(one, name)) / NS_PER_MS for name in STATISTICS}
        for metric, one in found.items()
    }
    if of_means:
        tokens = load.output_tokens[metrics.done(log)].mean() - 1
        spent = values["e2e_ms"]["mean"] - values["ttft_ms"]["mean"]
        values["tpot_ms"]["mean"] = float(spent / tokens)
    return values


def play(case: Case, run: Run) -> Values:
    """Return what a prepared case is predicted to show.

    Raises:
        ApexError, ValueError: it cannot be simulated, with the reason.
    """
    played = play_parts(run.spec, run.load, [run.part])
    if not metrics.done(played.log).any():
        raise ValueError("no request is served: the KV cache holds none")
    of_means = ratio_of_means(case, float(run.load.output_tokens.mean()))
    values = statistics(played.log, run.load, of_means=of_means)
    waited_ms = recipes.waited_steps(case) * values["tpot_ms"]["mean"]
    for metric in ("ttft_ms", "e2e_ms"):
        values[metric] = {name: value + waited_ms for name, value in values[metric].items()}
    return values
