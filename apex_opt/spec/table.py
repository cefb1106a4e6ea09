"""The base of every TOML table, and the small types that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")


class Table(BaseModel):
    """A TOML table: unknown keys are errors, values never change, numbers are finite.

    Nothing is converted: `"8"` is no number and `true` is not 1; but 8 is as good as 8.0.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )


@dataclass(frozen=True)
class Expected:
    """What to write for a value, in words, where its type alone would not say it well."""

    words: str


class OneOrMany:
    """A list that may be written as a lone value: a list is a choice, a value a choice of one."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the list's schema, with lone values made lists of one."""
        return core_schema.no_info_before_validator_function(as_tuple, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return what an editor may accept: an element, or a list of them."""
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


def as_tuple(value: object) -> object:
    """Return a TOML value as a tuple: a list is a choice, a lone value a choice of one."""
    whole = frozen(value)
    return whole if isinstance(whole, tuple) else (whole,)


def frozen(value: Any) -> Any:
    """Return a parsed value with tuples for its lists, all the way down, as the tables have them.

    The tables are strict, so they take no list where a tuple stands; JSON is excused from this, but
    not beyond a function that looks at the value first.
    """
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return value


def _printable(name: str) -> str:
    """Return a name as it is, if it can be shown in a line."""
    if not name.isprintable():
        raise ValueError("must have no control characters")
    if not name.strip():
        raise ValueError("must not be blank")
    return name


Choice = Annotated[tuple[T, ...], Field(min_length=1, max_length=64), OneOrMany()]
"""One value, or a list of values among which the solver chooses."""

Count = Annotated[int, Field(ge=1, le=10**9)]
Positive = Annotated[float, Field(gt=0, le=1e18)]
NonNegative = Annotated[float, Field(ge=0, le=1e18)]
Rate = Annotated[float, Field(ge=1e-3, le=1e18)]
"""What hardware does in a second, in units of its data sheet: so little that steps have an end."""

Latency = Annotated[float, Field(ge=0, le=1e9)]
"""Microseconds, up to a quarter of an hour."""

Slowdown = Annotated[float, Field(ge=0, le=1000)]
"""How many times longer something takes, on top of once."""

Fraction = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
