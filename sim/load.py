"""The requests of a run, as columns, and what their prompts have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from apex_opt.sim.steps import Int64


def nothing() -> Int64:
    """Return a column that is left out."""
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Prefixes:
    """A tree of the beginnings that prompts share: system prompts, documents, repeated prompts.

    Attributes:
        parent: (m,) int64, the node above, less than the node's own number; -1: it starts a prompt.
        tokens: (m,) int64, tokens from the start of the prompt to the end of the node, more than
            those of its parent.
    """

    parent: Int64 = field(default_factory=nothing)
    tokens: Int64 = field(default_factory=nothing)

    def __len__(self) -> int:
        return len(self.parent)


@dataclass(frozen=True)
class Load:
    """Requests in order of arrival. Columns of length 0 are left out.

    Attributes:
        arrival_ns: (n,) int64, not decreasing. Ignored where another request must end first: past
            the first `concurrency` of a closed loop, and where `after` names one.
        prompt_tokens: (n,) int64, at least 1.
        output_tokens: (n,) int64, at least 1.
        concurrency: 0 for an open loop; else that many clients: each sends the next request of
            the list when its last one ends. A client plays a whole session before it goes on.
        prefix: (n,) int64, the node of `prefixes` with which the prompt begins, or -1. A request
            that has an `after` has no prefix of its own: -1.
        prefixes: what prompts share. A node has at most the tokens of the prompts that begin
            with it.
        after: (n,) int64, the request before it in the same session, an earlier one and of at most
            one request; or -1. Its prompt and output are the beginning of this prompt.
        think_ns: (n,) int64, time from the end of `after` to the arrival of this one.
        priority: (n,) int64, lower is served first where the engine's order is by priority.
        encoder_tokens: (n,) int64, what an encoder reads for the request when it is admitted,
            beside its prompt: patches of images, frames, the input of an encoder-decoder model.
    """

    arrival_ns: Int64
    prompt_tokens: Int64
    output_tokens: Int64
    concurrency: int = 0
    prefix: Int64 = field(default_factory=nothing)
    prefixes: Prefixes = field(default_factory=Prefixes)
    after: Int64 = field(default_factory=nothing)
    think_ns: Int64 = field(default_factory=nothing)
    priority: Int64 = field(default_factory=nothing)
    encoder_tokens: Int64 = field(default_factory=nothing)

    def __len__(self) -> int:
        return len(self.arrival_ns)

    @property
    def opens(self) -> Int64:
        """The requests that wait for no other: of each session the first."""
        if not len(self.after):
            return np.arange(len(self))
        return np.flatnonzero(self.after < 0)

    def worst(self) -> Load:
        """Return one request with the most of each: whoever takes it rejects none of these."""

        def most(column: Int64) -> Int64:
            return column.max(keepdims=True) if len(column) else column

        prompt = most(self.prompt_tokens)
        return Load(
            arrival_ns=most(self.arrival_ns),
            prompt_tokens=prompt,
            output_tokens=most(self.prompt_tokens + self.output_tokens) - prompt,
            encoder_tokens=most(self.encoder_tokens),
        )

    def take(self, index: Int64) -> Load:
        """Return the requests at `index`, in that order; whole sessions only."""

        def column(values: Int64) -> Int64:
            return np.ascontiguousarray(values[index]) if len(values) else values

        after = column(self.after)
        if len(after):
            place = np.full(len(self) + 1, -1, np.int64)  # the last stands for "none"
            place[index] = np.arange(len(index))
            after = place[after]
        return Load(
            arrival_ns=column(self.arrival_ns),
            prompt_tokens=column(self.prompt_tokens),
            output_tokens=column(self.output_tokens),
            concurrency=self.concurrency,
            prefix=column(self.prefix),
            prefixes=self.prefixes,
            after=after,
            think_ns=column(self.think_ns),
            priority=column(self.priority),
            encoder_tokens=column(self.encoder_tokens),
        )
