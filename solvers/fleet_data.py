"""What the fleet model is asked: pools, replica kinds, limits. Integers only, no solver.

Traffic is told by its *features* (requests, prompt tokens, ...). A share says which part of a
feature's total a kind serves. Shares are counted in millionths (`SHARE`), busy time in 1e-9 of the
horizon (`HORIZON`), money in micro-dollars an hour, power in milliwatts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from apex_opt.solvers.fleet_limits import Limit, limits
from apex_opt.solvers.fleet_power import PowerLimit, power_limits

SHARE = 10**6
HORIZON = 10**9
# Largest numbers for which every row can be scaled into 64 bits.
MAX_COUNT = 10**6
MAX_FEATURES = 1000
MAX_SLOPE = 10**17

Role = Literal["mixed", "prefill", "decode"]


@dataclass(frozen=True)
class PoolData:
    """Nodes of one device type.

    Attributes:
        nodes: how many.
        node_devices: devices of each node.
        power_mw: limit on the power of all replicas of the pool, milliwatts; None: no limit.
    """

    nodes: int
    node_devices: int
    power_mw: int | None = None


@dataclass(frozen=True)
class Seat:
    """Groups of a replica that stand in another pool than its first.

    Attributes:
        pool: number of the pool.
        groups: how many.
        power_mw: their part of the replica's power.
    """

    pool: int
    groups: int
    power_mw: int


@dataclass(frozen=True)
class Due:
    """Work that must be done by a time before the horizon, or the power that it draws.

    Attributes:
        work: [feature], as that of a kind, in 1e-9 of that time; of power, its energy over that
            time, milliwatts.
        late: what of it may be done later, wherever the kind is used.
    """

    work: tuple[int, ...]
    late: int


@dataclass(frozen=True)
class Kind:
    """A kind of replica: what one of it takes, and the least work that traffic makes for it.

    Attributes:
        pool: number of its pool, of the first one where it stands in several.
        group_devices: devices of one tensor-parallel group. A group stands inside one node, or, if
            it is larger than a node, takes whole nodes.
        groups: groups of one replica (pipeline stages) in that pool.
        max_count: most replicas of the kind.
        price_u: micro-dollars an hour for one replica.
        power_mw: lower bound of the peak power of one running replica.
        standing_mw: of that, what it draws when idle; where limits count no work it is not read.
        drawn: what work draws above that as a mean until some time, for each of the same times for
            all kinds; where power is limited at its peak, for sense `min`.
        work: [resource][feature], lower bound of the time that ONE replica would be busy on the
            resource if it served ALL of the feature, in 1e-9 of the horizon.
        due: what of the work must be done earlier, a row each; read for sense `min`.
        fixed: objective of one replica.
        flow: [feature], objective of serving all of the feature here.
        least_flow: least objective of the flow of a plan that uses this kind and none of less,
            whatever each kind serves.
        beyond: [feature], what is added to that by serving all of the feature here; () stands for
            nothing.
        companions: the other kinds of which at least one must be used with it; None: it may serve
            alone.
        also: where its other groups stand, each pool once.
        role: what it serves of the traffic: all, or the features of prefill, or the others.
        cache: which caches it can send or take in, by number; read where it is not `mixed`.
        spare: replicas of it that may be lost; it is used with at least one more.
        running: replicas of it that run already.
        spot_devices: devices of one replica that may be taken away.
    """

    pool: int
    group_devices: int
    groups: int
    max_count: int
    price_u: int
    power_mw: int
    work: tuple[tuple[int, ...], ...]
    fixed: int
    flow: tuple[int, ...]
    companions: frozenset[int] | None = None
    also: tuple[Seat, ...] = ()
    role: Role = "mixed"
    cache: int = 0
    spare: int = 0
    running: int = 0
    spot_devices: int = 0
    due: tuple[Due, ...] = ()
    least_flow: int = 0
    beyond: tuple[int, ...] = ()
    standing_mw: int = 0
    drawn: tuple[Due, ...] = ()

    @property
    def beyond_by(self) -> tuple[int, ...]:
        """What is `beyond`, by feature."""
        return self.beyond or (0,) * len(self.flow)

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.group_devices * (self.groups + sum(seat.groups for seat in self.also))

    def groups_in(self, p: int) -> int:
        """Return the groups of one replica that stand in pool `p`."""
        own = self.groups if p == self.pool else 0
        return own + sum(seat.groups for seat in self.also if seat.pool == p)

    def devices_in(self, p: int) -> int:
        """Return the devices that one replica takes of pool `p`."""
        return self.group_devices * self.groups_in(p)

    def power_in(self, p: int) -> int:
        """Return the power of one replica's groups in pool `p`."""
        if p == self.pool:
            return self.power_mw - sum(seat.power_mw for seat in self.also)
        return sum(seat.power_mw for seat in self.also if seat.pool == p)

    def standing_in(self, p: int) -> int:
        """Return what one replica's groups in pool `p` draw when idle."""
        others = sum(seat.power_mw for seat in self.also)
        return self.standing_mw - others if p == self.pool else self.power_in(p)


@dataclass(frozen=True)
class Floor:
    """A line under what a plan must serve of a feature when it serves a share s of the objective's.

    share of the feature >= (slope s + intercept) / 10^6. The least share is a convex function of s
    that is 0 at 0, so its tangents have slope >= 0 and intercept <= 0.
    """

    slope: int
    intercept: int


@dataclass(frozen=True)
class FleetData:
    """One question to the fleet model.

    Attributes:
        pools, kinds: what there is.
        features: how many features the traffic has.
        max_kinds: most kinds of one role used at once.
        devices, replicas, price_u, power_mw: limits over all pools; None: no limit.
        prefill_devices, decode_devices: most devices of all kinds of that role; None: no limit.
        sense: `min`: serve all traffic at the least objective: the sum of `fixed`, and the sum of
            `flow`, or the smallest `least_flow` of the kinds used and the sum of `beyond`, if that
            is more. `max`: serve the greatest share of feature `goal`; `fixed`, `flow`,
            `least_flow` and `beyond` are 0 then.
        goal: the objective's feature; read for `max`.
        total: objective if all of it is served; read for `max`.
        served: [feature], floors under the shares of the others; () stands for none at all.
        prefill: features that replicas serve that prefill; those that decode serve the others. A
            plan is all mixed, or has both, of one cache.
        start: objective of each replica that does not run already.
        starts: most replicas that do not run already; None: no limit.
        late_mw: for each time that kinds tell of (`Kind.drawn`), the most power of work that may be
            late, of all kinds together.
        spot_ppm: most devices that may be taken away, millionths of all; None: no limit.
    """

    pools: tuple[PoolData, ...]
    kinds: tuple[Kind, ...]
    features: int
    max_kinds: int
    devices: int | None = None
    replicas: int | None = None
    price_u: int | None = None
    power_mw: int | None = None
    sense: Literal["min", "max"] = "min"
    goal: int = 0
    total: int = 0
    served: tuple[tuple[Floor, ...], ...] = ()
    prefill: frozenset[int] = frozenset()
    start: int = 0
    starts: int | None = None
    late_mw: tuple[int, ...] = ()
    spot_ppm: int | None = None
    prefill_devices: int | None = None
    decode_devices: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError with every fault, one a line."""
        found = [*self._own_faults()]
        if any(len(kind.drawn) != len(self.late_mw) for kind in self.kinds):
            found.append("all kinds need as many rows of what is drawn, as `late_mw` has")
        for r, kind in enumerate(self.kinds):
            found += [f"kind {r}: {fault}" for fault in self._kind_faults(r, kind)]
        if found:
            raise ValueError("\n".join(found))

    def _own_faults(self) -> Iterator[str]:
        if not 1 <= self.features <= MAX_FEATURES:
            yield f"features must lie in 1..{MAX_FEATURES}"
        if self.max_kinds < 1:
            yield "max_kinds must be at least 1"
        if self.served and len(self.served) != self.features:
            yield f"served has {len(self.served)} entries for {self.features} features"
        for floor in (floor for floors in self.served for floor in floors):
            if not (0 <= floor.slope <= MAX_SLOPE and -MAX_SLOPE <= floor.intercept <= 0):
                yield f"a floor needs a slope in 0..{MAX_SLOPE}, an intercept in -{MAX_SLOPE}..0"
        if min(self.start, self.starts or 0, self.spot_ppm or 0, *self.late_mw) < 0:
            yield "start, starts, spot_ppm and late_mw must not be negative"
        if self.sense == "min":
            return
        if self.start:
            yield "sense `max` reads no start; it must be 0"
        if self.total < 1:
            yield "sense `max` needs a total of at least 1"
        if not 0 <= self.goal < self.features:
            yield f"goal {self.goal} is not one of the {self.features} features"
        elif self.served and self.served[self.goal]:
            yield f"feature {self.goal} is the objective's and can have no floor"

    def _kind_faults(self, r: int, kind: Kind) -> Iterator[str]:
        numbers = [kind.price_u, kind.power_mw, kind.standing_mw, kind.fixed, kind.least_flow]
        numbers += (*kind.flow, *kind.beyond)
        rows = (*kind.due, *kind.drawn)
        numbers += sum(kind.work, ())
        numbers += [seat.power_mw for seat in kind.also]
        numbers += [number for due in rows for number in (*due.work, due.late)]
        yield from self._stand_faults(kind)
        if not 0 <= kind.max_count <= MAX_COUNT:
            yield f"max_count must lie in 0..{MAX_COUNT}"
        if any(
            len(row) != self.features
            for row in (kind.flow, kind.beyond or kind.flow, *kind.work, *(d.work for d in rows))
        ):
            yield f"flow, work and what is beyond need {self.features} entries a row"
        if any(number < 0 for number in numbers):
            yield "price, power, work and objective must not be negative"
        if min(kind.spare, kind.running) < 0 or not 0 <= kind.spot_devices <= kind.devices:
            yield "spare and running must not be negative, spot_devices be some of its devices"
        if kind.companions is not None and not kind.companions <= set(range(len(self.kinds))) - {r}:
            yield "its companions must be other kinds"
        if self.sense == "max" and (
            kind.fixed or kind.least_flow or any((*kind.flow, *kind.beyond))
        ):
            yield "sense `max` reads no fixed and no flow; they must be 0"
        if self.sense == "max" and rows:
            yield "sense `max` reads nothing that is due; there must be none"

    def _stand_faults(self, kind: Kind) -> Iterator[str]:
        places = (kind.pool, *(seat.pool for seat in kind.also))
        unknown = next((p for p in places if not 0 <= p < len(self.pools)), None)
        if unknown is not None:
            yield f"there is no pool {unknown}"
            return
        if len(set(places)) < len(places):
            yield "it names a pool twice"
        if min(kind.group_devices, kind.groups, *(seat.groups for seat in kind.also)) < 1:
            yield "it needs at least one group of at least one device"
        for node in {self.pools[p].node_devices: None for p in places}:
            if kind.group_devices > node and kind.group_devices % node:
                yield f"a group of {kind.group_devices} takes no whole nodes of {node} devices"
        if kind.power_in(kind.pool) < 0:
            yield "its groups in other pools draw more power than all of it"

    @cached_property
    def spares_idle(self) -> bool:
        """Whether the traffic must be served without the spare replicas.

        What is left after a loss must serve all of it; but that is another split of the traffic
        than the one that the objective counts, so only where the objective counts none.
        """
        return self.sense == "min" and not any(
            any((*kind.flow, *kind.beyond)) for kind in self.kinds
        )

    @cached_property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """[pool], the kinds that stand there, whole or in part."""
        return tuple(
            tuple(r for r, kind in enumerate(self.kinds) if kind.groups_in(p))
            for p in range(len(self.pools))
        )

    @cached_property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """[pool], the sizes of groups that stand inside a node, largest first."""
        return tuple(
            tuple(
                sorted(
                    {g for r in members if (g := self.kinds[r].group_devices) <= pool.node_devices},
                    reverse=True,
                )
            )
            for pool, members in zip(self.pools, self.members, strict=True)
        )

    @cached_property
    def serving(self) -> tuple[tuple[int, ...], ...]:
        """[feature], the kinds that serve it."""
        return tuple(
            tuple(r for r in range(len(self.kinds)) if self.serves(r, j))
            for j in range(self.features)
        )

    def serves(self, r: int, j: int) -> bool:
        """Return whether kind `r` serves feature `j`."""
        role = self.kinds[r].role
        return role == "mixed" or (role == "prefill") == (j in self.prefill)

    @cached_property
    def caches(self) -> tuple[int, ...]:
        """Caches that may move between replicas, by number."""
        return tuple(sorted({kind.cache for kind in self.kinds if kind.role != "mixed"}))

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """Its limits on sums over replicas."""
        return tuple(limits(self))

    @cached_property
    def power_limits(self) -> tuple[PowerLimit, ...]:
        """Its limits on power that are held against what work draws."""
        return tuple(power_limits(self))

    @property
    def role_devices(self) -> dict[Role, int]:
        """Most devices of each role that has a limit of its own."""
        limits: dict[Role, int | None] = {
            "prefill": self.prefill_devices,
            "decode": self.decode_devices,
        }
        return {role: most for role, most in limits.items() if most is not None}

    def of_role(self, role: Role, cache: int | None = None) -> tuple[int, ...]:
        """Return the kinds of a role; those of a cache alone where one is named."""
        return tuple(
            r
            for r, kind in enumerate(self.kinds)
            if kind.role == role and cache in (None, kind.cache)
        )

    @cached_property
    def most(self) -> tuple[tuple[int, ...], ...]:
        """[kind][feature], the most millionths that `max_count` replicas can serve.

        work y <= SHARE HORIZON n holds for whole y, so y is at most the quotient rounded down;
        with y bounded so, each term of a work row is at most SHARE HORIZON max_count, however
        large the work, and likewise of a row that is due. It is 0 where the kind does not serve the
        feature.
        """
        return tuple(
            tuple(
                0
                if not self.serves(r, j)
                else min(
                    (min(SHARE, SHARE * room // row[j]) for row, room in _rooms(kind) if row[j]),
                    default=SHARE,
                )
                for j in range(self.features)
            )
            for r, kind in enumerate(self.kinds)
        )

    def whole_nodes(self, r: int, p: int) -> int:
        """Return the nodes of pool `p` that a group of kind `r` takes whole; 0: it fits in one."""
        size, node = self.kinds[r].group_devices, self.pools[p].node_devices
        return size // node if size > node else 0


def _rooms(kind: Kind) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield each row of work with what all replicas have time for."""
    room = HORIZON * kind.max_count
    yield from ((row, room) for row in kind.work)
    yield from ((due.work, room + due.late) for due in kind.due)
