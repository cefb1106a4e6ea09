"""Who arrives when, and who is first in the queue.

A request arrives by itself, or is sent by a client of a closed loop, or follows another one of its
session. It joins the queue at its arrival + overhead. First come, first served, the queue is the
list of arrivals, behind a stack of preempted requests; in any other order it is a heap.
"""

from __future__ import annotations

from apex_opt.sim.heap import RANK, WHEN, drop_first, push
from apex_opt.sim.jit import njit_helper, njit_rare
from apex_opt.sim.state import NOBODY, Given, Machine, State

# ---- arrivals


@njit_helper
def opening(g: Given, s: State, k: int) -> int:
    """Return the k-th request that follows no other."""
    return int(s.opens[k]) if g.sessions else k


@njit_helper
def arrive(g: Given, m: Machine, s: State, until: int) -> None:
    """Let requests arrive that are due."""
    if g.sessions:
        arrive_in_sessions(g, m, s, until)
        return
    while m.next < g.opening and s.requests[m.next].arrival <= until:
        submit(g, m, s, m.next)
        m.next += 1


@njit_rare
def arrive_in_sessions(g: Given, m: Machine, s: State, until: int) -> None:
    """The same where some follow others: in order of time, those that do last."""
    while True:
        own = s.requests[s.opens[m.next]].arrival if m.next < g.opening else until + 1
        due = s.more[s.due[0]].when if m.due > 0 else until + 1
        if min(own, due) > until:
            return
        if own <= due:
            index = s.opens[m.next]
            m.next += 1
        else:
            index = s.due[0]
            drop_first(s.due, m.due, s.more, WHEN)
            m.due -= 1
            s.requests[index].arrival = due
        submit(g, m, s, index)


@njit_helper
def next_arrival(g: Given, m: Machine, s: State) -> int:
    """Return when the next request arrives that waits for no other, or `NOBODY`."""
    at = NOBODY
    if m.next < g.opening:
        at = s.requests[opening(g, s, m.next)].arrival
    if m.due > 0 and (at == NOBODY or s.more[s.due[0]].when < at):
        at = s.more[s.due[0]].when
    return at


@njit_helper
def submit(g: Given, m: Machine, s: State, index: int) -> None:
    """Let a request arrive: it stands in line for the queue, or is rejected and over."""
    request = s.requests[index]
    if request.rejected:
        over(g, m, s, index, request.arrival)
    else:
        stand_in_line(m, s, index)


@njit_helper
def stand_in_line(m: Machine, s: State, index: int) -> None:
    """Put a request behind those that have arrived."""
    s.requests[index].behind = NOBODY
    if m.line == NOBODY:
        m.line = index
    if m.last != NOBODY:
        s.requests[m.last].behind = index
    m.last = index


@njit_helper
def over(g: Given, m: Machine, s: State, index: int, when: int) -> None:
    """Let the request come that follows this one: of its session, or else of its client."""
    if g.sessions and s.more[index].next != NOBODY:
        follow(m, s, index, when)
        return
    while m.sent < g.openings:
        sent = opening(g, s, m.sent)
        request = s.requests[sent]
        request.arrival = when
        m.sent += 1
        if not request.rejected:
            stand_in_line(m, s, sent)
            return
        if g.sessions and s.more[sent].next != NOBODY:
            follow(m, s, sent, when)
            return


@njit_rare
def follow(m: Machine, s: State, index: int, when: int) -> None:
    """Let the next request of a session come after the time to think."""
    later = s.more[index].next
    s.more[later].when = when + s.more[later].think
    push(s.due, m.due, s.more, WHEN, later)
    m.due += 1


# ---- the queue


@njit_helper
def joins(g: Given, m: Machine, s: State) -> int:
    """Return when the first in line joins the queue."""
    return s.requests[m.line].arrival + g.overhead_ns


@njit_helper
def join_queue(g: Given, m: Machine, s: State) -> None:
    """Let those join the queue whose time has come."""
    while m.line != NOBODY and joins(g, m, s) <= m.now:
        index = m.line
        if g.queued:
            request, more = s.requests[index], s.more[index]
            more.rank = more.priority if g.by_priority else request.prompt
            more.number = m.joined
            push(s.heap[m.number], m.waiting, s.more, RANK, index)
            if index == m.last:
                m.last = NOBODY
        elif m.waiting == m.fronts:
            m.head = index
        m.joined += 1
        m.waiting += 1
        m.line = s.requests[index].behind


@njit_helper
def first_in_queue(g: Given, m: Machine, s: State) -> int:
    """Return the request that is to be admitted next; there is one."""
    if g.queued:
        return int(s.heap[m.number, 0])
    return s.sequences[m.slots + m.fronts - 1].front if m.fronts > 0 else m.head


@njit_helper
def leave_queue(g: Given, m: Machine, s: State) -> None:
    """Take the first request out of the queue."""
    if g.queued:
        drop_first(s.heap[m.number], m.waiting, s.more, RANK)
    elif m.fronts > 0:
        m.fronts -= 1
    else:
        if m.head == m.last:
            m.last = NOBODY
        m.head = s.requests[m.head].behind
    m.waiting -= 1


@njit_helper
def return_to_queue(g: Given, m: Machine, s: State, index: int) -> None:
    """Let a preempted request wait again: first of all, or where the order wants it."""
    if g.queued:
        push(s.heap[m.number], m.waiting, s.more, RANK, index)
    else:
        s.sequences[m.slots + m.fronts].front = index
        m.fronts += 1
    m.waiting += 1
