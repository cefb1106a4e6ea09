"""The sound part of a faulty spec, so that its other faults are found in the same run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from apex_opt.spec.lines import Loc
from apex_opt.spec.spec import Spec
from apex_opt.spec.tree import hints


def partial(data: dict[str, Any], wrong: Iterable[Loc]) -> tuple[Spec, list[Loc]]:
    """Return a spec of what is left of `data` without the keys at the places `wrong`.

    Returns:
        The spec, and the tables that it lacks because they cannot do without those keys.
    """
    left = _unlinked(data)
    for loc in wrong:
        _drop(left, loc)
    sound: dict[str, Any] = {}
    lost: list[Loc] = []
    for table, annotation in hints(Spec).items():
        if table in left:
            try:
                sound[table] = TypeAdapter(annotation).validate_python(left[table])
            except ValidationError:
                lost.append((table,))
        elif table in data or Spec.model_fields[table].is_required():
            lost.append((table,))
    return Spec.model_construct(**sound), lost


def _unlinked(value: Any) -> Any:
    """Return a copy of the tables in `value`."""
    if isinstance(value, tuple):
        return tuple(_unlinked(item) for item in value)
    if isinstance(value, dict):
        return {key: _unlinked(item) for key, item in value.items()}
    return value


def _drop(value: Any, loc: Loc) -> None:
    """Remove the innermost key on the way to `loc` from its table."""
    inner: tuple[dict[str, Any], str] | None = None
    for step in loc:
        if isinstance(value, dict) and isinstance(step, str) and step in value:
            inner = (value, step)
            value = value[step]
        elif isinstance(value, tuple) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            break
    if inner:
        table, key = inner
        del table[key]
