"""Who arrives when, and who is first in the queue.

A request arrives by itself, or is sent by a client of a closed loop, or follows another one of its
session. It joins the queue at its arrival + overhead. First come, first served, the queue is the
list of arrivals, behind a stack of preempted requests; in any other order it is a heap.
"""

from __future__ import annotations

import numpy as np

from apex_opt.sim.heap import drop_first, push
from apex_opt.sim.jit import njit_helper, njit_rare
from apex_opt.sim.state import NOBODY, Given, State

NO_TIES = np.zeros(1, np.int64)

# ---- arrivals


@njit_helper
def opening(g: Given, s: State, k: int) -> int:
    """Return the k-th request that follows no other."""
    return s.opens[k] if g.sessions else k


@njit_helper
def arrive(g: Given, s: State, until: int) -> None:
    """Let requests arrive that are due."""
    m = s.machine
    if g.sessions:
        arrive_in_sessions(g, s, until)
        return
    while m.next < g.opening and s.requests[m.next].arrival <= until:
        submit(g, s, m.next)
        m.next += 1


@njit_rare
def arrive_in_sessions(g: Given, s: State, until: int) -> None:
    """The same where some follow others: in order of time, those that do last."""
    m = s.machine
    while True:
        own = s.requests[s.opens[m.next]].arrival if m.next < g.opening else until + 1
        due = s.when[s.due[0]] if m.due > 0 else until + 1
        if min(own, due) > until:
            return
        if own <= due:
            index = s.opens[m.next]
            m.next += 1
        else:
            index = s.due[0]
            drop_first(s.due, m.due, s.when, NO_TIES)
            m.due -= 1
            s.requests[index].arrival = due
        submit(g, s, index)


@njit_helper
def submit(g: Given, s: State, index: int) -> None:
    """Let a request arrive: it stands in line for the queue, or is rejected and over."""
    request = s.requests[index]
    if request.rejected:
        over(g, s, index, request.arrival)
    else:
        stand_in_line(s, index)


@njit_helper
def stand_in_line(s: State, index: int) -> None:
    """Put a request behind those that have arrived."""
    m = s.machine
    s.requests[index].behind = NOBODY
    if m.line == NOBODY:
        m.line = index
    if m.last != NOBODY:
        s.requests[m.last].behind = index
    m.last = index


@njit_helper
def over(g: Given, s: State, index: int, when: int) -> None:
    """Let the request come that follows this one: of its session, or else of its client."""
    m = s.machine
    if g.sessions and s.next[index] != NOBODY:
        follow(s, index, when)
        return
    while m.sent < g.openings:
        sent = opening(g, s, m.sent)
        request = s.requests[sent]
        request.arrival = when
        m.sent += 1
        if not request.rejected:
            stand_in_line(s, sent)
            return
        if g.sessions and s.next[sent] != NOBODY:
            follow(s, sent, when)
            return


@njit_rare
def follow(s: State, index: int, when: int) -> None:
    """Let the next request of a session come after the time to think."""
    m, later = s.machine, s.next[index]
    s.when[later] = when + s.think[later]
    push(s.due, m.due, s.when, NO_TIES, later)
    m.due += 1


# ---- the queue


@njit_helper
def joins(g: Given, s: State) -> int:
    """Return when the first in line joins the queue."""
    return s.requests[s.machine.line].arrival + g.overhead_ns


@njit_helper
def join_queue(g: Given, s: State) -> None:
    """Let those join the queue whose time has come."""
    m = s.machine
    while m.line != NOBODY and joins(g, s) <= m.now:
        index = m.line
        if g.queued:
            s.number[index] = m.joined
            push(s.heap, m.waiting, s.key, s.number, index)
            if index == m.last:
                m.last = NOBODY
        elif m.waiting == m.fronts:
            m.head = index
        m.joined += 1
        m.waiting += 1
        m.line = s.requests[index].behind


@njit_helper
def first_in_queue(g: Given, s: State) -> int:
    """Return the request that is to be admitted next; there is one."""
    m = s.machine
    if g.queued:
        return int(s.heap[0])
    return int(s.front[m.fronts - 1]) if m.fronts > 0 else m.head


@njit_helper
def leave_queue(g: Given, s: State) -> None:
    """Take the first request out of the queue."""
    m = s.machine
    if g.queued:
        drop_first(s.heap, m.waiting, s.key, s.number)
    elif m.fronts > 0:
        m.fronts -= 1
    else:
        if m.head == m.last:
            m.last = NOBODY
        m.head = s.requests[m.head].behind
    m.waiting -= 1


@njit_helper
def return_to_queue(g: Given, s: State, index: int) -> None:
    """Let a preempted request wait again: first of all, or where the order wants it."""
    m = s.machine
    if g.queued:
        push(s.heap, m.waiting, s.key, s.number, index)
    else:
        s.front[m.fronts] = index
        m.fronts += 1
    m.waiting += 1
