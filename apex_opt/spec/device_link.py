"""The link between the devices of a node: how long collectives over it take."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from apex_opt.spec.device_efficiency import Curve
from apex_opt.spec.table import Fraction, Latency, Name, Rate, Slowdown

Operation = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all"]


class Collective(Curve):
    """Time of a collective of g devices over B bytes.

    Time = latency + hop (g - 2) + ramp sqrt(B / 1e6) + bytes through the busiest device /
    (bandwidth x efficiency) x (1 + contention (g - 2)).
    """

    latency_us: Latency = Field(7.0, description="Time of an empty collective between two devices.")
    hop_us: Latency = Field(0.2, description="More per further device of the group.")
    efficiency: Fraction = Field(
        0.7, description="Share of the bandwidth that large messages reach."
    )
    contention: Slowdown = Field(
        0.0, description="Slow-down by each device past two, where devices share a PCIe root."
    )
    ramp_us: Latency = Field(
        0.0, description="More of a message of 1 MB; grows with the square root of its size."
    )


def _usual_host() -> Collective:
    return Collective(latency_us=20.0, hop_us=0.4, efficiency=0.25)


class Link(Collective):
    """A link; its own numbers are those of the all-reduce that engines run in CUDA graphs."""

    kind: Name = Field(description="NVLink, PCIe, Infinity Fabric, …")
    peer_access: bool = Field(
        True,
        description="Devices reach each other's memory; else NCCL copies through host memory, and "
        "engines run no all-reduce of their own.",
    )
    host: Collective = Field(
        default_factory=_usual_host,
        description="One pass through host memory: an all-reduce takes two, others one.",
    )
    bandwidth_gbytes_per_s: Rate = Field(description="Per device and direction, data sheet.")
    collectives: dict[Operation, Collective] = Field(
        default_factory=dict,
        description="Collectives of NCCL; one that is missing is timed as the link's all-reduce.",
    )
    source: str = Field("", description="Data and error of the fit, or `prior`.")
