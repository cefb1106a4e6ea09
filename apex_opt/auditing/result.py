"""What an audit says: the model behind `apexopt audit --json`, and what the Python API returns.

`schema_version` changes when a script that reads the JSON would break. Codes of causes are stable.
"""

from __future__ import annotations

from typing import Literal

from apex_opt.plan.result import Record

SCHEMA_VERSION: Literal[1] = 1

Code = Literal[
    "memory.weights",
    "memory.kv_cache",
    "memory.activations",
    "memory.reserve",
    "divisibility",
    "experts",
    "format",
    "engine",
    "node",
    "stock",
    "power",
    "budget",
    "devices",
    "replicas",
    "starts",
    "spot",
    "spares",
    "length",
    "demand",
    "slo.unreachable",
    "slo.load",
    "choices",
    "nothing_helps",
]


class Entry(Record):
    """An entry of the spec: its key, its line (None if it comes from no file), and its value.

    `default` entries are not written in the spec; their line is that of the nearest table.
    """

    key: str
    file: str | None
    line: int | None
    value: str
    default: bool


class Change(Record):
    """An entry and the value that it would need.

    Attributes:
        value: the value, for people; `words` say the whole change.
        number: the value where it is a number; None for a choice.
        barred: a value that is proved to be too little, for people; None of a choice, or where none
            beyond that of the spec is proved. Of an undecided spec it is tighter than the spec's.
        barred_number: the same as a number.
    """

    entry: Entry
    value: str
    number: float | None
    words: str
    barred: str | None = None
    barred_number: float | None = None


class Relaxation(Record):
    """Changes with which the spec has a plan, verified by simulation of that plan.

    Attributes:
        smallest: `proved`: with 1 % (or one unit) less of a change there is none. `not proved`: a
            smaller change, down to what is `barred`, was neither shown to do nor excluded.
        size: how large the changes are together, a logarithm; relaxations come in its order.
        plan: label of a plan that meets the changed spec.
    """

    changes: tuple[Change, ...]
    smallest: Literal["proved", "not proved"]
    size: float
    plan: str

    @property
    def text(self) -> str:
        """The changes for people: `slo.tpot_ms` 12 ms -> 17.4 ms."""
        return " and ".join(change.words for change in self.changes)


class Conflict(Record):
    """Entries that cannot hold together, why, and what of them would help.

    Attributes:
        code: the cause.
        text: the cause in a sentence or two, with its arithmetic.
        entries: none of them can be left out; empty where nothing within its range helps.
        irreducible: whether that is proved for each of them.
        relaxations: smallest first; with other conflicts cured, where there are any.
        helpless: keys of entries that are proved to be of no help alone.
        unknown: keys of entries of which no change was found to help alone, though none of them is
            proved not to.
    """

    code: Code
    text: str
    entries: tuple[Entry, ...]
    irreducible: bool
    relaxations: tuple[Relaxation, ...]
    helpless: tuple[str, ...]
    unknown: tuple[str, ...] = ()


class Near(Record):
    """The plan that comes closest. It does not meet the spec; `misses` says by what."""

    plan: str
    misses: tuple[str, ...]


class Held(Record):
    """An entry of a spec that can be met: what the best plan uses of it, and what it costs.

    Attributes:
        used: what the best plan uses; None where nothing is counted.
        slack: what is left of it, in percent of the value; None likewise.
        binds: whether the best plan is better without it.
        without: the best objective without it; None if it was not found in the time.
        step: what a small change is worth, for people; None where it binds not, or is a choice.
        per_unit: by how much the objective changes for each unit of the entry, over that step.
        proved: whether `without` is proved to be the best.
    """

    entry: Entry
    used: str | None
    slack: float | None
    binds: bool
    without: float | None
    step: str | None
    per_unit: float | None = None
    proved: bool


class Carried(Record):
    """How much demand a spec that can be met would carry, all else as it is.

    Attributes:
        entry: what says how much demand there is.
        value, number: the most that a simulated plan was found for, up to 16 times the demand.
        barred: demand that bounds exclude, and all above it; None: not within 16 times.
        plan: label of the plan that carries it.
    """

    entry: Entry
    value: str
    number: float
    barred: str | None
    plan: str


class Alternative(Record):
    """A plan that lost, and why."""

    plan: str
    reason: str


class Audit(Record):
    """The answer of `audit`.

    Attributes:
        status: `undecided`: no plan was found and none excluded.
        text: the answer in a sentence.
        relaxations: changes that make the whole spec feasible, smallest first; where it is
            undecided, those for which a simulated plan is known.
        best, objective, unit: of a spec that can be met.
        questions, simulated: how much was asked.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    apexopt_version: str
    model: str
    status: Literal["feasible", "infeasible", "undecided"]
    text: str
    conflicts: tuple[Conflict, ...] = ()
    relaxations: tuple[Relaxation, ...] = ()
    near: Near | None = None
    best: str | None = None
    objective: float | None = None
    unit: str = ""
    held: tuple[Held, ...] = ()
    carried: Carried | None = None
    alternatives: tuple[Alternative, ...] = ()
    questions: int = 0
    simulated: int = 0
    seconds: float = 0.0

    @property
    def conflict(self) -> Conflict | None:
        """The first conflict; None where there is none."""
        return self.conflicts[0] if self.conflicts else None
