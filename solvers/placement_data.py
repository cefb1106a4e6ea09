"""What the placement model is asked: layers in a row, groups of devices, limits. Integers only.

A pipeline cuts the layers into stages, runs of consecutive layers; each stage stands on one group
of devices (one tensor-parallel group). Layers come in kinds (embedding, dense, mixture of experts,
head); a group takes a time for n layers of a kind, which need not grow evenly, nor grow at all, as
it is measured. No solver here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

Stage = tuple[int, int, int]
"""A stage: its group's number, its first layer, the layer after its last."""
Pipeline = tuple[Stage, ...]
"""The stages of one pipeline, in order."""

MOST = 2**50
"""No single number is larger, so that sums of them fit 64 bits."""


@dataclass(frozen=True)
class Group:
    """A kind of group of devices, as many of it as its pool has devices for.

    Attributes:
        pool: number of its pool.
        devices: that one group takes.
        memory_bytes: of the group, for all that its stage holds.
        fixed_bytes: taken whatever it holds (activations, buffers).
        layer_bytes: [kind], weights and reserved cache of one layer.
        fixed_ns: time of a step whatever it holds.
        layers_ns: [kind][n], time of a step for n layers of the kind, on top of that.
        power_mw: of one running group.
    """

    pool: int
    devices: int
    memory_bytes: int
    fixed_bytes: int
    layer_bytes: tuple[int, ...]
    fixed_ns: int
    layers_ns: tuple[tuple[int, ...], ...]
    power_mw: int = 0


@dataclass(frozen=True)
class PlacementData:
    """One question to the placement model.

    Attributes:
        runs: (kind, layers) of the model, from the first layer to the last.
        groups: kinds of groups.
        stock: [pool], devices.
        hop_ns: [group][group], time to hand a step's activations from a stage on the one to the
            next stage on the other.
        pipelines: that stand in the cluster at once.
        stages: most of one pipeline; None: no limit.
        power_mw: of all groups together; None: no limit.
        latency_ns: most time from the first layer to the last, hops included; None: no limit.
    """

    runs: tuple[tuple[int, int], ...]
    groups: tuple[Group, ...]
    stock: tuple[int, ...]
    hop_ns: tuple[tuple[int, ...], ...]
    pipelines: int = 1
    stages: int | None = None
    power_mw: int | None = None
    latency_ns: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError with every fault, one a line."""
        found = [*self._own_faults()]
        for g, group in enumerate(self.groups):
            found += [f"group {g}: {fault}" for fault in self._group_faults(group)]
        if found:
            raise ValueError("\n".join(found))

    def _own_faults(self) -> Iterator[str]:
        if not self.runs or any(kind < 0 or count < 1 for kind, count in self.runs):
            yield "runs need a kind and at least one layer each"
        if any(len(row) != len(self.groups) for row in (self.hop_ns, *self.hop_ns)):
            yield f"hop_ns needs {len(self.groups)} rows of as many entries"
        if any(not 0 <= hop <= MOST for row in self.hop_ns for hop in row):
            yield f"hop_ns must lie in 0..{MOST}"
        if any(not 0 <= devices <= MOST for devices in self.stock):
            yield f"stock must lie in 0..{MOST}"
        if self.pipelines < 1 or (self.stages is not None and self.stages < 1):
            yield "pipelines and stages must be at least 1"

    def _group_faults(self, group: Group) -> Iterator[str]:
        kinds = 1 + max((kind for kind, _ in self.runs), default=0)
        if not 0 <= group.pool < len(self.stock):
            yield f"there is no pool {group.pool}"
        if group.devices < 1:
            yield "it needs at least one device"
        if min(len(group.layer_bytes), len(group.layers_ns)) < kinds:
            yield f"layer_bytes and layers_ns need {kinds} kinds of layers"
        if any(not row or row[0] != 0 for row in group.layers_ns):
            yield "layers_ns must begin with 0, the time of no layers"
        numbers = (group.memory_bytes, group.fixed_bytes, group.fixed_ns, group.power_mw)
        rows = (numbers, group.layer_bytes, *group.layers_ns)
        if any(not 0 <= number <= MOST for row in rows for number in row):
            yield f"bytes, times and power must lie in 0..{MOST}"

    @cached_property
    def layers(self) -> int:
        """Layers of the model."""
        return sum(count for _, count in self.runs)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """[run], its first layer; and the number of layers at the end."""
        return (0, *accumulate(count for _, count in self.runs))

    def counts(self, first: int, last: int) -> dict[int, int]:
        """Return how many layers of each kind stand in [first, last)."""
        found: dict[int, int] = {}
        for (kind, count), start in zip(self.runs, self.starts, strict=False):
            inside = min(last, start + count) - max(first, start)
            if inside > 0:
                found[kind] = found.get(kind, 0) + inside
        return found

    def stage_ns(self, stage: Stage) -> int | None:
        """Return the time of a step on a stage, or None where its group cannot hold it."""
        g, first, last = stage
        group = self.groups[g]
        counts = self.counts(first, last)
        taken = group.fixed_bytes + sum(n * group.layer_bytes[k] for k, n in counts.items())
        if taken > group.memory_bytes:
            return None
        if any(n >= len(group.layers_ns[k]) for k, n in counts.items()):
            return None
        return group.fixed_ns + sum(group.layers_ns[k][n] for k, n in counts.items())
