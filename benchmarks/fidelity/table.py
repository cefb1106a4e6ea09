"""Tables of errors, for people, and summary lines, for scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from apex_opt.spec import catalog
from benchmarks.fidelity import pairs
from benchmarks.fidelity.case import METRICS, STATISTICS
from benchmarks.fidelity.coverage import coverage, half_width
from benchmarks.fidelity.outcome import Outcome
from benchmarks.fidelity.score import errors, rank_agreement
from benchmarks.fidelity.setup import engine, passed_over
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
    """Yield the table of a file: all of it, each group and model, percentiles, set apart, pairs."""
    good = [row for row in rows if row.predicted is not None and not row.case.set_apart]
    yield f"{name}: errors in percent, of means over requests"
    yield heading()
    groups = {"all": good, **{f"  {label}": some for label, some in _by(good, _group).items()}}
    for label, some in groups.items():
        yield line(label, some)
        models = _by(some, _model_name)
        if label != "all" and len(models) > 1:
            yield from (line(f"    {model}", rows) for model, rows in models.items())
    for statistic in STATISTICS[1:]:
        for label, some in groups.items():
            if any(errors(some, metric, statistic) for metric in METRICS):
                yield line(f"{label}, {statistic}", some, statistic)
    for label, apart in (("overload", "overload"), ("inexact", "inexact")):
        some = [r for r in rows if r.predicted is not None and getattr(r.case, apart)]
        if some:
            yield line(f"{label}, not in all", some)
    yield from _covered(good)
    yield from pairs.table(good)
    ranked = rank_agreement(rows)
    if ranked is not None:
        yield f"plans ranked as measured: {100 * ranked:.1f} % of the pairs"
    yield from _left_out(rows)


def _covered(rows: Sequence[Outcome]) -> Iterator[str]:
    """Yield how many runs lie within their bands, and how wide bands would cover nine in ten."""
    yield f"{'within the stated band; nine in ten lie within':<{WIDTH}}{'runs':>6}" + "".join(
        f"{SHORT[m]:>12}" + " " * 8 for m in METRICS
    )
    for label, some in {"all": rows, **_by(rows, _model)}.items():
        yield f"  {label[: WIDTH - 2]:<{WIDTH - 2}}{len(some):>6}" + "".join(
            f"{_percent(coverage(row.inside(m) for row in some)):>12}"
            f"{_percent(half_width(row.error(m) for row in some)):>8}"
            for m in METRICS
        )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _model(row: Outcome) -> str:
    """Return the release of the catalogue with which a run was predicted, and its model."""
    name, version = row.case.engine["name"], engine(row.case).version
    return f"{name} {catalog.release(name, version).version} {_model_name(row)}"


def _left_out(rows: Sequence[Outcome]) -> Iterator[str]:
    """Yield what could not be predicted and why, and settings that a spec cannot say."""
    for reason, count in Counter(r.reason for r in rows if r.predicted is None).most_common():
        names = [r.case.name for r in rows if r.predicted is None and r.reason == reason]
        more = f" and {count - 3:,} more" if count > 3 else ""
        yield f"not predicted: {count:,} ({', '.join(names[:3])}{more}): {reason}"
    for key, count in Counter(key for r in rows for key in passed_over(r.case)).items():
        yield f"setting `{key}` of {count:,} runs has no counterpart and is passed over"


def _model_name(row: Outcome) -> str:
    return row.case.model.rpartition("/")[2]


def _group(row: Outcome) -> str:
    engine = f"{row.case.engine['name']} {row.case.engine.get('version') or '-'}"
    return f"{engine} {row.case.device} {row.weights}"


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
    for metric in METRICS:
        share = coverage(row.inside(metric) for row in good)
        result[f"coverage_{metric[:-3]}"] = None if share is None else round(share, 3)
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
        "band": {
            metric[:-3]: [round(row.predicted[metric]["mean"] * end, 4) for end in ends]
            for metric, ends in row.band.items()
            if row.predicted is not None
        },
        "set_apart": row.case.set_apart,
        "reason": row.reason or None,
    }
