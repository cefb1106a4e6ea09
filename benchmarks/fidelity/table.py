"""Tables of errors, for people, and summary lines, for scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from benchmarks.fidelity.case import METRICS, STATISTICS
from benchmarks.fidelity.outcome import Outcome
from benchmarks.fidelity.score import errors, rank_agreement
from benchmarks.fidelity.setup import passed_over
from benchmarks.lines import Line

SHORT = {"ttft_ms": "TTFT", "tpot_ms": "TPOT", "e2e_ms": "E2E"}
WIDTH = 46


def heading() -> str:
    """Return the head of the table: mean and median absolute error and bias of each metric."""
    return " " * (WIDTH + 6) + "".join(f"{SHORT[m]:>8}   med  bias" for m in METRICS)


def line(name: str, rows: Sequence[Outcome], statistic: str = "mean") -> str:
    """Return a line of the table: errors in percent of one statistic over some runs."""
    cells = []
    for metric in METRICS:
        found = errors(rows, metric, statistic)
        cells.append(
            f"{found.mean:8.1f}{found.median:6.1f}{found.bias:+6.1f}"
            if found
            else f"{'-':>8}" + " " * 12
        )
    return f"{name[:WIDTH]:<{WIDTH}}{len(rows):>6}" + "".join(cells)


def table(name: str, rows: Sequence[Outcome]) -> Iterator[str]:
    """Yield the table of a file: all of it, each group, percentiles, what is set apart."""
    good = [row for row in rows if row.predicted is not None and not row.case.set_apart]
    yield f"{name}: errors in percent, of means over requests"
    yield heading()
    yield line("all", good)
    for label, some in _by(good, _kind).items():
        yield line(f"  {label}", some)
    for statistic in STATISTICS[1:]:
        if any(errors(good, metric, statistic) for metric in METRICS):
            yield line(f"{statistic} of requests", good, statistic)
    for label, apart in (("overload", "overload"), ("inexact", "inexact")):
        some = [r for r in rows if r.predicted is not None and getattr(r.case, apart)]
        if some:
            yield line(f"{label}, not in all", some)
    ranked = rank_agreement(rows)
    if ranked is not None:
        yield f"plans ranked as measured: {100 * ranked:.1f} % of the pairs"
    yield from _left_out(rows)


def _left_out(rows: Sequence[Outcome]) -> Iterator[str]:
    """Yield what could not be predicted and why, and settings that a spec cannot say."""
    for reason, count in Counter(r.reason for r in rows if r.predicted is None).most_common():
        names = [r.case.name for r in rows if r.predicted is None and r.reason == reason]
        more = f" and {count - 3:,} more" if count > 3 else ""
        yield f"not predicted: {count:,} ({', '.join(names[:3])}{more}): {reason}"
    for key, count in Counter(key for r in rows for key in passed_over(r.case)).items():
        yield f"setting `{key}` of {count:,} runs has no counterpart and is passed over"


def _kind(row: Outcome) -> str:
    engine = f"{row.case.engine['name']} {row.case.engine.get('version') or '-'}"
    model = row.case.model.rpartition("/")[2]
    return f"{engine} {row.case.device} {model} {row.weights}"


def _by(rows: Sequence[Outcome], key: Callable[[Outcome], str]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for row in sorted(rows, key=key):
        found.setdefault(key(row), []).append(row)
    return found


def summary(name: str, rows: Sequence[Outcome]) -> Line:
    """Return the summary of a file. Errors leave out runs that are set apart; percent."""
    good = [row for row in rows if not row.case.set_apart]
    result: Line = {"file": name, "cases": len(rows)}
    for metric in METRICS:
        found, short = errors(good, metric), metric[:-3]
        result[f"{short}_mape"] = round(found.mean, 2) if found else None
        result[f"{short}_median"] = round(found.median, 2) if found else None
    ranked = rank_agreement(rows)
    result["rank_agreement"] = None if ranked is None else round(ranked, 4)
    result["not_predicted"] = sum(row.predicted is None for row in rows)
    result["set_apart"] = len(rows) - len(good)
    return result


def details(row: Outcome) -> Line:
    """Return the line of a case: measured, predicted, errors of the means."""
    return {
        "case": row.case.name,
        "measured": row.case.measured,
        "predicted": row.predicted,
        "error_percent": {
            metric[:-3]: round(error, 2)
            for metric in METRICS
            if (error := row.error(metric)) is not None
        },
        "set_apart": row.case.set_apart,
        "reason": row.reason or None,
    }
