"""What the admission of a request takes, and whether there is room for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sim.twin_request import Batch, Request

if TYPE_CHECKING:
    from tests.sim.twin import Twin


class Admission:
    """The admission of `r` to `batch`, looked at: nothing changes.

    Attributes:
        hits: blocks of the prompt in the cache; the last one is computed again, in its place, if
            it is that of the last token.
        loads: how many more are fetched from host memory.
        hit: tokens that need not be computed.
        chunk: tokens of the prompt that run at once.
        holds: blocks that the sequence holds at first, `hits` among them.
    """

    def __init__(self, twin: Twin, r: Request, batch: Batch) -> None:
        self.twin, self.r, self.batch = twin, r, batch
        rules, cache = twin.rules, twin.cache
        found = []
        if rules.prefix_caching:
            most = (r.tokens - 1) // rules.block_tokens
            found = cache.find(r.path, r.tokens // rules.block_tokens)
            if len(found) > most and found[-1] not in cache.here:
                found.pop()
        self.hits = [block for block in found if block in cache.here]
        self.loads = len(found) - len(self.hits)
        self.hit = min(len(found), (r.tokens - 1) // rules.block_tokens) * rules.block_tokens
        self.chunk = min(r.tokens - self.hit, twin.budget(batch))
        most = r.prompt + r.output - 1 if rules.reserve_output else self.hit + self.chunk
        self.holds = twin.held(r, most)

    def possible(self) -> bool:
        twin, rules = self.twin, self.twin.rules
        rest = self.r.tokens - self.hit
        if not rules.chunked_prefill and self.chunk < min(rest, rules.max_batch_tokens):
            return False
        read = [n for n in self.batch.read if n]
        if self.r.encoder and read and sum(read) + self.r.encoder > rules.max_batch_tokens:
            return False
        if not twin.running:
            return self.gate() <= twin.free
        gate = self.owed_gate() if rules.owed_ppm else self.gate()
        return gate + rules.watermark_blocks <= twin.free

    def gate(self) -> int:
        """Return the blocks that must be free: those taken, or those of the whole prompt."""
        rules = self.twin.rules
        blocks = self.holds
        if rules.full_sequence_gate and not rules.reserve_output:
            blocks = self.twin.held(self.r, self.r.tokens)
        return blocks - len(self.hits) + self.twin.cache.pins(self.r.path)

    def owed_gate(self) -> int:
        """Return the same with what this and others have still to sample."""
        r, twin = self.r, self.twin
        tokens = r.tokens - len(self.hits) * twin.rules.block_tokens + min(r.left, 4096)
        tokens += self.batch.promised + twin.owed()
        return twin.held(r, tokens) + twin.cache.pins(r.path)
