"""Who comes when: arrivals, clients of a closed loop, sessions."""

from __future__ import annotations

from collections.abc import Sequence

from tests.sim.twin_request import Request


class Arrivals:
    def __init__(self, requests: list[Request], concurrency: int) -> None:
        opens = [r for r in requests if r.opens]
        first = concurrency or len(opens)
        self.coming, self.unsent = opens[:first], opens[first:]
        self.later: list[Request] = []  # next of their session, thought about until then
        self.outside: list[Request] = []  # arrived, not yet in the queue

    def until(self, now: int, ended: Sequence[Request] = ()) -> None:
        """Let come what is due by now, and what follows the requests that have just ended."""
        while self.coming and self.coming[0].arrival <= now:
            self.arrive(self.coming.pop(0))
        for request in ended:
            self.follow(request, now)
        while due := [r for r in self.later if r.arrival <= now]:
            request = min(due, key=lambda r: (r.arrival, r.index))
            self.later.remove(request)
            self.arrive(request)

    def arrive(self, request: Request) -> None:
        if request.rejected:
            self.follow(request, request.arrival)
        else:
            self.outside.append(request)

    def follow(self, request: Request, when: int) -> None:
        """Go on with the session; where it is over, let its client open the next."""
        if request.follower:
            request.follower.arrival = when + request.follower.think
            self.later.append(request.follower)
        elif self.unsent:
            opening = self.unsent.pop(0)
            opening.arrival = when
            self.arrive(opening)

    def next(self, overhead: int) -> int | None:
        """Return when something happens without a batch: somebody joins the queue, or arrives."""
        if self.outside:
            return self.outside[0].arrival + overhead
        return min((r.arrival for r in self.coming[:1] + self.later), default=None)
