"""Lay out what the loop reads and writes, for one replica or for several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.line import TICK_NS
from apex_opt.sim.load import Load
from apex_opt.sim.state import (
    BINS,
    NOBODY,
    TRACKS,
    Batch,
    Cohort,
    Given,
    Machine,
    More,
    Node,
    Peak,
    Request,
    State,
    Table,
    dtype,
)
from apex_opt.sim.state import Sequence as Slot
from apex_opt.sim.steps import Float64, Int64, StepTable

Bool = NDArray[np.bool_]
Number = TypeVar("Number", bound=np.generic)

PPM = 1_000_000
PATIENCE = 100
"""Preemptions for each of `max_seqs`, no token between them, after which a run is given up."""


@dataclass(frozen=True)
class Sizes:
    """How long the arrays of a replica are.

    Attributes:
        stages: pipeline stages, and so cohorts, at least 1.
        depth: batches in flight.
        slots: sequences.
        block_tokens: tokens of a block.
        longest: tokens of the longest output.
        rows: of the time line.
        ordered: requests, where the queue has an order of its own; else 1.
    """

    stages: int
    depth: int
    slots: int
    block_tokens: int
    longest: int
    rows: int
    ordered: int


def sizes(load: Load, rules: EngineRules, steps: StepTable, refused: Bool, rows: int) -> Sizes:
    """Return how long the arrays of a replica must be."""
    return Sizes(
        stages=steps.stages,
        depth=depth(rules, steps),
        slots=rules.max_seqs,
        block_tokens=rules.block_tokens,
        longest=int(load.output_tokens[~refused].max(initial=0)) + 1,
        rows=rows,
        ordered=len(load) if rules.order != "fcfs" else 1,
    )


def widest(each: Sequence[Sizes]) -> Sizes:
    """Return sizes that are enough for each of several replicas."""
    names = ("stages", "depth", "slots", "block_tokens", "longest", "rows", "ordered")
    return Sizes(**{name: max(getattr(one, name) for one in each) for name in names})


def state(load: Load, each: Sequence[Sizes], *, joint: bool) -> State:
    """Return the state of replicas that have not begun; `requests` and `nodes` are missing."""
    size, sessions = widest(each), len(load.after) > 0
    replicas = len(each)
    stages, flights = sum(one.stages for one in each), sum(one.depth for one in each)
    return State(
        machines=cast("list[Machine]", zeros(Machine, replicas)),
        requests=cast("list[Request]", zeros(Request, 0)),
        more=cast(
            "list[More]",
            more(
                load, needed=joint or sessions or size.ordered > 1 or len(load.encoder_tokens) > 0
            ),
        ),
        sequences=cast("list[Slot]", zeros(Slot, sum(one.slots for one in each))),
        cohorts=cast("list[Cohort]", zeros(Cohort, stages)),
        batches=cast("list[Batch]", zeros(Batch, flights)),
        nodes=cast("list[Node]", zeros(Node, 1)),
        peaks=np.zeros((stages, 2 * size.slots + 2), dtype(Peak)),
        residues=np.zeros((stages, size.block_tokens), np.int64),
        ending=np.full((stages, size.longest), NOBODY, np.int32),
        gaps=np.zeros(BINS, np.int64),
        heap=np.zeros((replicas, size.ordered), np.int64),
        opens=load.opens.astype(np.int64) if sessions else blank(1),
        due=blank(len(load) if sessions else 1),
        line=np.zeros((replicas, size.rows, TRACKS)),
    )


ENDS = ("line", "last", "tree", "oldest_node", "newest_node", "oldest_host", "newest_host")
"""Links of a replica that lead nowhere at first."""


def begin(s: State, load: Load, rules: Sequence[EngineRules], each: Sequence[Sizes]) -> None:
    """Let replicas begin: everything idle and free."""
    slots = cohorts = flights = leaf = 0
    for number, (rule, size) in enumerate(zip(rules, each, strict=True)):
        machine = cast("Any", s.machines)[number : number + 1]
        first = {"number": number, "slots": slots, "cohorts": cohorts, "flights": flights}
        for name, value in first.items():
            machine[name] = value
        machine["leaf"] = leaf + len(load.prefixes)
        machine["free"], machine["spares"] = rule.blocks, rule.max_seqs
        machine["sent"] = min(load.concurrency or len(load), len(load.opens))
        machine["share_ppm"] = rule.owed_ppm
        machine["tick_ns"] = TICK_NS if size.rows else 0
        for end in ENDS:
            machine[end] = NOBODY
        spare = cast("Any", s.sequences)[slots : slots + size.slots]
        spare["spare"] = np.arange(slots, slots + size.slots)
        idle = cast("Any", s.batches)[flights : flights + size.depth]
        idle["idle"] = cohorts + np.arange(size.depth) % size.stages
        slots, cohorts = slots + size.slots, cohorts + size.stages
        flights += size.depth
        leaf += (len(load) + len(load.prefixes)) if rule.prefix_caching else 0
    for end in ("head", "tail", "partial"):
        cast("Any", s.cohorts)[end] = NOBODY


def lay_out(
    load: Load, rules: EngineRules, steps: StepTable, refused: Bool, rows: int = 0
) -> State:
    """Return the state of an idle replica."""
    size = sizes(load, rules, steps, refused, rows)
    start = state(load, [size], joint=False)
    begin(start, load, [rules], [size])
    return start._replace(
        requests=cast("list[Request]", requests(load, refused)),
        nodes=cast("list[Node]", nodes(load, rules) if rules.prefix_caching else zeros(Node, 1)),
    )


def given(load: Load, rules: EngineRules, steps: StepTable) -> Given:
    """Return the constants of a run."""
    record = np.zeros(1, dtype(Given))[0]
    for name in common(EngineRules):
        record[name] = getattr(rules, name)
    for name in common(StepTable):
        record[name] = getattr(steps, name)
    record["overhead_ns"] = rules.request_overhead_ns
    record["queued"] = rules.order != "fcfs"
    record["by_priority"] = rules.order == "priority"
    record["sessions"] = len(load.after) > 0
    record["encodes"] = len(load.encoder_tokens) > 0
    record["patience"] = PATIENCE * rules.max_seqs
    record["depth"], record["stages"] = depth(rules, steps), steps.stages
    return for_share(cast("Given", record), load)


def for_share(constants: Given, load: Load) -> Given:
    """Return the constants of a run in which a replica takes only these requests of the load."""
    record = cast("Any", constants).copy()
    record["openings"] = len(load.opens)
    record["opening"] = min(load.concurrency or len(load), len(load.opens))
    return cast("Given", record)


def common(fields: type) -> list[str]:
    """Return the constants of a run that another class has under the same name."""
    return [name for name in Given.__annotations__ if name in fields.__annotations__]


def depth(rules: EngineRules, steps: StepTable) -> int:
    """Return how many batches may be in flight."""
    return 2 if steps.stages == 1 and rules.async_scheduling else steps.stages


def table(steps: StepTable) -> Table:
    """Return the arrays of the step table as the loop reads them."""
    return tables([steps])


def tables(each: Sequence[StepTable]) -> Table:
    """Return step tables side by side, the shorter ones filled up with zeros."""
    tokens, draft_ns, fs = [], [], []
    for one in each:
        rates = (one.context_fs, one.window_fs, one.pair_fs, one.window_pair_fs)
        more = (one.history_fs, one.mixed_context_fs, one.mixed_window_fs, one.encoder_pair_fs)
        unlike = len(one.hop_ns)
        encoder = one.encoder_ns if len(one.encoder_ns) else np.zeros_like(one.hop_ns)
        tokens.append(np.stack([one.decode_ns, one.mixed_ns, one.hop_ns, encoder], axis=1))
        draft_ns.append(guessing(one.draft_ns, one.max_seqs))
        fs.append(np.stack([r if len(r) else blank(unlike) for r in rates + more], axis=1))
    rows_j = [np.stack([one.rows_j, guessing(one.draft_j, one.max_seqs)]) for one in each]
    return Table(
        row=stacked([one.row_of for one in each]),
        tokens_ns=stacked(tokens),
        rows_ns=stacked([one.rows_ns for one in each]),
        draft_ns=stacked(draft_ns),
        fs=stacked(fs),
        tokens_j=stacked([np.stack([one.decode_j, one.mixed_j, reading_j(one)]) for one in each]),
        rows_j=stacked(rows_j),
    )


def reading_j(one: StepTable) -> Float64:
    """Return the energy of the encoder's pass, by tokens: nothing where there is none."""
    return one.encoder_j if len(one.encoder_j) else np.zeros_like(one.decode_j)


def guessing(column: NDArray[Number], max_seqs: int) -> NDArray[Number]:
    """Return what guessing costs by decoding sequences: nothing for none."""
    whole = np.zeros(max_seqs + 1, column.dtype)
    whole[1 : len(column)] = column[1:]
    return whole


def stacked(arrays: Sequence[NDArray[Number]]) -> NDArray[Number]:
    """Return arrays side by side."""
    if len(arrays) == 1:
        return arrays[0][np.newaxis]
    shape = [max(lengths) for lengths in zip(*(a.shape for a in arrays), strict=True)]
    whole = np.zeros((len(arrays), *shape), arrays[0].dtype)
    for k, array in enumerate(arrays):
        place: Any = (k, *(slice(length) for length in array.shape))
        whole[place] = array
    return whole


def blank(n: int) -> Int64:
    """Return n zeros."""
    return np.zeros(n, np.int64)


def zeros(fields: type, n: int) -> NDArray[np.void]:
    """Return n records of a class of `apex_opt.sim.state`."""
    return np.zeros(n, dtype(fields))


def requests(load: Load, refused: Bool) -> NDArray[np.void]:
    """Return the requests as records."""
    records = zeros(Request, len(load))
    records["arrival"] = load.arrival_ns
    records["prompt"] = load.prompt_tokens
    records["output"] = load.output_tokens
    records["rejected"] = refused
    for name in ("start", "first", "last"):
        records[name] = -1
    records["gap"] = np.where(refused, -1, 0)
    return records


def fixed(load: Load, rules: EngineRules) -> Int64:
    """Return (n,) the blocks that each request holds beside those of its tokens."""
    most = -(-(load.prompt_tokens + load.output_tokens - 1) // rules.block_tokens)
    windows: Int64 = np.minimum(most, rules.window_limit) * rules.window_ppm
    blocks: Int64 = rules.sequence_blocks - (-windows // PPM)
    if rules.cross_cache and len(load.encoder_tokens):
        blocks = blocks - rules.token_blocks * (-load.encoder_tokens // rules.block_tokens)
    return blocks


def more(load: Load, *, needed: bool) -> NDArray[np.void]:
    """Return what only some rules need of the requests."""
    records = zeros(More, len(load) if needed else 1)
    if needed:
        records["next"] = followers(load) if len(load.after) else NOBODY
        columns = {
            "think": load.think_ns,
            "priority": load.priority,
            "encoder": load.encoder_tokens,
        }
        for name, column in columns.items():
            records[name] = column if len(column) else 0
        records["prefix"] = load.prefix if len(load.prefix) else NOBODY
    return records


def followers(load: Load) -> Int64:
    """Return (n,) the request that follows each one in its session, or -1."""
    later = np.full(len(load), NOBODY, np.int64)
    follows = np.flatnonzero(load.after >= 0)
    later[load.after[follows]] = follows
    return later


def nodes(load: Load, rules: EngineRules) -> NDArray[np.void]:
    """Return the tree of prefixes: the nodes of the load, then a private one of each request."""
    shared, n, size = len(load.prefixes), len(load), rules.block_tokens
    above = np.full(n, NOBODY, np.int64)
    if len(load.prefix):
        above[:] = load.prefix
    if len(load.after):
        above = np.where(load.after >= 0, shared + load.after, above)
    end = np.concatenate([load.prefixes.tokens, load.prompt_tokens + load.output_tokens])
    records = zeros(Node, shared + n)
    records["parent"] = np.concatenate([load.prefixes.parent, above])
    parent = records["parent"]
    start = np.where(parent >= 0, end[parent], 0) if len(end) else end
    records["first"] = records["cached"] = records["host"] = start // size
    records["last"] = end // size
    return records
