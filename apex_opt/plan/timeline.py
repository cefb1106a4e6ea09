"""What a simulated plan did over time, in rows that people and scripts can take in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apex_opt.plan.levels import NS_PER_S
from apex_opt.plan.result import Moment
from apex_opt.plan.use import Part
from apex_opt.sim.member import FleetLog
from apex_opt.sim.state import BLOCKS, BUSY, JOULES, PROMPTS, RUNNING, SAMPLED, WAITING
from apex_opt.sim.steps import Float64

FINER = 4
"""Rows that are simulated for each that is told: so many fill at least half, joined in 2s to 4s."""


def timeline(parts: Sequence[Part], played: FleetLog, most: int) -> tuple[Moment, ...]:
    """Return the time line of a run that was played with `FINER x most` rows, in `most` at most.

    Sequences and blocks count while a batch runs, and for as long as it does; where a pipeline has
    several in flight, for the mean of those. Time is that of the traffic: its zero is before the
    first arrival.
    """
    log = played.log
    end_ns = max(log.totals.end_ns, int(log.last_ns.max()), int(log.arrival_ns.max()))
    line = log.line
    if line.tick_ns == 0 or end_ns == 0:
        return ()
    while line.tick_ns * len(line.tracks) < end_ns:  # requests that are turned down take no step
        line = line.coarser(2 * line.tick_ns)
    tick = line.tick_ns
    used = -(-end_ns // tick)
    flights = sum(p.count * p.ranks * p.candidate.shape.pipeline for p in parts)
    tracks = carried(line.tracks[:used], float(flights * tick))
    joined = -(-used // most)
    starts = np.arange(0, used, joined)
    sums = np.add.reduceat(tracks, starts, axis=0)
    begin_ns = starts * tick
    wide_ns = np.minimum(begin_ns + joined * tick, end_ns) - begin_ns
    overlap = max(float(tracks[:, BUSY].sum()) / max(log.totals.busy_ns, 1), 1.0)
    idle_w, blocks = sum(p.idle_w for p in parts), sum(p.blocks for p in parts)
    return tuple(
        Moment(
            time_s=float(begin / NS_PER_S),
            queue=row[WAITING] / overlap / wide,
            running=row[RUNNING] / overlap / wide,
            kv_use=row[BLOCKS] / overlap / wide / max(blocks, 1),
            power_w=idle_w + row[JOULES] / wide * NS_PER_S,
            prompt_tokens_per_s=row[PROMPTS] / wide * NS_PER_S,
            output_tokens_per_s=row[SAMPLED] / wide * NS_PER_S,
        )
        for begin, wide, row in zip(begin_ns.tolist(), wide_ns.tolist(), sums.tolist(), strict=True)
    )


def carried(tracks: Float64, room_ns: float) -> Float64:
    """Return a time line whose batches go on into the rows after the one in which they start.

    Args:
        tracks: (rows, tracks) sums over the batches that start in each row.
        room_ns: time that all batches of a row can take in it: its width for each in flight.

    Returns:
        (rows, tracks): what takes longer than `room_ns` in all is moved on, in proportion; the
        last row keeps what is left. Sums stay.
    """
    spread, left = np.zeros_like(tracks), np.zeros(tracks.shape[1])
    for k, row in enumerate(tracks):
        left = left + row
        share = 1.0 if k == len(tracks) - 1 else min(room_ns / max(left[BUSY], room_ns), 1.0)
        spread[k] = share * left
        left = left - spread[k]
    return spread
