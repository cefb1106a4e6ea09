"""Sequences that step together: their links, the steps in which they end, their longest gaps.

Every decoding sequence of a cohort decodes in every batch of the cohort that decodes. So a cohort
keeps totals: contexts grow by one each, the sequences that need a block are those of one residue
class, those that end stand in a ring by step, and the longest gap of a sequence is the longest of
the cohort since it joined.
"""

from __future__ import annotations

import numpy as np

from apex_opt.sim.jit import njit_helper, njit_rare
from apex_opt.sim.state import NOBODY, Batch, Machine, State


@njit_helper
def append(s: State, which: int, slot: int) -> None:
    """Make a sequence the last of its cohort."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    sequence.before, sequence.after = cohort.tail, NOBODY
    if cohort.tail == NOBODY:
        cohort.head = slot
    else:
        s.sequences[cohort.tail].after = slot
    cohort.tail = slot


@njit_helper
def unlink(m: Machine, s: State, which: int, slot: int) -> None:
    """Take a sequence from its cohort; its slot is spare, its fields still stand."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    if sequence.before == NOBODY:
        cohort.head = sequence.after
    else:
        s.sequences[sequence.before].after = sequence.after
    if sequence.after == NOBODY:
        cohort.tail = sequence.before
    else:
        s.sequences[sequence.after].before = sequence.before
    s.sequences[m.slots + m.spares].spare = slot
    m.spares += 1


@njit_helper
def await_ending(s: State, which: int, slot: int, steps: int) -> None:
    """Let a sequence end after so many steps of its cohort, behind those that do already."""
    sequence = s.sequences[slot]
    sequence.spot = (s.cohorts[which].spot + steps - 1) % s.ending.shape[1]
    first = s.ending[which, sequence.spot]
    sequence.later = NOBODY
    if first == NOBODY:
        s.ending[which, sequence.spot] = sequence.sooner = slot
    else:
        last = s.sequences[first].sooner
        s.sequences[last].later = slot
        sequence.sooner, s.sequences[first].sooner = last, slot


@njit_helper
def forget_ending(s: State, which: int, slot: int) -> None:
    """Take a sequence from those that end in its last step."""
    sequence = s.sequences[slot]
    first = s.ending[which, sequence.spot]
    if first == slot:
        first = s.ending[which, sequence.spot] = sequence.later
    else:
        s.sequences[sequence.sooner].later = sequence.later
    if sequence.later != NOBODY:
        s.sequences[sequence.later].sooner = sequence.sooner
    elif first != NOBODY:
        s.sequences[first].sooner = sequence.sooner


# ---- gaps


@njit_helper
def bin_of(gap: int) -> int:
    """Return the bin of a gap: its exponent and the 8 bits after the leading one."""
    return (int(np.float64(max(gap, 1)).view(np.int64)) >> 44) - (1023 << 8)


@njit_helper
def note_gap(s: State, batch: Batch) -> None:
    """Note the time since each decoding sequence sampled before."""
    cohort = s.cohorts[batch.cohort]
    gap = batch.finish - cohort.finish
    if cohort.newcomers < cohort.decoding:
        s.gaps[bin_of(gap)] += cohort.decoding - cohort.newcomers
        note_peak(s, batch, gap)
    if cohort.newcomers > 0:
        note_newcomers(s, batch)


@njit_rare
def note_newcomers(s: State, batch: Batch) -> None:
    """The same for those that have sampled since the cohort decoded last."""
    cohort = s.cohorts[batch.cohort]
    slot = cohort.newest
    for _ in range(cohort.newcomers):
        sequence = s.sequences[slot]
        gap = batch.finish - sequence.since
        request = s.requests[sequence.request]
        request.gap = max(request.gap, gap)
        s.gaps[bin_of(gap)] += 1
        sequence.since, sequence.watched = -1, cohort.step + 1
        slot = sequence.newer
    cohort.watched = cohort.step + 1
    cohort.newcomers = 0


@njit_helper
def add_newcomer(s: State, which: int, slot: int, since: int) -> None:
    """Let a sequence be one of them: it sampled at `since`."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    sequence.since, sequence.newer = since, cohort.newest
    cohort.newest = slot
    cohort.newcomers += 1


@njit_rare
def forget_newcomer(s: State, which: int, slot: int) -> None:
    """Take a sequence from them."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    cohort.newcomers -= 1
    sequence.since = -1
    if cohort.newest == slot:
        cohort.newest = sequence.newer
        return
    other = s.sequences[cohort.newest]
    while other.newer != slot:
        other = s.sequences[other.newer]
    other.newer = sequence.newer


@njit_helper
def note_peak(s: State, batch: Batch, gap: int) -> None:
    """Keep the gap of this step if some sequence has had no larger one since it joined."""
    cohort = s.cohorts[batch.cohort]
    peaks, k = s.peaks[batch.cohort], cohort.peaks
    while k > 0 and peaks[k - 1].gap <= gap:
        k -= 1
    if k == 0 or cohort.watched > peaks[k - 1].step:
        if k == len(peaks):
            k = forget_peaks(s, batch.cohort)
        peaks[k].step, peaks[k].gap = cohort.step, gap
        k += 1
    cohort.peaks = k


@njit_helper
def forget_peaks(s: State, which: int) -> int:
    """Keep only the peaks that a sequence of the cohort can ask for; return how many."""
    peaks = s.peaks[which]
    slot, k, kept = s.cohorts[which].head, 0, 0
    while slot != NOBODY:
        while k < len(peaks) and peaks[k].step < s.sequences[slot].watched:
            k += 1
        if k < len(peaks) and (kept == 0 or peaks[kept - 1].step != peaks[k].step):
            peaks[kept].step, peaks[kept].gap = peaks[k].step, peaks[k].gap
            kept += 1
        slot = s.sequences[slot].after
    return kept


@njit_helper
def peak_since(s: State, which: int, first: int) -> int:
    """Return the largest gap in the cohort's steps from `first` on; 0 if there was none."""
    peaks = s.peaks[which]
    low, high = 0, s.cohorts[which].peaks
    end = high
    while low < high:
        middle = (low + high) // 2
        if peaks[middle].step < first:
            low = middle + 1
        else:
            high = middle
    return int(peaks[low].gap) if low < end else 0
