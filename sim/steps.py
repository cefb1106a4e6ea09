"""What one engine step costs: the table that the simulator reads, in integers.

A step runs `n` tokens, of which some decode (one token of each running sequence) and some prefill
(chunks of prompts). On each pipeline stage s its time is

    decode_ns[s, n]  (or mixed_ns[s, n] if any prompt token is in the batch)
    + rows_ns[s, r]                       r sequences sample a token at the end of this step
    + (context_fs[s] C + window_fs[s] min(C, b W)
       + pair_fs[s] Q + window_pair_fs[s] min(Q, p W) + history_fs[s] H
       + encoder_pair_fs[s] E) / 10^6, rounded down
    + (mixed_context_fs[s] C + mixed_window_fs[s] min(C, b W)) / 10^6    if it has prompt tokens
    + draft_ns[b]                         on the first stage: guesses for b decoding sequences
    + encoder_ns[s, e]                    e tokens that the encoder reads for the requests admitted;
                                          past the table's end, passes over all of it and the rest

with  b  decoding sequences, C the sum of their contexts (tokens in the cache, this one included),
      p  prompt tokens in the batch, Q = sum over chunks of c (2 h + c + 1) / 2 (query-key pairs: a
         chunk of c tokens after h earlier ones),  H = sum over chunks of h,
      E  sum over these requests of the square of their encoder tokens,
      W  the window of sliding-window layers; min(C, b W) bounds the sum of min(context, W) from
         above.

Products are integers in femtoseconds; their sum is divided down once, per stage, so that a step's
time is the same in any order of summation. Energy has the same shape, in joules above idle, over
all devices of the replica.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]


def no_times() -> Int64:
    """Return a column that is left out: zeros."""
    return np.empty(0, np.int64)


def no_joules() -> Float64:
    """Return a column that is left out: zeros."""
    return np.empty(0, np.float64)


@dataclass(frozen=True, eq=False)
class StepTable:
    """Time and energy of a step, by pipeline stage. Arrays are C-contiguous and never written.

    Stages that are alike may share a row: the middle ones of a pipeline are.

    Attributes:
        decode_ns: (rows, max_tokens + 1) int64, a step with decoding sequences only.
        mixed_ns: (rows, max_tokens + 1) int64, a step with prompt tokens.
        rows_ns: (rows, max_seqs + 1) int64, sampled rows: head, sampler, per-sequence overhead.
        context_fs: (rows,) int64, per cached token read by decode attention.
        window_fs: (rows,) int64, the same for sliding-window layers.
        window_tokens: W, tokens; any positive number where no layer has a window.
        pair_fs: (rows,) int64, per query-key pair of prefill attention.
        window_pair_fs: (rows,) int64, the same for sliding-window layers.
        hop_ns: (rows, max_tokens + 1) int64, sending n tokens to the next stage; zero for the last.
        decode_j, mixed_j: (max_tokens + 1,) float64, energy of all devices of the replica, joules.
        rows_j: (max_seqs + 1,) float64.
        context_j, window_j, pair_j, window_pair_j: joules a token or pair.
        idle_w: watts of the replica while no step runs.
        history_fs: (rows,) int64, per token that a chunk of a prompt finds in the cache: reading
            it, and with MLA projecting it up. Length 0: none.
        history_j: joules a token of them.
        mixed_context_fs: (rows,) int64, what decode attention takes more per cached token where
            it shares a kernel with prompts. Length 0: none.
        mixed_window_fs: (rows,) int64, the same for sliding-window layers. Length 0: none.
        mixed_context_j, mixed_window_j: joules a token of them.
        draft_ns: (max_seqs + 1,) int64, guessing ahead for b decoding sequences. Length 0: none.
        draft_j: (max_seqs + 1,) float64, its energy. Length 0: none.
        encoder_ns: (rows, max_tokens + 1) int64, the encoder's pass over e tokens, 0 for none.
            Length 0: there is no encoder.
        encoder_j: (max_tokens + 1,) float64, its energy. Length 0: none.
        encoder_pair_fs: (rows,) int64, per query-key pair of an input of any length.
            Length 0: none.
        encoder_pair_j: joules a pair of them.
        row: (stages,) int64, the row of each stage. Length 0: as many stages as rows, in order.
    """

    decode_ns: Int64
    mixed_ns: Int64
    rows_ns: Int64
    context_fs: Int64
    window_fs: Int64
    window_tokens: int
    pair_fs: Int64
    window_pair_fs: Int64
    hop_ns: Int64
    decode_j: Float64
    mixed_j: Float64
    rows_j: Float64
    context_j: float
    window_j: float
    pair_j: float
    window_pair_j: float
    idle_w: float
    history_fs: Int64 = field(default_factory=no_times)
    history_j: float = 0.0
    mixed_context_fs: Int64 = field(default_factory=no_times)
    mixed_window_fs: Int64 = field(default_factory=no_times)
    mixed_context_j: float = 0.0
    mixed_window_j: float = 0.0
    draft_ns: Int64 = field(default_factory=no_times)
    draft_j: Float64 = field(default_factory=no_joules)
    encoder_ns: Int64 = field(default_factory=no_times)
    encoder_j: Float64 = field(default_factory=no_joules)
    encoder_pair_fs: Int64 = field(default_factory=no_times)
    encoder_pair_j: float = 0.0
    row: Int64 = field(default_factory=no_times)

    @property
    def stages(self) -> int:
        """Pipeline stages."""
        return len(self.row) or len(self.decode_ns)

    @property
    def row_of(self) -> Int64:
        """(stages,) the row of each stage."""
        return self.row if len(self.row) else np.arange(len(self.decode_ns))

    def over_stages(self, column: Int64) -> Int64:
        """Return the sum over all stages of an array by rows; of one that is left out, zero."""
        if not len(column):
            return np.zeros(column.shape[1:], np.int64)
        return np.asarray(np.bincount(self.row_of, minlength=len(column)) @ column)

    def unshared(self) -> StepTable:
        """Return the same table with a row for each stage."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        rows = {
            name: array[self.row_of]
            for name, array in arrays.items()
            if name.endswith(("_ns", "_fs")) and name != "draft_ns" and len(array)
        }
        return replace(self, **rows, row=no_times())

    @property
    def max_tokens(self) -> int:
        """Largest batch, tokens."""
        return int(self.decode_ns.shape[1]) - 1

    @property
    def max_seqs(self) -> int:
        """Most sequences."""
        return int(self.rows_ns.shape[1]) - 1
