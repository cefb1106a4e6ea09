"""What drivers over case folders print: a JSON line a case, and a summary as the last line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from math import exp, log
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def print_lines(
    rows: Iterable[Line], summary: Callable[[list[Line]], Line], out: Path | None = None
) -> None:
    """Print each row as it comes, then the summary of all; write the same to `out` in the end."""
    done: list[Line] = []
    for row in rows:
        done.append(row)
        print(json.dumps(row), flush=True)
    done.append(summary(done))
    print(json.dumps(done[-1]))
    if out is not None:
        out.write_text("".join(f"{json.dumps(row)}\n" for row in done))


def geometric_mean(ratios: Iterable[float]) -> float | None:
    """Return the geometric mean, or None of nothing."""
    logs = [log(ratio) for ratio in ratios]
    return exp(sum(logs) / len(logs)) if logs else None
