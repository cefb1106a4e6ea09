"""The story of a simulation: a plan of the user's choice under the traffic of a spec."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from apex_opt.errors import CallError
from apex_opt.plan.band import banded
from apex_opt.plan.by_hand import Wish, from_wish, require_devices
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.needs import require_figures
from apex_opt.plan.plan_file import from_plan
from apex_opt.plan.predict import Run, measure, play_parts
from apex_opt.plan.requests import Column, requests
from apex_opt.plan.result import Plan
from apex_opt.plan.solve import longest_request
from apex_opt.plan.tell import plan_of_parts
from apex_opt.plan.timeline import FINER, timeline
from apex_opt.plan.use import Part
from apex_opt.sim.load import Load
from apex_opt.sim.member import FleetLog
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec.routing import Router
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import Traffic, traffic

MOST_ROWS = 100_000


@dataclass(frozen=True)
class Choice:
    """A plan of the user's choice.

    Attributes:
        plan: one that was found, whole; or
        wish: replicas that do all of a request; or
        prefill, decode: both: replicas that compute prompts, and those that go on from there.
        router: None: the plan's own, else the spec's.
    """

    plan: Plan | None = None
    wish: Wish | None = None
    prefill: Wish | None = None
    decode: Wish | None = None
    router: Router | None = None

    def check(self) -> None:
        """Refuse a choice of several plans, or of half a one.

        Raises:
            CallError: it is such.
        """
        if (self.prefill is None) != (self.decode is None):
            raise CallError("prefill and decode replicas need each other; choose both")
        if sum(way is not None for way in (self.plan, self.wish, self.prefill)) > 1:
            raise CallError(
                "a plan is one of three: a whole one, replicas that do all, or prefill and decode"
            )

    def parts(self, spec: Spec, offered: Sequence[Traffic]) -> tuple[Part, ...]:
        """Return the deployments of the plan, which hold the longest request of any traffic.

        Raises:
            CallError: the spec lacks what the plan needs, or an engine cannot start it.
        """
        if self.plan is not None:
            return from_plan(spec, self.plan)
        longest = max(longest_request(spec, one) for one in offered)
        if self.prefill is None or self.decode is None:
            return from_wish(spec, self.wish or Wish(), longest)
        first = from_wish(spec, self.prefill, longest, "prefill")
        parts = first + from_wish(spec, self.decode, longest, "decode")
        require_devices(spec, parts)
        return parts

    def run(self, rows: int = 0) -> Run:
        """Return how it is played, with so many rows of the time line."""
        router = self.router or (self.plan.router if self.plan is not None else None)
        return Run(router, threads=os.cpu_count() or 1, rows=rows)


@dataclass(frozen=True)
class Simulation:
    """A simulated plan, with all that is known of each request."""

    plan: Plan
    spec: Spec
    load: Load
    log: FleetLog

    @property
    def requests(self) -> tuple[Column, ...]:
        """The table of requests, a column a figure: see `apex_opt.plan.requests`."""
        return requests(self.spec, self.load, self.log)


def simulate(spec: Spec, choice: Choice, rows: int, listen: Listen) -> Simulation:
    """Return a plan with what its simulation shows.

    Args:
        spec: its traffic, pools and service levels are read.
        choice: the plan.
        rows: most rows of the time line, `MOST_ROWS` at most; 0: none.
        listen: told of progress.

    Raises:
        CallError: see `Choice`; or the plan cannot be simulated, or has too many rows.
    """
    choice.check()
    if not 0 <= rows <= MOST_ROWS:
        raise CallError(f"rows: must be from 0 to {MOST_ROWS:,}, got {rows:,}")
    require_figures(spec)
    listen(Event("reading traffic", 0, None, None))
    offered = traffic(spec.workload, spec.search.seed, spec.folder, spec.model)
    parts = choice.parts(spec, [offered])
    listen(Event("simulating", 0, None, None))
    run = choice.run(FINER * rows)
    try:
        log = play_parts(spec, offered.load, parts, run)
    except EndlessRunError as why:
        raise CallError(f"this plan cannot be simulated: {why}") from None
    played = measure(spec, offered.load, parts, log, run)
    listen(Event("simulating both ends of the band", 0, None, None))
    plan = plan_of_parts(spec, banded(spec, offered.load, played, run.threads))
    if rows:
        plan = plan.model_copy(update={"timeline": timeline(parts, log, rows)})
    return Simulation(plan, spec, offered.load, log)
