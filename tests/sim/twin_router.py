"""The twin's routers: whom a request is sent to."""

from __future__ import annotations

from fractions import Fraction

from apex_opt.sim.member import Routing
from tests.sim.twin_drafts import mix
from tests.sim.twin_request import Request
from tests.sim.twin_station import Station

MILLION = 10**6


class Switch:
    def __init__(self, routing: Routing, stations: list[Station]) -> None:
        self.routing = routing
        self.credit = dict.fromkeys(stations, 0)

    def choose(self, request: Request, able: list[Station], decodes: bool) -> Station:
        """Return one of the replicas that can take a request for its prompt, or to decode."""
        if self.routing.router == "round_robin":
            return self.in_turn(able)
        if self.routing.router == "random":
            return self.by_chance(request, able, decodes)
        if self.routing.router == "least_kv":
            return min(able, key=lambda s: (s.use(), Fraction(s.outstanding, s.weight)))
        if self.routing.router == "prefix_affinity" and not decodes:
            return self.best_known(request, able)
        return self.idlest(able)

    def in_turn(self, able: list[Station]) -> Station:
        for station in able:
            self.credit[station] += station.weight
        best = max(able, key=lambda s: self.credit[s])
        self.credit[best] -= sum(station.weight for station in able)
        return best

    def by_chance(self, request: Request, able: list[Station], decodes: bool) -> Station:
        """Lay the weights side by side on a line of length 1 and throw a dart."""
        dart = mix(self.routing.seed, request.index, 2 if decodes else 1) % MILLION
        total = sum(station.weight for station in able)
        ends = [sum(s.weight for s in able[: k + 1]) for k in range(len(able))]
        return next(s for s, end in zip(able, ends, strict=True) if dart * total < end * MILLION)

    @staticmethod
    def idlest(able: list[Station]) -> Station:
        return min(able, key=lambda s: Fraction(s.outstanding, s.weight))

    def best_known(self, request: Request, able: list[Station]) -> Station:
        busiest = max(station.outstanding for station in able)
        least = min(station.outstanding for station in able)
        best = max(able, key=lambda s: s.known_tokens(request.index))
        if busiest > least + 64 and busiest > 1.5 * least:
            return self.idlest(able)
        if best.known_tokens(request.index) < 0.3 * request.prompt:
            return self.idlest(able)
        return best
