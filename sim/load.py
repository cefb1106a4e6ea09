"""The requests of a run, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apex_opt.sim.steps import Int64


@dataclass(frozen=True)
class Load:
    """Requests in order of arrival.

    Attributes:
        arrival_ns: (n,) int64, not decreasing. In a closed loop: ignored past the first
            `concurrency`.
        prompt_tokens: (n,) int64, at least 1.
        output_tokens: (n,) int64, at least 1.
        concurrency: 0 for an open loop; else that many clients: each sends the next request of
            the list when its last one ends.
    """

    arrival_ns: Int64
    prompt_tokens: Int64
    output_tokens: Int64
    concurrency: int = 0

    def __len__(self) -> int:
        return len(self.arrival_ns)

    def take(self, index: Int64) -> Load:
        """Return the requests at `index`, in that order."""
        return Load(
            np.ascontiguousarray(self.arrival_ns[index]),
            np.ascontiguousarray(self.prompt_tokens[index]),
            np.ascontiguousarray(self.output_tokens[index]),
            self.concurrency,
        )
