"""A row of blocks that goes from site to site: the rules, and the order that a solution stands for.

Sets        a, b in S             sites
            o                     ways to cross, (v, w): before it machines carry at most v each,
                                  after it at most w
Data        F      tokens/s       what the row carries
Variables   z[q] in N             blocks q, anywhere in their site; those of no site anywhere
            in[q], out[q] in N    blocks behind and before gates, of one gate each
            x[a,b,o] in {0,1}     the row crosses from a to b so; begins or ends at a
            y[a,b] in {0,1}       it does by way of a block of no site
Rules       the x and y that are 1 make a circuit through source and sink
            z[q] > 0 only at sites on it
            blocks behind a gate w of b are as many as crossings to b with w < F; alike before
            at least as many blocks of no site as crossings by way of one

A machine of a block of no site carries no more than any link between sites, so that it may stand
next to any machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from ortools.sat.python.cp_model import CpModel, IntVar, LinearExpr

from apex_opt.solvers.flow_blocks import Part
from apex_opt.solvers.flow_sites import ANYWHERE, Sites

SOURCE = -1
"""Also the sink: the trail is a circuit."""
Gate = tuple[int, float]
"""A site, and what each machine carries at most that begins, or ends, at the gate."""


@dataclass(frozen=True)
class Block:
    """A network of machines that holds `length` layers and carries `rate` tokens a second.

    Attributes:
        length: layers.
        rate: tokens a second.
        use: [kind], machines that it takes.
        parts: its machines.
        site: where it stands; ANYWHERE where machines of several sites may make one block.
        gate: what each machine at its first layer carries at most; infinite where that is open.
    """

    length: int
    rate: float
    use: tuple[int, ...]
    parts: tuple[Part, ...]
    site: int = 0
    gate: float = float("inf")

    @property
    def backwards(self) -> Block:
        """The same network from its last layer to its first."""
        parts = tuple((t, self.length - last, self.length - first) for t, first, last in self.parts)
        return replace(self, parts=parts)


@dataclass(frozen=True)
class Trail:
    """A model of rows. Columns of blocks: inside a site, behind a gate, before a gate.

    Attributes:
        model: of CP-SAT.
        blocks: one a column.
        z: [role][block], how often it is used; roles are 0, 1, 2 for inside, behind, before.
        arcs: (from, to, whether by way of a block of no site, whether at all).
    """

    model: CpModel
    blocks: Sequence[Block]
    z: tuple[list[IntVar], list[IntVar], list[IntVar]]
    arcs: list[tuple[int, int, bool, IntVar]]

    def totals(self, coefficients: Sequence[int]) -> LinearExpr:
        """sum_q coefficient[q] (z[q] + in[q] + out[q])."""
        return LinearExpr.sum([LinearExpr.weighted_sum(z, coefficients) for z in self.z])

    def row(self, value: Sequence[Sequence[int]], on: Sequence[bool]) -> Iterator[Block]:
        """Yield the blocks of a solution in order.

        Args:
            value: [role][block], that of z.
            on: [arc], whether it is used.
        """
        goes = {a: (b, by) for (a, b, by, _), yes in zip(self.arcs, on, strict=True) if yes}
        free = [*self._of(ANYWHERE, 0, value[0])]
        between = sum(by for _, by in goes.values())
        yield from free[between:]
        at, _ = goes.get(SOURCE, (SOURCE, False))
        while at != SOURCE:
            yield from self._of(at, 1, value[1])
            yield from self._of(at, 0, value[0])
            yield from self._of(at, 2, value[2])
            at, by = goes[at]
            if by:
                between -= 1
                yield free[between]

    def _of(self, site: int, role: int, value: Sequence[int]) -> Iterator[Block]:
        for block, times in zip(self.blocks, value, strict=True):
            if block.site == site:
                yield from [block.backwards if role == 2 else block] * times


def trail(blocks: Sequence[Block], most: Sequence[int], sites: Sites, rate: float) -> Trail:
    """Return the model of the rows of some blocks, without lengths and uses.

    Args:
        blocks: that carry `rate`.
        most: [block], how often it can stand in a row.
        sites: where blocks stand, and what links between them carry.
        rate: what the row carries, tokens a second.
    """
    m = CpModel()
    gated = [n if block.gate < rate else 0 for n, block in zip(most, blocks, strict=True)]
    z = tuple(
        [m.new_int_var(0, n, f"z[{role},{q}]") for q, n in enumerate(row)]
        for role, row in enumerate((most, gated, gated))
    )
    behind, before = defaultdict[Gate, list[IntVar]](list), defaultdict[Gate, list[IntVar]](list)
    arcs = []
    for a, b, (end, begin) in _crossings(sites, rate):
        x = m.new_bool_var(f"x[{a},{b},{end},{begin}]")
        arcs.append((a, b, False, x))
        if b != SOURCE and begin < rate:
            behind[b, begin].append(x)
        if a != SOURCE and end < rate:
            before[a, end].append(x)
    for a, b in permutations(range(len(sites.machines)), 2):
        arcs.append((a, b, True, m.new_bool_var(f"y[{a},{b}]")))
    free = LinearExpr.sum([x for x, block in zip(z[0], blocks, strict=True) if block.site < 0])
    m.add(free >= LinearExpr.sum([y for *_, by, y in arcs if by]))
    away = [m.new_bool_var(f"away[{a}]") for a in range(len(sites.machines))]
    nowhere = m.new_bool_var("nowhere")
    m.add_bool_and(away).only_enforce_if(nowhere)
    m.add_circuit(
        [(0, 0, nowhere)]
        + [(a + 1, b + 1, x) for a, b, _, x in arcs]
        + [(a + 1, a + 1, x) for a, x in enumerate(away)]
    )
    for q, block in enumerate(blocks):
        if block.site != ANYWHERE:
            m.add(z[0][q] == 0).only_enforce_if(away[block.site])
    for role, gates in ((1, behind), (2, before)):
        columns = defaultdict[Gate, list[IntVar]](list)
        for q, block in enumerate(blocks):
            columns[block.site, block.gate].append(z[role][q])
        for gate in {*gates, *columns}:
            m.add(LinearExpr.sum(columns[gate]) == LinearExpr.sum(gates[gate]))
    return Trail(m, blocks, (z[0], z[1], z[2]), arcs)


def _crossings(sites: Sites, rate: float) -> Iterator[tuple[int, int, tuple[float, float]]]:
    """Yield (from, to, what machines carry at most before, and after)."""
    count = len(sites.machines)
    for a in range(count):
        if sites.enter[a] > 0:
            yield SOURCE, a, (rate, sites.enter[a])
        if sites.leave[a] > 0:
            yield a, SOURCE, (sites.leave[a], rate)
        for b in range(count):
            if a != b:
                for fan in sites.fans(a, b, rate):
                    yield a, b, fan
