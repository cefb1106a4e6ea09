"""Pairs of plans for one workload that differ in one degree: are they ordered as measured?

Runs of closed loops of one engine, version, model, device, weight format, workload and number of
clients are compared by mean TPOT, by what is predicted between them. Whole and split experts, and
numbers of attention ranks, are compared on the same devices; tensor degrees without ranks, with
experts held alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from apex_opt.cost.shape import Shape
from benchmarks.fidelity.case import Case
from benchmarks.fidelity.clients import total
from benchmarks.fidelity.outcome import Outcome

ENDS = (3, 6, 10, 20, 40)
"""Percent between two predictions: the upper end of each column but the last."""


class Counted(NamedTuple):
    """Pairs of a column: how many were ordered as measured, of how many."""

    ordered: int
    pairs: int


def difference(one: Shape, other: Shape) -> str | None:
    """Return the degree in which two plans differ; None: in none alone."""
    ranks = one.attention_data != other.attention_data
    whole = (one.expert > 1) != (other.expert > 1)
    if one.devices != other.devices:
        alone = one.attention_data == other.attention_data == 1 and one.pipeline == other.pipeline
        return "tensor degree" if alone and not whole else None
    if one.pipeline != other.pipeline:
        return None
    return "attention ranks" if ranks else "whole or split experts" if whole else None


def counted(rows: Sequence[Outcome]) -> dict[str, list[Counted]]:
    """Return the pairs of each kind of difference, by what is predicted between them."""
    alike: dict[object, list[Outcome]] = {}
    for row in rows:
        timed = row.predicted is not None and row.case.mean("tpot_ms") is not None
        if timed and row.shape is not None and _closed(row.case):
            alike.setdefault(_workload(row.case), []).append(row)
    found: dict[str, list[list[bool]]] = {}
    for same in alike.values():
        for one, other in combinations(same, 2):
            assert one.shape is not None
            assert other.shape is not None
            kind = difference(one.shape, other.shape)
            measured, predicted = (_tpot(one), _tpot(other)), (_told(one), _told(other))
            if kind is None or measured[0] == measured[1]:
                continue
            apart = 100.0 * (max(predicted) / min(predicted) - 1.0)
            column = sum(apart >= end for end in ENDS)
            columns = found.setdefault(kind, [[] for _ in range(len(ENDS) + 1)])
            columns[column].append((predicted[0] < predicted[1]) == (measured[0] < measured[1]))
    return {
        kind: [Counted(sum(column), len(column)) for column in columns]
        for kind, columns in sorted(found.items())
    }


def table(rows: Sequence[Outcome]) -> Iterator[str]:
    """Yield the lines of a table; none where no two plans served one workload."""
    found = counted(rows)
    if found:
        heads = [f"to {end} %" for end in ENDS] + ["more"]
        yield f"{'pairs ordered as measured in TPOT, predicted apart':<52}" + "".join(
            f"{head:>14}" for head in heads
        )
    for kind, columns in found.items():
        cells = (f"{one.ordered} of {one.pairs}" for one in columns)
        yield f"  {kind:<50}" + "".join(f"{cell:>14}" for cell in cells)


def _closed(case: Case) -> bool:
    return case.workload["arrival"] == "closed" and not case.set_apart


def _workload(case: Case) -> object:
    given, engine = case.workload, case.engine
    clients = total(case.parallel, given["concurrency"])
    served = (given["prompt_tokens"], given["output_tokens"], clients)
    return engine["name"], engine.get("version"), case.model, case.device, case.weights, served


def _tpot(row: Outcome) -> float:
    return row.case.measured["tpot_ms"]["mean"]


def _told(row: Outcome) -> float:
    assert row.predicted is not None
    return row.predicted["tpot_ms"]["mean"]
