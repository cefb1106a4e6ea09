"""A binary heap of numbered items: the one with the least key is first.

Of those with equal keys it is the one with the least `tie`, or where there are no ties (length 1)
the one with the least number.
"""

from __future__ import annotations

from apex_opt.sim.jit import njit_rare
from apex_opt.sim.steps import Int64


@njit_rare
def before(key: Int64, tie: Int64, a: int, b: int) -> bool:
    """Return whether item `a` comes out before item `b`."""
    if key[a] != key[b]:
        return bool(key[a] < key[b])
    return bool(tie[a] < tie[b]) if len(tie) > 1 else a < b


@njit_rare
def push(heap: Int64, size: int, key: Int64, tie: Int64, item: int) -> None:
    """Put an item into a heap of `size` items."""
    k = size
    while k > 0 and before(key, tie, item, heap[(k - 1) // 2]):
        heap[k] = heap[(k - 1) // 2]
        k = (k - 1) // 2
    heap[k] = item


@njit_rare
def drop_first(heap: Int64, size: int, key: Int64, tie: Int64) -> None:
    """Take the first item out of a heap of `size` items."""
    last, k = heap[size - 1], 0
    while 2 * k + 1 < size - 1:
        child = 2 * k + 1
        if child + 1 < size - 1 and before(key, tie, heap[child + 1], heap[child]):
            child += 1
        if before(key, tie, last, heap[child]):
            break
        heap[k] = heap[child]
        k = child
    heap[k] = last
