"""Who comes when: arrivals, clients of a closed loop, sessions."""

from __future__ import annotations

from tests.sim.twin_request import Request


class Arrivals:
    def __init__(self, requests: list[Request], concurrency: int) -> None:
        opens = [r for r in requests if r.opens]
        first = concurrency or len(opens)
        self.known, self.unsent = opens[:first], opens[first:]  # those with a time of arrival
        self.outside: list[Request] = []  # arrived, not yet in the queue

    def until(self, now: int) -> None:
        """Let come what is due by now; at the same time openings first, in order of the list."""
        while due := [r for r in self.known if r.arrival <= now]:
            request = min(due, key=lambda r: (r.arrival, not r.opens, r.index))
            self.known.remove(request)
            self.arrive(request)

    def arrive(self, request: Request) -> None:
        if request.rejected:
            self.end(request, request.arrival)
        else:
            self.outside.append(request)

    def end(self, request: Request, when: int) -> None:
        """Go on with the session of a request; where it is over, let its client open the next."""
        if request.follower:
            request.follower.arrival = when + request.follower.think
            self.known.append(request.follower)
        elif self.unsent:
            opening = self.unsent.pop(0)
            opening.arrival = when
            self.arrive(opening)

    def next(self, overhead: int) -> int | None:
        """Return when something happens without a batch: somebody joins the queue, or arrives."""
        if self.outside:
            return self.outside[0].arrival + overhead
        return min((r.arrival for r in self.known), default=None)
