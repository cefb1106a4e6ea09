"""Replicas that are played together once more, slow and obvious: one list of what comes next.

Written from the rules in `sim/cluster.py`; the two must agree exactly. Beside this file:
`twin_station` a replica among others, `twin_router` whom a request is sent to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apex_opt.sim.load import Load
from apex_opt.sim.member import Member, Routing
from tests.sim.twin_arrivals import Arrivals
from tests.sim.twin_request import Request, requests
from tests.sim.twin_router import Switch
from tests.sim.twin_station import Group, Station

ARRIVAL, MOVED, LANDING = range(3)
"""In which order they come at one time."""


@dataclass(frozen=True)
class Transfer:
    """A cache on its way."""

    request: Request
    source: Station
    target: Station
    begin: int
    end: int


class Cluster:
    def __init__(self, load: Load, members: Sequence[Member], routing: Routing) -> None:
        self.routing = routing
        self.groups: list[Group] = []
        self.stations: list[Station] = []
        self.members: list[list[Station]] = []
        for member in members:
            self.members.append([])
            for _ in range(member.count):
                self.build(load, member)
        self.switch = Switch(routing, self.stations)
        self.requests = requests(load)  # as their clients know them
        for r in self.requests:
            r.rejected = not self.able(r, decodes=False)
        self.arrivals = Arrivals(self.requests, load.concurrency)
        self.route: list[list[Station]] = [[] for _ in self.requests]
        self.moving: list[Transfer] = []
        self.moved: list[Transfer] = []
        self.now = 0

    def build(self, load: Load, member: Member) -> None:
        count = len(self.stations)
        ranks = [Station(load, member, count + k) for k in range(member.ranks)]
        self.groups.append(Group(ranks))
        self.stations += ranks
        self.members[-1] += ranks

    # ---- what comes next

    def play(self) -> Cluster:
        while coming := self.coming():
            when, what, which = min(coming)
            self.go(when)
            if what == ARRIVAL:
                self.let_in()
            elif what == MOVED:
                self.receive(which)
            else:
                self.land(self.groups[which])
        return self

    def coming(self) -> list[tuple[int, int, int]]:
        """Return when what happens, to which request or replicas."""
        coming = [(r.arrival, ARRIVAL, 0) for r in self.arrivals.known]
        coming += [(transfer.end, MOVED, transfer.request.index) for transfer in self.moving]
        for k, group in enumerate(self.groups):
            at = group.next(self.now)
            if at is not None:
                coming.append((at, LANDING, k))
        return coming

    def go(self, when: int) -> None:
        self.now = when
        for station in self.stations:
            station.go(when)

    def land(self, group: Group) -> None:
        """Let what ends go on elsewhere and bring new requests, then schedule."""
        if group.first.flying:
            for rank in group.ranks:
                rank.land()
                ended, rank.visitors.ended = rank.visitors.ended, []
                for visit, when in ended:
                    self.end(rank, visit, when)
            self.let_in()
        self.work(group)

    def end(self, station: Station, visit: Request, when: int) -> None:
        station.outstanding -= 1
        request = self.requests[visit.index]
        if visit in station.goes_on:
            target = self.send(request, decodes=True)
            self.pull(target)
            group = self.group_of(target)
            group.woken = not group.first.flying  # all ranks look whom they can take in
        else:
            self.arrivals.end(request, when)

    def group_of(self, station: Station) -> Group:
        return next(group for group in self.groups if station in group.ranks)

    def work(self, group: Group) -> None:
        for rank in group.ranks:
            if rank.role == "decode":
                self.pull(rank)
        group.work()

    # ---- routing

    def let_in(self) -> None:
        self.arrivals.until(self.now)
        while self.arrivals.outside:
            self.send(self.arrivals.outside.pop(0), decodes=False)

    def able(self, request: Request, *, decodes: bool) -> list[Station]:
        """Return who can take a request: for its prompt only if somebody can decode then."""
        fits = [s for s in self.stations if s.weight and not s.requests[request.index].rejected]
        decoders = [s for s in fits if s.role == "decode"]
        if decodes:
            return decoders
        prompts = [s for s in fits if s.role != "decode"]
        if request.output > 1 and not decoders:
            prompts = [s for s in prompts if s.role == "mixed"]
        return prompts

    def send(self, request: Request, *, decodes: bool) -> Station:
        able = self.able(request, decodes=decodes)
        station = self.switch.choose(request, able, decodes)
        self.route[request.index].append(station)
        station.welcome(request)
        return station

    # ---- caches that move

    def pull(self, target: Station) -> None:
        for visit in target.pull():
            source = self.route[visit.index][0]
            begin = max(self.now, source.sends, target.receives)
            move_ns = self.routing.token_fs * visit.prompt // 10**6
            source.sends = target.receives = begin + self.routing.latency_ns + move_ns
            self.moving.append(Transfer(visit, source, target, begin, target.receives))

    def receive(self, index: int) -> None:
        transfer = next(one for one in self.moving if one.request.index == index)
        self.moving.remove(transfer)
        self.moved.append(transfer)
        transfer.source.let_go(transfer.source.requests[index])
        transfer.request.times = [self.now]
        transfer.target.newcomers.append(transfer.request)
        for station in (transfer.source, transfer.target):
            self.work(self.group_of(station))
