"""What the flow model is asked: machines that hold intervals of layers, and the links between them.

Every machine holds a run of consecutive layers, and tokens flow from machine to machine through
all layers in order. A *placement* gives the interval [first, last) of each machine. Tokens may pass
from machine u to machine v where v's first layer is the one after u's last. How many a second reach
the end is a maximum flow. No solver here.

Source: Y. Mei, Y. Zhuang, X. Miao, J. Yang, Z. Jia, R. Vinayak, "Helix: Serving Large Language
Models over Heterogeneous GPUs and Network via Max-Flow", ASPLOS 2025.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

Interval = tuple[int, int]
"""Layers first, first + 1, ..., last - 1."""
Placement = tuple[Interval, ...]
"""The interval of each machine."""


@dataclass(frozen=True)
class FlowData:
    """One question to the flow model. Rates are in tokens a second.

    Attributes:
        layers: of the model.
        rates: [type][k - 1], what a machine of the type carries if it holds k layers; it can hold
            no more layers than there are entries.
        machines: the type of each machine.
        enter, leave: [machine], of its link from the source and to the sink; 0: no link.
        links: [machine][machine], of the link between two; 0: no link.
    """

    layers: int
    rates: tuple[tuple[float, ...], ...]
    machines: tuple[int, ...]
    enter: tuple[float, ...]
    leave: tuple[float, ...]
    links: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        """Raise ValueError with every fault, one a line."""
        found = [*self._faults()]
        if found:
            raise ValueError("\n".join(found))

    def _faults(self) -> Iterator[str]:
        count = len(self.machines)
        if self.layers < 1:
            yield "layers must be at least 1"
        if not count:
            yield "there must be at least one machine"
        if any(not 0 <= t < len(self.rates) for t in self.machines):
            yield f"machine types must lie in 0..{len(self.rates) - 1}"
        if any(not row for row in self.rates):
            yield "every machine type must be able to hold a layer"
        if any(len(row) != count for row in (self.enter, self.leave, self.links, *self.links)):
            yield f"enter, leave and links need {count} entries a row"
        rows = (*self.rates, self.enter, self.leave, *self.links)
        if any(not 0 <= rate < float("inf") for row in rows for rate in row):
            yield "rates must be finite and must not be negative"

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """[type], how many machines of it there are."""
        return tuple(self.machines.count(t) for t in range(len(self.rates)))

    def holds(self, machine: int) -> int:
        """Return the most layers that `machine` can hold."""
        return min(len(self.rates[self.machines[machine]]), self.layers)

    def rate(self, machine: int, interval: Interval) -> float:
        """Return what `machine` carries if it holds `interval`."""
        first, last = interval
        return self.rates[self.machines[machine]][last - first - 1]
