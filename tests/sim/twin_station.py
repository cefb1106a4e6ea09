"""The twin of one replica among others, and of ranks that step together.

A request visits a replica: what it does there is kept in the replica's own list of requests.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.member import Member
from tests.sim.twin import LivelockError, Twin
from tests.sim.twin_admission import Admission
from tests.sim.twin_cost import draft_ns, joules, stage_ns
from tests.sim.twin_request import Batch, Request


class Visitors:
    """In the place of `Arrivals`: nobody comes by himself, others are told who has ended."""

    def __init__(self) -> None:
        self.outside: list[Request] = []
        self.ended: list[tuple[Request, int]] = []

    def until(self, now: int) -> None:
        """Nobody comes by himself."""

    def end(self, request: Request, when: int) -> None:
        self.ended.append((request, when))


def rules_of(member: Member) -> EngineRules:
    """Return the rules as far as they hold for the role."""
    if member.role == "prefill":
        return replace(member.rules, reserve_output=False, owed_ppm=0)
    if member.role == "decode":
        return replace(member.rules, prefix_caching=False, host_blocks=0, request_overhead_ns=0)
    return member.rules


class Station(Twin):
    """One replica, or one rank of those that step together."""

    def __init__(self, load: Load, member: Member, number: int) -> None:
        super().__init__(load, rules_of(member), member.steps)
        self.number, self.role, self.weight = number, member.role, member.weight
        self.goes_on = {r for r in self.requests if self.role == "prefill" and r.output > 1}
        if self.role == "prefill":
            for r in self.requests:
                too_long = r.prompt + r.output > self.rules.max_model_tokens
                r.output = 1
                r.rejected = too_long or self.never_fits(r)
        self.visitors = self.arrivals = Visitors()
        self.outstanding = 0
        self.leaving: list[Request] = []  # their cache moves away: place given up, blocks held
        self.newcomers: list[Request] = []  # their cache has come, they have not decoded
        self.sends = self.receives = 0  # when its links are free

    # ---- what the router asks

    def use(self) -> Fraction:
        return Fraction(self.rules.blocks - self.free, self.rules.blocks)

    def known_tokens(self, index: int) -> int:
        """Return the tokens of a prompt that are in the cache."""
        path = self.requests[index].path
        most = path[-1].end // self.rules.block_tokens if self.rules.prefix_caching else 0
        found = self.cache.find(path, most)
        here = [block in self.cache.here for block in found]
        return ([*here, False].index(False)) * self.rules.block_tokens

    # ---- coming and going

    def welcome(self, request: Request) -> None:
        visit = self.requests[request.index]
        visit.arrival = request.arrival
        self.visitors.outside.append(visit)
        self.outstanding += 1

    def own(self) -> int:
        return super().own() + sum(r.own for r in self.leaving)

    def release(self, r: Request) -> None:
        if r.over and r in self.goes_on:
            self.running.remove(r)
            self.leaving.append(r)
        else:
            super().release(r)

    def let_go(self, r: Request) -> None:
        """Free what a request has held here until its cache had moved."""
        self.leaving.remove(r)
        self.running.append(r)
        super().release(r)

    # ---- decoding what comes

    def pull(self) -> list[Request]:
        """Give the head of the queue its place and its blocks as long as there is room."""
        self.join_queue()
        came: list[Request] = []
        while self.waiting and len(self.running) < self.rules.max_seqs:
            r = self.head()
            last = r.prompt + r.output - 1
            need = self.held(r, last if self.rules.reserve_output else r.prompt)
            spare = self.rules.watermark_blocks if self.running else 0
            if r.times or need + spare > self.free:
                break
            self.waiting.remove(r)
            self.running.append(r)
            self.take(r, need)
            self.peak_blocks = max(self.peak_blocks, self.rules.blocks - self.free)
            r.computed = r.prompt
            came.append(r)
        return came

    def admission(self, r: Request, batch: Batch) -> Admission | None:
        """On a decode replica only who was preempted there computes its prompt."""
        return super().admission(r, batch) if self.role != "decode" or r.times else None

    def enlist(self) -> None:
        """Let those whose cache has come decode, unless a prompt is being computed again."""
        cohort = self.idle[-1]
        if all(r.decoding or r.over for r in cohort):
            for r in self.newcomers:
                r.decoding = True
            cohort += self.newcomers
            self.newcomers = []


class Group:
    """Ranks that step together: as a rule one."""

    def __init__(self, ranks: list[Station]) -> None:
        self.ranks = ranks
        self.first = ranks[0]
        self.woken = False  # a request has come to one of them while no batch flew

    def next(self, now: int) -> int | None:
        """Return when a batch lands, or where none flies, when somebody joins a queue."""
        if self.first.flying:
            return self.first.flying[0].finish
        if self.woken:
            return now
        lines = [(rank, rank.visitors.outside) for rank in self.ranks]
        joins = [line[0].arrival + rank.rules.request_overhead_ns for rank, line in lines if line]
        return max(now, min(joins)) if joins else None

    def work(self) -> None:
        """Schedule as long as there is room in the flight and somebody to run."""
        self.woken = False
        while len(self.first.flying) < self.first.depth:
            if any(rank.stale >= 100 * rank.rules.max_seqs for rank in self.ranks):
                raise LivelockError
            gave_way = self.gave_way()
            if self.step():
                continue
            if self.first.flying or (self.gave_way() == gave_way and not self.somebody()):
                break
            for rank in self.ranks:  # the batch came to nothing: the next cohort
                rank.idle.insert(0, rank.idle.pop())
                rank.stale += 1
        if not self.first.flying:
            for rank in self.ranks:
                rank.owed_ppm = rank.rules.owed_ppm

    def gave_way(self) -> int:
        return sum(r.preempted for rank in self.ranks for r in rank.requests)

    def somebody(self) -> bool:
        return any(cohort for rank in self.ranks for cohort in rank.idle)

    def step(self) -> bool:
        """Put a batch in flight; return whether there was anything to run."""
        for rank in self.ranks:
            rank.enlist()
        if len(self.ranks) == 1:
            return self.first.schedule()
        batches = [rank.pick() for rank in self.ranks]
        if not any(batch.parts for batch in batches):
            for rank, batch in zip(self.ranks, batches, strict=True):
                rank.idle.append(batch.cohort)
            return False
        self.fly(batches)
        return True

    def fly(self, batches: list[Batch]) -> None:
        """Let batches begin together, and land together when the slowest has ended."""
        for rank, batch in zip(self.ranks, batches, strict=True):
            batch.count(rank.rules.max_batch_tokens)
        largest = max(batch.tokens for batch in batches)
        pairs = list(zip(self.ranks, batches, strict=True))
        spent = max(self.spent(rank, batch, largest) for rank, batch in pairs if batch.parts)
        before = [f.finish for f in self.first.flown[-1:] + self.first.flying]
        begin = max(self.first.now, *before) if before else self.first.now
        for rank, batch in pairs:
            batch.begin, batch.end, batch.hop = [begin], [begin + spent], [0]
            batch.joules = joules(batch, rank.steps) if batch.parts else 0.0
            rank.take_off(batch)

    @staticmethod
    def spent(rank: Station, batch: Batch, tokens: int) -> int:
        step = stage_ns(batch, rank.steps, 0, tokens) + draft_ns(batch, rank.steps)
        return step + batch.loaded * rank.rules.host_block_ns
