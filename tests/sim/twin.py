"""The rules of one replica once more, slow and obvious: lists of objects, no totals, no tricks.

Written from the rules, not from `sim/loop.py`; the two must agree exactly. Beside this file, the
scheduler: `twin_request` requests and batches, `twin_arrivals` who comes when, `twin_cache` the
prefix cache, `twin_admission` what an admission needs, `twin_cost` what a batch takes,
`twin_drafts` which guesses are right.
"""

from __future__ import annotations

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.steps import StepTable
from tests.sim.twin_admission import Admission
from tests.sim.twin_arrivals import Arrivals
from tests.sim.twin_cache import Cache
from tests.sim.twin_cost import send
from tests.sim.twin_drafts import guesses, right
from tests.sim.twin_request import Batch, Request, requests

MILLION = 10**6


class LivelockError(Exception):
    pass


class Twin:
    def __init__(self, load: Load, rules: EngineRules, steps: StepTable) -> None:
        self.rules, self.steps = rules, steps.unshared()
        self.depth = 2 if rules.async_scheduling and steps.stages == 1 else steps.stages
        self.requests = requests(load)
        for request in self.requests:
            request.crossed = request.encoder if rules.cross_cache else 0
            request.rejected = self.never_fits(request)
        self.arrivals = Arrivals(self.requests, load.concurrency)
        self.cache = Cache(rules.block_tokens, rules.host_blocks)
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        # Async scheduling: one cohort, in both batches. A pipeline: one for each batch in flight.
        one: list[Request] = []
        asynchronous = self.depth > steps.stages
        self.idle = [one if asynchronous else list[Request]() for _ in range(self.depth)]
        self.flying: list[Batch] = []
        self.flown: list[Batch] = []
        self.now = self.max_queue = self.peak_blocks = self.stale = self.joined = 0
        self.block_ns = self.hit_tokens = self.loaded_blocks = 0
        self.owed_ppm = rules.owed_ppm
        self.peak_w = 0.0

    # ---- blocks

    def fixed(self, r: Request) -> int:
        rules = self.rules
        most = min(-(-(r.prompt + r.output - 1) // rules.block_tokens), rules.window_limit)
        crossed = rules.token_blocks * -(-r.crossed // rules.block_tokens)
        return rules.sequence_blocks + crossed - (-most * rules.window_ppm // MILLION)

    def held(self, r: Request, tokens: int) -> int:
        rules = self.rules
        return rules.token_blocks * -(-tokens // rules.block_tokens) + self.fixed(r)

    def own(self) -> int:
        """Return the blocks that are held beside those of the prefix cache."""
        return sum(r.own for r in self.running)

    @property
    def free(self) -> int:
        return self.rules.blocks - self.own() - self.cache.in_use()

    def take(self, r: Request, blocks: int) -> None:
        """Let a running sequence hold at least so many blocks; the cache makes room."""
        r.blocks = max(r.blocks, blocks)
        self.cache.shrink(self.rules.blocks - self.own())

    def fill(self, r: Request, before: int, after: int) -> None:
        """Let the cache have the full blocks of the tokens that a sequence computes."""
        if self.rules.prefix_caching:
            r.shared += self.cache.enter(r.path, before, after)

    def release(self, r: Request) -> None:
        self.running.remove(r)
        r.blocks, r.shared = 0, []
        if self.rules.prefix_caching:
            self.cache.leave(r.path)

    def never_fits(self, r: Request) -> bool:
        too_long = r.prompt + r.output > self.rules.max_model_tokens
        too_big = self.held(r, r.prompt + r.output - 1) > self.rules.blocks
        too_wide = not self.rules.chunked_prefill and r.prompt > self.rules.max_batch_tokens
        limit = self.rules.max_encoder_tokens
        return too_long or too_big or too_wide or (limit > 0 and r.encoder > limit)

    # ---- time

    def play(self) -> Twin:
        while True:
            if self.stale >= 100 * self.rules.max_seqs:
                raise LivelockError
            if len(self.flying) < self.depth and self.schedule():
                continue
            if self.flying:
                self.land()
            elif self.running or self.waiting:
                # The batch came to nothing because who needed blocks gave way: the next one.
                self.idle.insert(0, self.idle.pop())
            elif not self.wake():
                return self

    def wake(self) -> bool:
        """Go to the next arrival, if there is one."""
        until = self.arrivals.next(self.rules.request_overhead_ns)
        if until is None:
            return False
        self.owed_ppm = self.rules.owed_ppm
        self.go(until)
        return True

    def go(self, until: int) -> None:
        self.block_ns += (self.rules.blocks - self.free) * (until - self.now)
        self.now = until
        self.arrivals.until(until)

    def land(self) -> None:
        batch = self.flying.pop(0)
        self.go(batch.finish)
        self.flown.append(batch)
        for request, _ in batch.parts:
            request.flights -= 1
            if request.over and request in self.running and not request.flights:
                batch.cohort.remove(request)
                self.release(request)
                self.arrivals.end(request, self.now)
        self.idle.append(batch.cohort)
        self.arrivals.until(self.now)

    # ---- the scheduler

    def schedule(self) -> bool:
        batch = self.pick()
        if not batch.parts:
            self.idle.append(batch.cohort)
            return False
        self.fly(batch)
        return True

    def pick(self) -> Batch:
        """Fill a batch for the cohort whose turn it is."""
        self.join_queue()
        self.max_queue = max(self.max_queue, len(self.waiting))
        batch = Batch(self.idle.pop())
        if self.rules.prefill_first:
            self.prompts_or_decodes(batch)
        else:
            self.decodes_and_prompts(batch)
        if batch.parts:
            self.peak_blocks = max(self.peak_blocks, self.rules.blocks - self.free)
        elif batch.calm and self.waiting and not self.running and self.free == self.rules.blocks:
            raise LivelockError  # nothing will ever make room
        return batch

    def join_queue(self) -> None:
        outside = self.arrivals.outside
        while outside and outside[0].arrival + self.rules.request_overhead_ns <= self.now:
            self.waiting.append(outside.pop(0))
            self.waiting[-1].number = self.joined
            self.joined += 1

    def ready(self, batch: Batch) -> list[Request]:
        return [r for r in batch.cohort if not r.over]

    def budget(self, batch: Batch) -> int:
        return self.rules.max_batch_tokens - batch.tokens

    def decodes_and_prompts(self, batch: Batch) -> None:
        """Fill a batch with all that decode, the rest of a prompt, and the head of the queue."""
        partial = [r for r in self.ready(batch) if not r.decoding]
        self.decode(batch)
        self.run(partial, batch)
        self.admit(batch)

    def prompts_or_decodes(self, batch: Batch) -> None:
        """Fill a batch with prompts; if there are none that can run, decode."""
        decoding = [r for r in self.ready(batch) if r.decoding]
        partial = [r for r in self.ready(batch) if not r.decoding]
        for r in partial:
            chunk = min(r.tokens - r.computed, self.budget(batch))
            if self.held(r, r.computed + chunk) - r.blocks <= self.free or not decoding:
                self.run([r], batch)
        if all(r in [part for part, _ in batch.parts] for r in partial):
            self.admit(batch)
        if not batch.parts:
            self.decode(batch)

    def decode(self, batch: Batch) -> None:
        """Let all decode."""
        decoding = [r for r in self.ready(batch) if r.decoding]
        preempted = self.stale
        self.run(decoding, batch)
        if self.stale > preempted:
            self.raise_owed()

    def run(self, sequences: list[Request], batch: Batch) -> None:
        """Schedule one after the other; one that gets no block preempts, at worst itself."""
        for r in sequences:
            if r not in batch.cohort:
                continue
            n = 1 + guesses(r, self.rules)
            if not r.decoding:
                n = min(r.tokens - r.computed, self.budget(batch))
            while r in batch.cohort and self.held(r, r.computed + n) - r.blocks > self.free:
                self.preempt(self.victim(batch), batch)
            if r not in batch.cohort:
                continue
            self.take(r, self.held(r, r.computed + n))
            self.put(r, n, batch)

    def put(self, r: Request, n: int, batch: Batch) -> None:
        """Put tokens of a sequence into the batch; what is known of them is cached at once."""
        batch.parts.append((r, n))
        if not r.decoding:
            self.fill(r, r.computed, r.computed + n)

    def victim(self, batch: Batch) -> Request:
        ready = self.ready(batch)
        if self.rules.order == "priority":
            return max(ready, key=lambda r: (r.priority, r.number))
        if self.rules.retract_fewest:
            partial = [r for r in ready if not r.decoding]
            fewest = min(ready, key=lambda r: (len(r.times), -r.prompt, -ready.index(r)))
            return partial[0] if partial else fewest
        return ready[-1]

    def preempt(self, r: Request, batch: Batch) -> None:
        batch.calm = False
        batch.parts = [(other, n) for other, n in batch.parts if other is not r]
        batch.cohort.remove(r)
        self.fill(r, 0, r.computed)
        self.release(r)
        self.waiting.insert(0, r)
        r.computed = 0
        r.decoding = False
        r.preempted += 1
        self.stale += 1

    # ---- the queue

    def head(self) -> Request:
        if self.rules.order == "priority":
            return min(self.waiting, key=lambda r: (r.priority, r.number))
        if self.rules.order == "shortest":
            return min(self.waiting, key=lambda r: (r.prompt, r.number))
        return self.waiting[0]

    def admission(self, r: Request, batch: Batch) -> Admission | None:
        """Return what the admission of a request takes, if it is possible."""
        admission = Admission(self, r, batch)
        return admission if admission.possible() else None

    def admit(self, batch: Batch) -> None:
        """Admit the head of the queue until a limit stops it, if nobody was preempted."""
        while (
            batch.calm
            and self.waiting
            and len(self.running) < self.rules.max_seqs
            and self.budget(batch) > 0
        ):
            r = self.head()
            admission = self.admission(r, batch)
            if admission is None:
                return
            self.waiting.remove(r)
            self.running.append(r)
            batch.cohort.append(r)
            self.start(r, admission, batch)

    def start(self, r: Request, admission: Admission, batch: Batch) -> None:
        """Let an admitted request use what it has found, take its blocks, and run its chunk."""
        r.blocks, r.shared = len(admission.hits), list(admission.hits)
        r.computed = admission.hit
        if self.rules.prefix_caching:
            self.cache.use(r.path)
        self.take(r, admission.holds)
        if admission.loads:
            self.fill(r, len(admission.hits) * self.rules.block_tokens, r.computed)
        self.cache.touch(r.path)
        self.hit_tokens += admission.hit
        batch.loaded += admission.loads
        batch.read.append(r.encoder)
        batch.promised += min(r.left, 4096)
        self.put(r, admission.chunk, batch)

    # ---- the share that is kept for what running sequences have still to sample

    def decoding(self) -> list[Request]:
        return [r for r in self.running if r.decoding and not r.over]

    def owed(self) -> int:
        sequences = self.decoding()
        most = 4096 * len(sequences)
        return self.owed_ppm * min(sum(r.left for r in sequences), most) // MILLION

    def raise_owed(self) -> None:
        sequences = self.decoding()
        sampled = sum(len(r.times) for r in sequences) + 20 * len(sequences)
        outputs = sum(r.output for r in sequences)
        self.owed_ppm = min(MILLION, sampled * MILLION // (outputs + 1))

    def lower_owed(self) -> None:
        rules = self.rules
        self.owed_ppm = max(rules.owed_least_ppm, self.owed_ppm - rules.owed_decay_ppm)

    # ---- the batch

    def fly(self, batch: Batch) -> None:
        batch.count(self.rules.max_batch_tokens)
        free_at = [
            max((f.end[k] for f in self.flown[-1:] + self.flying), default=0)
            for k in range(self.steps.stages)
        ]
        send(batch, self.steps, self.now, free_at, batch.loaded * self.rules.host_block_ns)
        self.take_off(batch)

    def take_off(self, batch: Batch) -> None:
        """Put a batch in flight whose times are known."""
        self.loaded_blocks += batch.loaded
        for r, n in batch.parts:
            r.flights += 1
            r.start = batch.begin[0] if r.start < 0 else r.start
            self.sample(r, n, batch)
        if not batch.prompt_tokens:
            self.lower_owed()
        self.flying.append(batch)
        self.peak_w = max(self.peak_w, self.drawn_w(batch.begin[0]))

    def sample(self, r: Request, n: int, batch: Batch) -> None:
        """Compute the tokens of a sequence, and sample if they are its last ones."""
        sampled = 0
        if r.decoding:
            sampled = 1 + right(r, self.rules)
            r.computed += sampled
        else:
            r.computed += n
            sampled = 1 if r.computed == r.tokens else 0
        if sampled:
            r.times += [batch.finish] * sampled
            r.decoding = True
            batch.rows += sampled
            self.stale = 0
        if r.over:
            self.fill(r, 0, r.computed)

    # ---- what the log says

    def drawn_w(self, at: int) -> float:
        """Return the power at a time: each batch draws its energy evenly from start to finish."""
        batches = [f for f in self.flying if f.begin[0] <= at < f.finish]
        return sum(f.joules / ((f.finish - f.begin[0]) * 1e-9) for f in batches)

    def busy_ns(self) -> int:
        busy, until = 0, 0
        for batch in self.flown:
            busy += batch.finish - max(batch.begin[0], until)
            until = batch.finish
        return busy
