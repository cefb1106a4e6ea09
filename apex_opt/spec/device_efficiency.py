"""What a device reaches of its data sheet: one curve an operator and number format.

A curve has few numbers, each with a meaning; `apexopt calibrate` fits them to measured kernels. The
formulas stand in `apex_opt.cost.curves`. Defaults are priors: what a usual device reaches.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apex_opt.spec.table import Fraction, NonNegative, Positive, Table

ProductFormat = Literal[
    "fp32", "fp16", "bf16", "fp8", "fp8-block", "int8", "fp4", "weight-only-8", "weight-only-4"
]
"""How a matrix product runs: in one precision, or in 16 bits with narrower weights."""

AttentionFormat = Literal["bf16", "fp8"]
"""How attention runs: over a cache of 16 or of 8 bits."""

Percent = Annotated[float, Field(ge=0, le=1000)]
Errors = Annotated[tuple[Percent, ...], Field(min_length=2, max_length=2)]


class Curve(Table):
    """What all curves say."""

    error: Errors | None = Field(
        None,
        description="Median and 90th percentile of the error on shapes left out of the fit, "
        "percent; none: a prior.",
    )


class Product(Curve):
    """Matrix products (m, k) x (k, n) of one format.

    Time = floor + (C^blend + B^blend)^(1/blend) + depth k / 128, with B = bytes / (bandwidth x
    memory) and C = 2 n k max(m, 64, fill / n) / (peak x compute); and input x m k where it
    quantises its inputs.
    """

    compute: Fraction = Field(0.6, description="Share of the dense peak.")
    memory: Fraction = Field(0.75, description="Share of memory bandwidth when weights stream.")
    floor_us: NonNegative = Field(4.0, description="Shortest time.")
    blend: Annotated[float, Field(ge=1, le=100)] = Field(
        4.0, description="How sharply compute and memory time change over; 1: they add up."
    )
    fill_outputs: NonNegative = Field(
        60_000.0, description="Outputs that occupy the device; fewer take as long."
    )
    depth_ns: NonNegative = Field(35.0, description="Time of 128 of the inner dimension.")
    input_ps: NonNegative = Field(
        0.0, description="Time of an input number that is quantised, timed with the product."
    )


class Prefill(Curve):
    """Attention of prompts.

    Time = floor + (W^blend + L^blend)^(1/blend), with L = length x tokens of the longest prompt and
    W = the greater of operations / (peak x compute) and score x pairs x heads, and on top of it
    bytes of queries, keys, values and outputs / (bandwidth x memory).
    """

    compute: Fraction = Field(0.45, description="Share of the dense peak.")
    memory: Fraction = Field(0.35, description="Share of memory bandwidth for inputs and outputs.")
    floor_us: NonNegative = Field(13.0, description="Shortest time.")
    length_ns: NonNegative = Field(8.0, description="Time by token of the longest prompt.")
    score_ps: NonNegative = Field(
        0.0,
        description="Time of a query, a key and a head at least, however narrow the heads: each "
        "takes an exponential; 0: not known apart from `compute`.",
    )
    blend: Annotated[float, Field(ge=1, le=100)] = Field(
        1.0, description="How the pace of the longest prompt joins the work of all; 1: they add up."
    )


class Decode(Curve):
    """Attention of one token a sequence over its cache, over a window of it, or to a state.

    Time = floor + ramp (1 - exp(-bytes / ramp bytes)) + head x heads + query x query heads +
    max(bytes / (bandwidth x memory), token x tokens of a sequence); heads are those of all
    sequences: key-value heads, or value heads of a state.
    """

    memory: Fraction = Field(0.85, description="Share of memory bandwidth that large reads reach.")
    floor_us: NonNegative = Field(10.0, description="Shortest time.")
    ramp_us: NonNegative = Field(10.0, description="What large reads take beyond that rate.")
    ramp_mb: Positive = Field(100.0, description="Cache, 1e6 bytes, over which that sets in.")
    head_ns: NonNegative = Field(0.0, description="Time by head of a sequence.")
    query_ns: NonNegative = Field(
        0.0,
        description="Time by query head of a sequence, where a kernel takes each by itself, as "
        "FlashAttention-2 does with a window.",
    )
    token_ns: NonNegative = Field(
        0.0,
        description="Time by token of a sequence: how fast one cache is read, however idle the "
        "device. Kernels that do not split it over the device take ten times as long.",
    )
    cached_mb: NonNegative = Field(
        0.0,
        description="Cache, 1e6 bytes, that the L2 cache held from one repeat to the next while "
        "this was measured. In service other layers pass in between: planning takes it as 0.",
    )


class LatentDecode(Decode):
    """Latent attention of one token a sequence: all query heads score one cached vector a token.

    As `Decode`, by query heads of all sequences, with (C^blend + B^blend)^(1/blend) in place of the
    time B of the bytes: C = operations / (peak x compute).
    """

    compute: Fraction = Field(0.65, description="Share of the dense peak.")
    blend: Annotated[float, Field(ge=1, le=100)] = Field(
        7.0, description="How sharply compute and memory time change over; 1: they add up."
    )


class ExpertProduct(Curve):
    """The routed experts of a layer, all kernels from permutation to summing up.

    Time = floor + (C^blend + B^blend)^(1/blend) + visit x visits x hidden / 4096: C and B
    count the experts that are touched.
    """

    compute: Fraction = Field(0.6, description="Share of the dense peak.")
    memory: Fraction = Field(0.75, description="Share of memory bandwidth.")
    floor_us: NonNegative = Field(30.0, description="Shortest time.")
    blend: Annotated[float, Field(ge=1, le=100)] = Field(
        1.8, description="How sharply compute and memory time change over; 1: they add up."
    )
    visit_ns: NonNegative = Field(
        12.0, description="Permuting and summing, by token and expert, at 4,096 of hidden size."
    )


class PowerUse(Curve):
    """Power above idle, as a share of what lies between idle and the limit.

    Share = active + min(1 - active, max(compute x utilisation, memory x utilisation)).
    """

    compute: NonNegative = Field(1.7, description="Share at full compute utilisation.")
    memory: NonNegative = Field(0.6, description="Share at full bandwidth utilisation.")
    active: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Share that any running kernel draws."
    )
    communication: Annotated[float, Field(ge=0, le=1)] = Field(
        0.2, description="Share that a collective draws."
    )
    source: str = Field("prior: H200 as measured", description="Data of the fit, or `prior`.")


def _usual_products() -> dict[ProductFormat, Product]:
    return {"bf16": Product()}


def _usual_experts() -> dict[ProductFormat, ExpertProduct]:
    return {"bf16": ExpertProduct()}


def _usual_prefill() -> dict[AttentionFormat, Prefill]:
    return {"bf16": Prefill()}


def _usual_decode() -> dict[AttentionFormat, Decode]:
    return {"bf16": Decode()}


class Efficiency(Table):
    """What a device reaches of its data sheet; the priors of its class where it is not measured."""

    products: dict[ProductFormat, Product] = Field(
        default_factory=_usual_products,
        min_length=1,
        description="Matrix products, by format; a format that is missing runs as the nearest.",
    )
    experts: dict[ProductFormat, ExpertProduct] = Field(
        default_factory=_usual_experts,
        min_length=1,
        description="Routed experts, by format; a format that is missing runs as the nearest.",
    )
    prefill: dict[AttentionFormat, Prefill] = Field(
        default_factory=_usual_prefill,
        min_length=1,
        description="Attention of prompts, by format; without fp8: in 16 bits.",
    )
    decode: dict[AttentionFormat, Decode] = Field(
        default_factory=_usual_decode,
        min_length=1,
        description="Attention of decoding sequences, by format of the cache.",
    )
    latent_prefill: dict[AttentionFormat, Prefill] = Field(
        {}, description="Latent attention of prompts, in 16 bits; none: as `prefill`."
    )
    latent_decode: dict[AttentionFormat, LatentDecode] = Field(
        {}, description="Latent attention of decoding sequences; none: as `decode`."
    )
    sparse_prefill: dict[AttentionFormat, Prefill] = Field(
        {},
        description="Sparse latent attention of prompts, in 16 bits: absorbed, each query with "
        "tokens of its own; none: as `latent_prefill`.",
    )
    window_prefill: dict[AttentionFormat, Prefill] = Field(
        {}, description="Attention of prompts to a window; none: as `prefill`."
    )
    window_decode: dict[AttentionFormat, Decode] = Field(
        {}, description="Attention of decoding sequences to a window; none: as `decode`."
    )
    linear_prefill: dict[AttentionFormat, Prefill] = Field(
        {}, description="Prompts that pass a recurrent state, in 16 bits; none: as `prefill`."
    )
    linear_decode: dict[AttentionFormat, Decode] = Field(
        {}, description="Decoding sequences that pass a recurrent state; none: as `decode`."
    )
    mixed_rows: Annotated[int, Field(ge=0, le=1024)] = Field(
        0,
        description="Rows of queries whose time a decoding sequence takes in an attention kernel "
        "that it shares with prompts; 0: no more than in one of its own. Tiles of FlashAttention-2 "
        "have 64 and take as long as 84 rows of prompts.",
    )
    power: PowerUse = Field(default_factory=PowerUse, description="Power by utilisation.")
    elementwise_memory: Fraction = Field(
        0.7, description="Share of memory bandwidth of norms, activations and sums."
    )
    error_band: Fraction = Field(
        0.4, description="Stated error of the time of a step's kernels: 0.4 is 40 percent."
    )
    source: str = Field("prior", description="Data of the fits, or `prior`.")
