"""Replicas that run already, may be lost, or may not all be spot: what there is, in numbers."""

from __future__ import annotations

from collections.abc import Callable

from apex_opt.auditing.conflict import Found
from apex_opt.auditing.result import Code
from apex_opt.auditing.words import both


def _starts(found: Found) -> str:
    """Return how many of the replicas that run already are of a kind that the spec allows."""
    asked = found.verdict.asked
    kept = 0 if asked is None else sum(kind.running for kind in asked.data.kinds)
    are = "replica that runs already is" if kept == 1 else "replicas that run already are"
    return f"{kept or 'no'} {are} of a kind that the spec allows"


def _spot(found: Found) -> str:
    """Return how many devices are spot of the replica that has the smallest share of them."""
    legal = [shape for shape, _ in found.verdict.found.legal]
    least = min(legal, key=lambda s: (s.spot_devices / s.devices, s.devices))
    pools = both([pool.name for pool, _ in least.pools()])
    return (
        f"the replica with the fewest spot devices, TP{least.tensor} in {pools}, has "
        f"{least.spot_devices:,} of {least.devices:,}"
    )


def _spares(found: Found) -> str:
    """Return what the smallest deployment takes with its spare replicas."""
    shape, fewest = min(
        ((s, s.devices * (1 + s.spare_replicas)) for s, _ in found.verdict.found.legal),
        key=lambda one: one[1],
    )
    return (
        f"the smallest deployment, {1 + shape.spare_replicas} replicas of which "
        f"{shape.spare_replicas} may be lost, takes {fewest} devices"
    )


STANDS: dict[Code, Callable[[Found], str]] = {"starts": _starts, "spot": _spot, "spares": _spares}
"""The arithmetic of a cause."""
