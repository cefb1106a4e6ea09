"""The base of every TOML table, and the small types that they share."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

T = TypeVar("T")


class Table(BaseModel):
    """A TOML table: unknown keys are errors, values never change, numbers are finite."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )


def as_tuple(value: object) -> object:
    """Return a TOML value as a tuple: a list is a choice, a lone value a choice of one."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


Choice = Annotated[tuple[T, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=64)]
"""One value, or a list of values among which the solver chooses."""

Count = Annotated[int, Field(ge=1, le=10**9)]
Positive = Annotated[float, Field(gt=0, le=1e18, strict=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e18, strict=False)]
Fraction = Annotated[float, Field(gt=0, le=1, strict=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
