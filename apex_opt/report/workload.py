"""A `[workload]` table as it is typed into a spec."""

from __future__ import annotations

import json
from collections.abc import Iterator
from textwrap import fill
from typing import Any

from apex_opt.spec.workload import Workload


def toml(workload: Workload) -> str:
    """Return a workload in TOML: its lone values, then a table for each distribution."""
    return "\n".join(_table("workload", workload.model_dump(exclude_unset=True)))


def _table(name: str, values: dict[str, Any]) -> Iterator[str]:
    yield f"[{name}]"
    for key, value in values.items():
        if not isinstance(value, dict):
            yield f"{key} = {_value(value)}"
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _table(f"{name}.{key}", value)


def _value(value: object) -> str:
    """Return a value; JSON writes strings and numbers as TOML does."""
    if isinstance(value, tuple):
        body = ", ".join(map(_value, value))
        return "[\n" + fill(body, 60, initial_indent="  ", subsequent_indent="  ") + ",\n]"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)
