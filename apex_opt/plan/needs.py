"""Figures that a search needs and a catalogue may lack: asked for before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator

from apex_opt.cost.rates import idle_w
from apex_opt.errors import CallError
from apex_opt.spec.spec import Spec

MOST_BYTES = 8_000_000_000
REQUEST_BYTES = 700
"""Of one request: features, and the logs of four simulations (measured on a million of them)."""

BOUND_BYTES = 16
"""Of one request and replica: floors of two times."""


def _prices(spec: Spec) -> Iterator[str]:
    """A price of every pool, where cost is minimised or limited."""
    priced = spec.objective.minimize == "cost" or spec.limits.budget_per_hour is not None
    for pool in spec.pools if priced else ():
        if pool.price_per_device_hour is None and pool.device.price_per_device_hour is None:
            yield (
                f"pools: no price of `{pool.device.name}` is known; "
                f"write `price_per_device_hour` in pool `{pool.name}`"
            )


def _power(spec: Spec) -> Iterator[str]:
    """A power limit of every device, above what it draws idle: energy and peak follow from it."""
    for pool in spec.pools:
        if pool.device.tdp_w is None and pool.power_cap_w is None:
            yield (
                f"pools: no power limit of `{pool.device.name}` is published; "
                f"write `power_cap_w` in pool `{pool.name}`"
            )
        elif pool.power_cap_w is not None and pool.power_cap_w <= (idle := idle_w(pool)):
            yield (
                f"pools: `power_cap_w` = {pool.power_cap_w:g} of pool `{pool.name}` leaves no "
                f"power to work: an idle `{pool.device.name}` draws {idle:.3g} W"
            )


def _clocks(spec: Spec) -> Iterator[str]:
    """The boost clock, where clocks are chosen: they are shares of it."""
    for pool in spec.pools:
        if pool.clocks_mhz is not None and pool.device.clock_mhz is None:
            yield (
                f"pools: `clocks_mhz` of pool `{pool.name}` needs the boost clock of "
                f"`{pool.device.name}`; write `clock_mhz` in an inline device"
            )


def _open_loop(spec: Spec) -> Iterator[str]:
    """A rate, where a rate is maximised: a closed loop offers whatever is served."""
    if spec.objective.maximize is not None and spec.workload.arrival == "closed":
        yield (
            f'objective: `maximize = "{spec.objective.maximize}"` needs traffic with a rate; '
            'a closed loop sends what is served: minimize "cost" or "latency" instead'
        )


def _host_links(spec: Spec) -> Iterator[str]:
    """The link to host memory of every device, where something stays there."""
    engine = spec.engine
    hosted = engine.kv_offload_gib_per_device or engine.weight_offload or engine.expert_offload
    for pool in spec.pools if hosted else ():
        if pool.device.host_link_gbytes_per_s is None:
            yield (
                f"pools: no link of `{pool.device.name}` to host memory is known; "
                f"write `host_link_gbytes_per_s` in an inline device of pool `{pool.name}`"
            )


def require_memory(requests: int, replicas: int) -> None:
    """Raise CallError where bounds and simulations would take more than `MOST_BYTES`.

    Args:
        requests: requests of the traffic.
        replicas: replicas among which the search may choose.
    """
    each = REQUEST_BYTES + replicas * BOUND_BYTES
    if requests * each > MOST_BYTES:
        choice = f"{replicas:,} replica{'' if replicas == 1 else 's'} to choose from"
        raise CallError(
            f"workload.requests: {requests:,} requests with {choice} take about "
            f"{requests * each / 1e9:,.0f} GB of memory; ask for {MOST_BYTES // each:,} or less"
        )


RULES = (_prices, _power, _clocks, _open_loop, _host_links)


def require_figures(spec: Spec) -> None:
    """Raise CallError with every figure that is missing, one a line, or for too many requests."""
    require_memory(spec.workload.requests or 1, 1)
    missing = [line for rule in RULES for line in rule(spec)]
    if missing:
        raise CallError("\n".join(missing))
