"""Number formats of weights and of the KV cache."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from apex_opt.spec.pools import Precision
from apex_opt.spec.table import Choice, Count, Name, NonNegative, Positive, Table


class WeightFormat(Table):
    """How weights are stored, and in which precision their products are computed."""

    name: Name = Field(description="Name, as a spec refers to it.")
    aliases: tuple[Name, ...] = Field((), description="Other names.")
    bits: Positive = Field(description="Bits of a weight, scales included.")
    compute: Precision | Literal["activation"] = Field(
        description="Precision of the product; `activation`: weights are expanded to 16 bits first."
    )
    fallback: Literal["none", "weight-only"] = Field(
        "none",
        description="On a device without that precision: not served, or computed in 16 bits.",
    )
    applies_to: Literal["all", "linear", "experts"] = Field(
        description="Weights in this format; the others stay in 16 bits."
    )
    block: Count | None = Field(None, description="Rows and columns that share a scale.")
    group: Count | None = Field(None, description="Input channels that share a scale.")
    source: str = Field("", description="Where the figures come from.")


class KvFormat(Table):
    """How keys and values are stored."""

    name: Name = Field(description="Name, as a spec refers to it.")
    aliases: tuple[Name, ...] = Field((), description="Other names.")
    bytes_per_element: Positive = Field(description="Bytes of one number, scales included.")
    needs: Precision | None = Field(None, description="Precision that the device must have.")
    source: str = Field("", description="Where the figures come from.")


class Quantization(Table):
    """The formats among which the solver may choose."""

    weights: Choice[WeightFormat] | None = Field(
        None, description="Formats of the weights; default: the checkpoint's own."
    )
    kv_cache: Choice[KvFormat] | None = Field(
        None, description="Formats of the KV cache; default: 16 bits."
    )
    usd_per_million_tokens: dict[Name, NonNegative] = Field(
        default_factory=dict,
        description="What the loss of quality of a format is worth to you, by its name: added to "
        'the cost for every million output tokens, where `minimize = "cost"`.',
    )

    def usd_per_token(self, weights: WeightFormat, kv_cache: KvFormat) -> float:
        """Return what the quality lost by a token is worth, USD."""
        lost = self.usd_per_million_tokens
        return sum(lost.get(known.name, 0.0) for known in (weights, kv_cache)) / 1e6
