"""Mean and percentiles that the shipped model predicts for a case."""

from __future__ import annotations

from dataclasses import replace

from apex_opt.plan.predict import guessing, play_parts
from apex_opt.sim import metrics
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.load import Load
from apex_opt.sim.log import Log
from apex_opt.sim.member import FleetLog
from benchmarks.fidelity.case import METRICS, STATISTICS, Case
from benchmarks.fidelity.coverage import Factors, factors
from benchmarks.fidelity.setup import SEED, Run

NS_PER_MS = 1e6
SAME = 1e-3
"""A measured ratio of means that differs by less, relatively, is one."""

Values = dict[str, dict[str, float]]


def ratio_of_means(case: Case, output_tokens: float) -> bool:
    """Return whether a case states TPOT as (mean E2E - mean TTFT) / (mean output - 1).

    Files differ; the measured numbers tell. Where lengths are all the same it makes no difference.
    """
    ttft, tpot, e2e = (case.mean(metric) for metric in METRICS)
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


def play_one_rank(run: Run) -> FleetLog:
    """Simulate one of several ranks that run prompts at the same time: all do as it does."""
    member = guessing(replace(run.part.member, ranks=1), SEED)
    return play_fleet(run.load, [member])


def step_ms(run: Run, values: Values) -> float:
    """Return the time of a step: that of a token, or of as many as it is expected to sample."""
    p, n = run.recipe.acceptance, run.recipe.guesses
    return values["tpot_ms"]["mean"] * sum(p**k for k in range(n + 1))


def waited_steps(run: Run) -> float:
    """Return the steps for which a request waits, on average, beside its turn in the queue.

    A scheduler that polls looks for it after half an interval. Where prompts are held back until
    all ranks have one, or until they fill a step, the first waits for that, but not for ever, and
    those that come meanwhile wait for the rest.
    """
    recipe, ranks = run.recipe, run.part.candidate.shape.attention_data
    sampled = sum(recipe.acceptance**k for k in range(recipe.guesses + 1))
    clients = run.load.concurrency * (ranks if run.alike else 1)
    each_step = clients * sampled / float(run.load.output_tokens.mean())
    window = 0.0
    if ranks > 1 and recipe.balanced_steps:
        others = sum(ranks / left for left in range(1, ranks)) / each_step
        window = min(recipe.balanced_steps, others)
    elif recipe.gathered_steps:
        budget = run.part.candidate.shape.settings.max_num_batched_tokens
        prompts = (recipe.gathered_share * budget - clients) / float(run.load.prompt_tokens.mean())
        window = min(recipe.gathered_steps, max(prompts - 1, 0.0) / each_step)
    held = window * (1 + each_step * window / 2) / (1 + each_step * window)
    return recipe.polled_steps / 2 + held


def simulate(case: Case, run: Run) -> tuple[Values, FleetLog]:
    """Return what a prepared case is predicted to show, and the simulation behind it.

    Raises:
        ApexError, ValueError: it cannot be simulated, with the reason.
    """
    played = play_one_rank(run) if run.alike else play_parts(run.spec, run.load, [run.part])
    if not metrics.done(played.log).any():
        raise ValueError("no request is served: the KV cache holds none")
    of_means = ratio_of_means(case, float(run.load.output_tokens.mean()))
    values = statistics(played.log, run.load, of_means=of_means)
    waited_ms = waited_steps(run) * step_ms(run, values)
    for metric in ("ttft_ms", "e2e_ms"):
        values[metric] = {name: value + waited_ms for name, value in values[metric].items()}
    return values, played


def play(case: Case, run: Run) -> tuple[Values, Factors]:
    """Return what a prepared case is predicted to show, and the band of it; see `simulate`."""
    values, played = simulate(case, run)
    return values, factors(run, played)
