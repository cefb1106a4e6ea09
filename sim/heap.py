"""Binary heaps of requests: by rank and number of joining, or by when they arrive."""

from __future__ import annotations

from apex_opt.sim.jit import njit_helper, njit_rare
from apex_opt.sim.state import More
from apex_opt.sim.steps import Int64

RANK, WHEN = range(2)


@njit_helper
def before(more: list[More], by: int, a: int, b: int) -> bool:
    """Return whether request `a` comes out before request `b`."""
    one, two = more[a], more[b]
    if by == RANK:
        return one.rank < two.rank or (one.rank == two.rank and one.number < two.number)
    return one.when < two.when or (one.when == two.when and a < b)


@njit_rare
def push(heap: Int64, size: int, more: list[More], by: int, item: int) -> None:
    """Put a request into a heap of `size`."""
    k = size
    while k > 0 and before(more, by, item, heap[(k - 1) // 2]):
        heap[k] = heap[(k - 1) // 2]
        k = (k - 1) // 2
    heap[k] = item


@njit_rare
def drop_first(heap: Int64, size: int, more: list[More], by: int) -> None:
    """Take the first request out of a heap of `size`."""
    last, k = heap[size - 1], 0
    while 2 * k + 1 < size - 1:
        child = 2 * k + 1
        if child + 1 < size - 1 and before(more, by, heap[child + 1], heap[child]):
            child += 1
        if before(more, by, last, heap[child]):
            break
        heap[k] = heap[child]
        k = child
    heap[k] = last
