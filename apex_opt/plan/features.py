"""What the traffic asks of any replica: features, summed over its requests.

For a request of p prompt and o output tokens (the last one is sampled, never processed), of whose
prompt c tokens are computed, the last ones; its d = o - 1 decoded tokens come in n steps:

    requests   1
    prompt     c
    decode     d
    context    sum over the n steps of the cached tokens up to the last token of each
    pairs      query-key pairs of its prefill: sum over computed tokens i of i
    window     sum over the n steps of min(cached tokens, W)
    windowed   sum over computed tokens i of min(i, W)
    encoder    e, the tokens that an encoder reads for it
    squares    e^2
    paced      d of those that are sure to keep a level on the time per token (`apex_opt.plan.pace`)

Without prefix caching c = p, and n = d without guesses: step k reads p + k tokens. With caching c
is the least that must be computed (`apex_opt.plan.content`). With g guesses a step yields up to
1 + g tokens, so n = ceil(d / (1 + g)), of which the first may be the short one. Where replicas
differ in this, features are those of the replica that does least.

Where a sequence keeps what the encoder has read (encoder-decoder models), each of its n steps reads
e tokens more.

Whatever a scheduler does, it must process these. Sums are exact Python integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from apex_opt.plan.content import Content, content
from apex_opt.plan.pace import Pace
from apex_opt.sim.load import Load
from apex_opt.sim.steps import Int64

FEATURES = (
    "requests",
    "prompt",
    "decode",
    "context",
    "pairs",
    "window",
    "windowed",
    "encoder",
    "squares",
    "paced",
)
OF_PROMPTS = ("requests", "prompt", "pairs", "windowed", "encoder", "squares")
PREFILL = frozenset(FEATURES.index(name) for name in OF_PROMPTS)
"""What replicas serve that prefill; those that decode serve the others."""

PROMPT = (FEATURES.index("prompt"), FEATURES.index("pairs"), FEATURES.index("windowed"))


def _triangle(n: Int64) -> Int64:
    return np.asarray(n * (n + 1) // 2, dtype=np.int64)


def capped_sum(low: Int64, high: Int64, cap: int) -> Int64:
    """Return sum of min(i, cap) for i in low + 1 .. high, elementwise."""

    def below(n: Int64) -> Int64:
        small = np.minimum(n, cap)
        return np.asarray(_triangle(small) + (n - small) * cap, dtype=np.int64)

    return np.asarray(below(high) - below(low), dtype=np.int64)


@dataclass(frozen=True)
class Least:
    """What the replicas of a plan may save, and what their encoder does.

    Attributes:
        caching: whether prefixes are cached.
        drafts: most tokens guessed ahead.
        samples: consecutive requests of the load that are the samples of one.
        cross_cache, max_encoder_tokens: as of the engine's rules.
        max_prompt_tokens: of the longest prompt that some replica takes; 0: as long as a request.
    """

    caching: bool = False
    drafts: int = 0
    samples: int = 1
    cross_cache: bool = False
    max_encoder_tokens: int = 0
    max_prompt_tokens: int = 0


@dataclass(frozen=True)
class Features:
    """Features per request, one column each, of the requests that can be served at all.

    Attributes:
        columns: (10, n) int64, in the order of `FEATURES`.
        totals: their sums; of those that all replicas take, where some reject what others take
            and a plan must serve all.
        alone: (3, n) int64, prompt, pairs and windowed of what a request must compute itself.
        steps: (n,) int64, least steps in which it decodes.
        prompts: (n,) int64, prompt tokens, computed or not.
        private: least share of a request's context that no running request shares.
        samples: consecutive columns that are the samples of one request.
        pace_ns: the level on the time per token that `paced` tokens keep.
    """

    columns: Int64
    totals: tuple[int, ...]
    alone: Int64
    steps: Int64
    prompts: Int64
    private: float = 1.0
    samples: int = 1
    pace_ns: float = math.inf

    @property
    def present(self) -> tuple[int, ...]:
        """The features of which there is any, the first three always: numbers in `FEATURES`."""
        return tuple(j for j, total in enumerate(self.totals) if total or j < 3)

    @property
    def decode(self) -> Int64:
        """Output tokens after the first, per request."""
        column: Int64 = self.columns[2]
        return column

    @property
    def served(self) -> int:
        """Requests that can be served, samples not counted."""
        return int(self.columns.shape[1]) // self.samples


def features(
    load: Load,
    max_model_tokens: int,
    window_tokens: int,
    least: Least | None = None,
    paced: Callable[[Int64], Pace | None] = lambda _: None,
) -> Features:
    """Return the features of the requests that fit `max_model_tokens`; longer ones are rejected.

    Args:
        load: the requests.
        max_model_tokens: of the longest request that some replica takes.
        window_tokens: W.
        least: what the replicas may save; None: nothing.
        paced: gives the pace that levels ask for, of the decoded tokens of each request.
    """
    least = least or Least()
    served = fits(load, max_model_tokens, least)
    load = load.take(np.flatnonzero(served))
    p, d = load.prompt_tokens, load.output_tokens - 1
    e = load.encoder_tokens if len(load.encoder_tokens) else np.zeros_like(p)
    kept = e if least.cross_cache else np.zeros_like(p)
    found = content(load) if least.caching else Content(p, p, np.zeros_like(p))
    steps, asked = -(-d // (1 + least.drafts)), paced(d)
    columns = np.stack(
        [
            np.ones_like(p),
            found.own,
            d,
            _read(p, d, steps, least.drafts) + kept * steps,
            _triangle(p) - _triangle(p - found.own),
            _read(p, d, steps, least.drafts, window_tokens),
            capped_sum(p - found.own, p, window_tokens),
            e,
            e * e,
            np.zeros_like(d) if asked is None else asked.tokens,
        ]
    )
    alone = columns[list(PROMPT)]
    if least.caching:
        pairs = _triangle(p) - _triangle(p - found.alone)
        alone = np.stack([found.alone, pairs, capped_sum(p - found.alone, p, window_tokens)])
    reads = d > 0
    # With guesses a sequence may take more steps than the least, at shorter contexts.
    context = columns[3] / np.maximum(d, 1) if least.drafts == 0 else p + 1.0
    private = float(np.min(1.0 - found.shared[reads] / context[reads], initial=1.0))
    whole = np.ascontiguousarray(columns)
    pace_ns = math.inf if asked is None else asked.limit_ns
    return Features(whole, sums(columns), alone, steps, p, private, least.samples, pace_ns)


def sums(columns: Int64) -> tuple[int, ...]:
    """Return the sum of each column, exactly."""
    return tuple(int(sum(column.tolist())) for column in columns)


def fits(load: Load, max_model_tokens: int, least: Least) -> np.ndarray:
    """Return (n,) which requests fit, with all their samples."""
    fit = load.prompt_tokens + load.output_tokens <= max_model_tokens
    if least.max_prompt_tokens:
        fit &= load.prompt_tokens <= least.max_prompt_tokens
    if least.max_encoder_tokens and len(load.encoder_tokens):
        fit &= load.encoder_tokens <= least.max_encoder_tokens
    if least.samples > 1:
        fit = np.repeat(fit.reshape(-1, least.samples).all(axis=1), least.samples)
    return np.asarray(fit)


def _read(p: Int64, d: Int64, steps: Int64, drafts: int, cap: int | None = None) -> Int64:
    """Return the cached tokens that decoding reads, at most `cap` in a step.

    Step j of n ends with at least d - (1 + g) (n - j) tokens decoded.
    """
    if drafts == 0:
        return d * p + _triangle(d) if cap is None else capped_sum(p, p + d, cap)
    last, stride = p + d, 1 + drafts
    if cap is None:
        return np.asarray(steps * last - stride * (steps * (steps - 1) // 2), dtype=np.int64)
    # The steps of which the context is longer than the cap are the last ones.
    over = np.clip(-(-(last - cap) // stride), 0, steps)
    under, first = steps - over, last - stride * over
    below = under * first - stride * (under * (under - 1) // 2)
    return np.asarray(over * cap + below, dtype=np.int64)
