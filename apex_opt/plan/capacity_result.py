"""How much a plan carries, as people and scripts read it."""

from __future__ import annotations

from typing import Literal

from apex_opt.plan.result import SCHEMA_VERSION, Deployment, Record
from apex_opt.spec.routing import Router


class SeedCapacity(Record):
    """What a plan carries of the traffic of one seed.

    `value` is the highest load that holds, `fails_at` the lowest above it that was played and does
    not, in the unit of the whole; `missed` is the first service level that is missed there.
    `scale` is `value` over the load of the spec.
    """

    seed: int
    value: float
    scale: float
    fails_at: float
    missed: str
    runs: int


class Interval(Record):
    """Where the mean over all seeds lies, by Student's t over those that were played."""

    confidence: float
    low: float
    high: float


class Capacity(Record):
    """The highest load at which a plan keeps all service levels of a spec and is stable.

    Of an open loop it is `rate_rps`, requests a second; of a closed loop `concurrency`, clients;
    the other is None. It is the mean over `seeds`. `interval` is None where there is only one.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    apexopt_version: str
    model: str
    plan: str
    deployments: tuple[Deployment, ...]
    router: Router
    devices: int
    cost_per_hour: float
    traffic: str
    rate_rps: float | None
    concurrency: float | None
    interval: Interval | None
    tolerance: float
    seeds: tuple[SeedCapacity, ...]
    notes: tuple[str, ...]

    @property
    def value(self) -> float:
        """The rate or the number of clients."""
        return self.rate_rps if self.rate_rps is not None else self.concurrency or 0.0

    @property
    def unit(self) -> str:
        """What `value` counts."""
        return "requests/s" if self.rate_rps is not None else "clients"
