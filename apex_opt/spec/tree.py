"""The tables as a tree: which keys a table has, and where in it a fault of a document stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import Tag
from pydantic.fields import FieldInfo

from apex_opt.spec.lines import Loc
from apex_opt.spec.model import Model
from apex_opt.spec.pools import Device
from apex_opt.spec.spec import Spec
from apex_opt.spec.table import Table

REFERENCE_KEYS: dict[type[Table], str] = {Model: "config", Device: "base"}
"""The key of a table that refers to a file or to the catalogue; the loader replaces it."""


@dataclass(frozen=True)
class Kind:
    """What a value may be: its type, without `Annotated` and `None`, and what goes with it."""

    type: Any
    metadata: tuple[Any, ...] = ()

    @cached_property
    def table(self) -> type[Table] | None:
        """The table, where it is one."""
        return self.type if isinstance(self.type, type) and issubclass(self.type, Table) else None

    @cached_property
    def members(self) -> tuple[Any, ...]:
        """The types of a union; none where it is none."""
        return get_args(self.type) if get_origin(self.type) in {Union, UnionType} else ()

    @cached_property
    def items(self) -> Any:
        """The type of an element of a list, or of a value of a dictionary; else None."""
        nth = {tuple: 0, dict: 1}.get(get_origin(self.type))
        return None if nth is None else get_args(self.type)[nth]

    @cached_property
    def discriminator(self) -> str | None:
        """The key that tells the members of a union of tables apart."""
        names = (m.discriminator for m in self.metadata if isinstance(m, FieldInfo))
        return next((name for name in names if isinstance(name, str)), None)


@dataclass(frozen=True)
class Place:
    """Where a fault stands in a document."""

    loc: Loc
    annotation: Any
    """What the tables say about the value; None: no such key."""
    table: type[Table]
    """The innermost table around it."""
    is_key: bool = False
    """The key itself is at fault, not the value."""


@cache
def kind(annotation: Any) -> Kind:
    """Return what `annotation` says, without `Annotated` and without `None`."""
    metadata: tuple[Any, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata += tuple(more)
            continue
        members = Kind(annotation).members
        if type(None) not in members:
            return Kind(annotation, metadata)
        annotation = Union[tuple(m for m in members if m is not type(None))]  # noqa: UP007


@cache
def hints(table: type[Table]) -> dict[str, Any]:
    """Return the annotations of a table's keys, `Annotated` kept."""
    known = get_type_hints(table, include_extras=True)
    return {key: known[key] for key in table.model_fields}


def keys(table: type[Table]) -> list[str]:
    """Return the keys that may be written in a table, references to other places included."""
    reference = REFERENCE_KEYS.get(table)
    return [*hints(table), *([reference] if reference else [])]


def place(steps: Loc, data: Any, root: type[Table] = Spec) -> Place:
    """Return where in `data` the steps of a validator lead.

    A validator also counts what is not written: which member of a union it tried, an element of a
    list that is written as a lone value, a key of a table that is written as a number.
    """
    loc: Loc = ()
    said: Any = root
    followed: Any = root
    keys_kind: Any = None
    table = root
    for step in steps:
        if step == "[key]" and not (isinstance(data, dict) and step in data):
            return Place(loc, keys_kind, table, is_key=True)
        current = kind(followed)
        if current.members:
            followed = _member(current, step)
            if followed is None:
                break
            continue
        if current.table:
            table = current.table
            followed = hints(table).get(str(step))
        elif current.items:
            keys_kind, followed = get_args(current.type)[0], current.items
        else:
            break  # more than the tables know: the place so far is near enough
        if _holds(data, step):
            loc, said = (*loc, step), followed
            data = _child(data, step)
    return Place(loc, said, table)


def _member(union: Kind, tag: int | str) -> Any:
    """Return the member of a union that a validator calls `tag`; None where it has no such tag."""
    for member in union.members:
        own = kind(member)
        if any(isinstance(m, Tag) and m.tag == tag for m in own.metadata):
            return member
        if own.table and union.discriminator and tag in choices(own.table, union.discriminator):
            return member
    return None


@cache
def choices(table: type[Table], key: str) -> tuple[Any, ...]:
    """Return the values among which a key must choose; none where it may be anything else."""
    return literals(hints(table).get(key))


def literals(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a literal, or of a union of nothing else; else none."""
    own = kind(annotation)
    members = own.members or (own.type,)
    if any(get_origin(member) is not Literal for member in members):
        return ()
    return tuple(value for member in members for value in get_args(member))


def _holds(data: Any, step: int | str) -> bool:
    return isinstance(data, (list, tuple) if isinstance(step, int) else dict)


def _child(data: Any, step: int | str) -> Any:
    """Return what stands at a step; None where it is missing."""
    if isinstance(data, dict):
        return data.get(step)
    return data[step] if isinstance(step, int) and step < len(data) else None
