"""The rules of one replica once more, slow and obvious: lists of objects, no totals, no tricks.

Written from the rules, not from `sim/loop.py`; the two must agree exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.steps import StepTable


@dataclass(eq=False)
class Request:
    arrival: int
    prompt: int
    output: int
    rejected: bool = False
    computed: int = 0
    decoding: bool = False
    blocks: int = 0
    flights: int = 0
    start: int = -1
    times: list[int] = field(default_factory=list)
    preempted: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt + len(self.times)

    @property
    def over(self) -> bool:
        return len(self.times) == self.output

    @property
    def gaps(self) -> list[int]:
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]


@dataclass
class Flight:
    """A batch: (sequence, its new tokens), and when each stage has it."""

    parts: list[tuple[Request, int]]
    begin: list[int]
    end: list[int]
    hop: list[int]
    joules: float
    context: int
    pairs: int
    prompt_tokens: int
    rows: int

    @property
    def finish(self) -> int:
        return self.end[-1] + self.hop[-1]


class LivelockError(Exception):
    pass


class Twin:
    def __init__(self, load: Load, rules: EngineRules, steps: StepTable) -> None:
        self.rules, self.steps = rules, steps
        self.asynchronous = rules.async_scheduling and steps.stages == 1
        self.depth = 2 if self.asynchronous else steps.stages
        rows = zip(load.arrival_ns, load.prompt_tokens, load.output_tokens, strict=True)
        self.requests = [Request(int(a), int(p), int(o)) for a, p, o in rows]
        for request in self.requests:
            request.rejected = self.never_fits(request)
        first = load.concurrency or len(load)
        self.coming, self.unsent = self.requests[:first], self.requests[first:]
        self.outside: list[Request] = []  # arrived, not yet in the queue
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self.flying: list[Flight] = []
        self.flown: list[Flight] = []
        self.now = self.max_queue = self.peak_blocks = self.stale = 0
        self.block_ns = 0
        self.peak_w = 0.0

    # ---- blocks

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.rules.block_tokens) + self.rules.sequence_blocks

    @property
    def free(self) -> int:
        return self.rules.blocks - sum(r.blocks for r in self.running)

    def never_fits(self, r: Request) -> bool:
        too_long = r.prompt + r.output > self.rules.max_model_tokens
        too_big = self.blocks_for(r.prompt + r.output - 1) > self.rules.blocks
        too_wide = not self.rules.chunked_prefill and r.prompt > self.rules.max_batch_tokens
        return too_long or too_big or too_wide

    # ---- time

    def play(self) -> Twin:
        while True:
            if self.stale >= 100 * self.rules.max_seqs:
                raise LivelockError
            if len(self.flying) < self.depth and self.schedule():
                continue
            if self.flying:
                self.land()
            elif self.outside:
                self.go(self.outside[0].arrival + self.rules.request_overhead_ns)
            elif self.coming:
                self.go(self.coming[0].arrival)
            else:
                return self

    def go(self, until: int) -> None:
        self.block_ns += (self.rules.blocks - self.free) * (until - self.now)
        self.now = until
        while self.coming and self.coming[0].arrival <= until:
            request = self.coming.pop(0)
            if request.rejected:
                self.client(request.arrival)
            else:
                self.outside.append(request)

    def client(self, when: int) -> None:
        """Let a client send its next request; if that is rejected, the one after it, and so on."""
        if self.unsent:
            request = self.unsent.pop(0)
            request.arrival = when
            if request.rejected:
                self.client(when)
            else:
                self.outside.append(request)

    def land(self) -> None:
        flight = self.flying.pop(0)
        self.go(flight.finish)
        self.flown.append(flight)
        for request, _ in flight.parts:
            request.flights -= 1
            if request.over and request in self.running and not request.flights:
                self.running.remove(request)
                self.client(self.now)

    # ---- the scheduler

    def schedule(self) -> bool:
        overhead = self.rules.request_overhead_ns
        while self.outside and self.outside[0].arrival + overhead <= self.now:
            self.waiting.append(self.outside.pop(0))
        self.max_queue = max(self.max_queue, len(self.waiting))
        parts, calm = self.run_running()
        if calm:
            self.admit(parts)
        if not parts:
            return False
        self.peak_blocks = max(self.peak_blocks, self.rules.blocks - self.free)
        self.fly(parts)
        return True

    def ready(self, r: Request) -> bool:
        return not r.over and (self.asynchronous or not r.flights)

    def run_running(self) -> tuple[list[tuple[Request, int]], bool]:
        parts: list[tuple[Request, int]] = []
        ready = [r for r in self.running if self.ready(r)]
        budget, calm = self.rules.max_batch_tokens, True
        while ready[len(parts) :]:
            r = ready[len(parts)]
            n = min(r.tokens - r.computed, budget)
            while self.blocks_for(r.computed + n) - r.blocks > self.free:
                calm = False
                victim = ready.pop()  # at r or behind it: never one that has tokens in this batch
                self.preempt(victim)
                if victim is r:
                    return parts, calm
            r.blocks = self.blocks_for(r.computed + n)
            budget -= n
            parts.append((r, n))
        return parts, calm

    def preempt(self, r: Request) -> None:
        self.running.remove(r)
        self.waiting.insert(0, r)
        r.blocks = r.computed = 0
        r.decoding = False
        r.preempted += 1
        self.stale += 1

    def admit(self, parts: list[tuple[Request, int]]) -> None:
        rules = self.rules
        budget = rules.max_batch_tokens - sum(n for _, n in parts)
        while self.waiting and len(self.running) < rules.max_seqs and budget > 0:
            r = self.waiting[0]
            n = min(r.tokens, budget)
            if not rules.chunked_prefill and n < min(r.tokens, rules.max_batch_tokens):
                return
            if self.blocks_for(r.tokens if rules.full_sequence_gate else n) > self.free:
                return
            self.waiting.pop(0)
            self.running.append(r)
            r.blocks = self.blocks_for(n)
            budget -= n
            parts.append((r, n))

    # ---- the batch

    def fly(self, parts: list[tuple[Request, int]]) -> None:
        decodes = [r for r, _ in parts if r.decoding]
        chunks = [(r, n) for r, n in parts if not r.decoding]
        sampling = decodes + [r for r, n in chunks if r.computed + n == r.tokens]
        context = sum(r.tokens for r in decodes)
        pairs = sum(1 for r, n in chunks for i in range(n) for _ in range(r.computed + i + 1))
        prompt_tokens = sum(n for _, n in chunks)
        flight = self.cost(parts, len(decodes), prompt_tokens, len(sampling), context, pairs)
        for r, n in parts:
            r.computed += n
            r.flights += 1
            r.start = flight.begin[0] if r.start < 0 else r.start
        for r in sampling:
            r.times.append(flight.finish)
            r.decoding = True
            self.stale = 0
        self.flying.append(flight)
        spent = [b - a for a, b in zip(flight.begin, flight.end, strict=True)]
        over = max(Fraction(max(spent)), Fraction(sum(spent), len(self.flying)))
        self.peak_w = max(self.peak_w, flight.joules / (float(over) * 1e-9))

    def cost(
        self, parts: list[tuple[Request, int]], b: int, p: int, r: int, context: int, pairs: int
    ) -> Flight:
        t, n = self.steps, b + p
        window, window_pairs = min(context, b * t.window_tokens), min(pairs, p * t.window_tokens)
        flight = Flight(parts, [], [], [], 0.0, context, pairs, p, r)
        at = self.now
        for k in range(t.stages):
            attention = int(t.context_fs[k]) * context + int(t.window_fs[k]) * window
            attention += int(t.pair_fs[k]) * pairs + int(t.window_pair_fs[k]) * window_pairs
            base = int(t.mixed_ns[k, n] if p else t.decode_ns[k, n])
            before = [f.end[k] for f in self.flown[-1:] + self.flying]
            flight.begin.append(max([at, *before]))
            spent = base + int(t.rows_ns[k, r]) + attention // 10**6
            flight.end.append(flight.begin[-1] + spent)
            flight.hop.append(int(t.hop_ns[k, n]))
            at = flight.end[-1] + flight.hop[-1]
        flight.joules = float(t.mixed_j[n] if p else t.decode_j[n]) + float(t.rows_j[r])
        flight.joules += t.context_j * context + t.window_j * window
        flight.joules += t.pair_j * pairs + t.window_pair_j * window_pairs
        return flight

    # ---- what the log says

    def busy_ns(self) -> int:
        busy, until = 0, 0
        for flight in self.flown:
            busy += flight.finish - max(flight.begin[0], until)
            until = flight.finish
        return busy
