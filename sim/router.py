"""Which replica takes which request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apex_opt.sim.jit import njit
from apex_opt.sim.steps import Int64


def round_robin(n: int, weights: Sequence[int]) -> Int64:
    """Deal `n` requests by smooth weighted round robin.

    For each request every replica gains its weight in credit; the one with the most credit, the
    first of them, takes the request and pays the sum of the weights. So among any `sum(weights)`
    requests in a row from the start each replica takes exactly its weight, spread evenly.

    Args:
        n: requests.
        weights: one a replica, not negative, not all zero.

    Returns:
        (n,) int64, the replica of each request.

    Raises:
        ValueError: a weight is negative, or all are zero.

    Source: nginx, src/http/ngx_http_upstream_round_robin.c, ngx_http_upstream_get_peer.
    """
    shares = np.array(weights, dtype=np.int64)
    if (shares < 0).any() or shares.sum() == 0:
        raise ValueError(f"weights: must not be negative nor all zero, are {list(weights)}")
    choice = np.empty(n, np.int64)
    deal(choice, shares, np.zeros_like(shares))
    return choice


def by_class(classes: Int64, weights: Sequence[Sequence[int]]) -> Int64:
    """Deal requests by smooth weighted round robin, those of each class among themselves.

    Args:
        classes: (n,) the class of each request.
        weights: of each class, one a replica, not negative, not all zero.

    Returns:
        (n,) int64, the replica of each request.

    Raises:
        ValueError: see `round_robin`.
    """
    choice = np.empty(len(classes), np.int64)
    for one, shares in enumerate(weights):
        mine = np.flatnonzero(classes == one)
        choice[mine] = round_robin(len(mine), shares)
    return choice


@njit
def deal(choice: Int64, weights: Int64, credit: Int64) -> None:
    """Fill `choice` with the replica of each request."""
    total = 0
    for k in range(len(weights)):
        total += weights[k]
    for i in range(len(choice)):
        best = 0
        for k in range(len(weights)):
            credit[k] += weights[k]
            if credit[k] > credit[best]:
                best = k
        credit[best] -= total
        choice[i] = best
