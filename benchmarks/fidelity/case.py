"""A measured serving run, as the case files have it: one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METRICS = ("ttft_ms", "tpot_ms", "e2e_ms")
STATISTICS = ("mean", "p90", "p99")


@dataclass(frozen=True)
class Case:
    """A measured run.

    Attributes:
        name: its id.
        engine: name, version and settings of the engine; what is null was its default.
        device, model: names of the catalogue, or of Hugging Face.
        parallel: degrees: `tensor`, and where given `pipeline`, `data`, `expert` (a flag),
            `attention_data`, `moe_tensor`, `moe_expert`.
        weights, kv_cache: formats; None: not said.
        workload: arrival and lengths.
        measured: by metric and statistic, milliseconds, above 0: what is not was not measured.
        group: plans of one workload, to be ranked; None: none.
        plan: which of them, where several runs are replicas of one plan.
        overload: the run was saturated.
        inexact: what was run is known in part only.
        folder: where the path of a trace begins.
    """

    name: str
    engine: dict[str, Any]
    device: str
    model: str
    parallel: dict[str, Any]
    weights: str | None
    kv_cache: str | None
    workload: dict[str, Any]
    measured: dict[str, dict[str, float]]
    group: str | None
    plan: str
    overload: bool
    inexact: bool
    folder: Path

    @property
    def set_apart(self) -> bool:
        """Whether its errors say little of the model: it was saturated, or is known in part."""
        return self.overload or self.inexact

    def mean(self, metric: str) -> float | None:
        """Return the measured mean of a metric, ms; None: it was not measured."""
        return self.measured.get(metric, {}).get("mean")


def known(values: dict[str, Any]) -> dict[str, Any]:
    """Return what is not null."""
    return {key: value for key, value in values.items() if value is not None}


def parse(record: dict[str, Any], folder: Path) -> Case:
    """Return the case of a record.

    Raises:
        KeyError: a field that every case has is missing.
    """
    engine = dict(record["engine"])
    engine |= engine.pop("settings", None) or {}
    measured = {
        metric: {
            statistic: float(values[statistic])
            for statistic in STATISTICS & values.keys()
            if 0.0 < float(values[statistic]) < math.inf
        }
        for metric in METRICS
        if (values := known(record["measured"].get(metric) or {}))
    }
    return Case(
        name=record["id"],
        engine=known(engine),
        device=record["device"],
        model=record["model"],
        parallel=known(record["parallel"]),
        weights=record.get("weights"),
        kv_cache=record.get("kv_cache"),
        workload=known(record["workload"]),
        measured=measured,
        group=record.get("group"),
        plan=record.get("plan") or record["id"],
        overload=bool(record.get("overload")),
        inexact=bool(record.get("inexact")),
        folder=folder,
    )


def read(path: Path) -> Iterator[Case]:
    """Yield the cases of a file.

    Raises:
        ValueError: a line is no JSON object, or has no case.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                yield parse(json.loads(line), path.parent)
            except (KeyError, TypeError, AttributeError, ValueError) as why:
                raise ValueError(f"{path}:{number}: no case: {why!r}") from None
