"""Speculative decoding: tokens that are guessed ahead, and what guessing costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apex_opt.spec.table import Name, Slowdown, Table

Method = Literal["ngram", "draft_model", "eagle", "mtp"]


class Speculation(Table):
    """Guess tokens ahead, keep those that turn out right.

    Each decoding sequence runs `tokens` guesses beside its next token in every step. The first
    wrong one ends those that count.
    """

    method: Method = Field(
        description="ngram: looked up in the text so far, for nothing; draft_model: by a smaller "
        "model; eagle, mtp: by one more layer of the model with its head."
    )
    tokens: Annotated[int, Field(ge=1, le=32)] = Field(description="Guesses in a step.")
    acceptance: Annotated[float, Field(ge=0, le=1)] = Field(
        description="Chance that a guess is right if those before it were."
    )
    model: Name | None = Field(
        None, description="The smaller model, a name of the catalogue; of draft_model alone."
    )
    draft_cost: Slowdown | None = Field(
        None,
        description="Time of one guess, as a share of a step of the model for as many sequences; "
        "default: that of the smaller model, or of the layer, and none for ngram.",
    )
