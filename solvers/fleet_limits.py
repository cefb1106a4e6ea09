"""Limits on sums over the replicas of a plan: what one of each kind takes, and the most of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apex_opt.solvers.fleet_data import FleetData

MILLION = 10**6


@dataclass(frozen=True)
class Limit:
    """sum_r each[r] n[r] <= most.

    Attributes:
        each: by kind; the others take nothing.
    """

    name: str
    each: Mapping[int, int]
    most: int

    def allows(self, r: int, n: int) -> int:
        """Return how many of `n` replicas of kind `r` alone it allows."""
        taken = self.each.get(r, 0)
        return min(n, self.most // taken) if taken > 0 else n


def limits(a: FleetData) -> Iterator[Limit]:
    """Yield the limits that a question has."""
    kinds = dict(enumerate(a.kinds))
    sums = [
        ("devices", {r: kind.devices for r, kind in kinds.items()}, a.devices),
        ("replicas", dict.fromkeys(kinds, 1), a.replicas),
        ("price", {r: kind.price_u for r, kind in kinds.items()}, a.price_u),
        ("power", {r: kind.power_mw for r, kind in kinds.items()}, a.power_mw),
    ]
    for role, devices in a.role_devices.items():
        mine = a.of_role(role)
        sums.append((f"{role} devices", {r: kinds[r].devices for r in mine}, devices))
    for p, pool in enumerate(a.pools):
        drawn = {r: kinds[r].power_in(p) for r in a.members[p]}
        sums.append((f"pool {p}, power", drawn, pool.power_mw))
    if a.spot_ppm is not None:
        # sum_r spot_devices[r] n[r] <= spot_ppm / 10^6 sum_r devices[r] n[r]
        beyond = {r: MILLION * k.spot_devices - a.spot_ppm * k.devices for r, k in kinds.items()}
        sums.append(("spot", beyond, 0))
    for name, each, most in sums:
        if most is not None:
            yield Limit(name, each, most)
