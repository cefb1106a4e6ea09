"""Hardware: a device's data sheet, a pool of nodes of one device, the network between nodes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apex_opt.spec.device_efficiency import Efficiency
from apex_opt.spec.device_link import Link
from apex_opt.spec.table import (
    Choice,
    Count,
    Fraction,
    Latency,
    Name,
    NonNegative,
    Positive,
    Rate,
    Table,
)

Precision = Literal["fp32", "fp16", "bf16", "fp8", "int8", "fp4"]


class Device(Table):
    """One accelerator: the figures of its data sheet and what it reaches of them."""

    name: Name = Field(description="Name, as a spec refers to it.")
    aliases: tuple[Name, ...] = Field((), description="Other names.")
    memory_bytes: Annotated[int, Field(ge=1, le=10**15)] = Field(
        description="Memory of one device, as the driver reports it."
    )
    bandwidth_gbytes_per_s: Rate = Field(description="Memory bandwidth, 1e9 bytes/s.")
    peak_tflops: dict[Precision, Rate] = Field(
        min_length=1, description="Dense peak by precision, 1e12 operations/s; no key: no support."
    )
    tdp_w: Positive | None = Field(None, description="Board power limit.")
    idle_w: NonNegative | None = Field(None, description="Power when idle; default 12 % of TDP.")
    link: Link = Field(description="Link between the devices of a node.")
    devices_per_node: Count = Field(8, description="Devices of a usual node.")
    host_link_gbytes_per_s: Positive | None = Field(
        None, description="Link to host memory, per device and direction, data sheet."
    )
    nic_gbytes_per_s: Positive | None = Field(None, description="Network of a node, per device.")
    price_per_device_hour: NonNegative | None = Field(None, description="Rent, USD.")
    clock_mhz: Positive | None = Field(
        None, description="Boost clock at which the peak is reached."
    )
    efficiency: Efficiency = Field(
        default_factory=Efficiency, description="What the device reaches of its data sheet."
    )
    source: str = Field("", description="Where the figures come from.")
    notes: str = Field("", description="Remarks.")


class Network(Table):
    """The network between nodes and between pools."""

    bandwidth_gbps: Rate = Field(400.0, description="Per device and direction, 1e9 bits/s.")
    latency_us: Latency = Field(5.0, description="Latency of a message.")
    efficiency: Fraction = Field(0.8, description="Share of the bandwidth that a transfer reaches.")


class Pool(Table):
    """Nodes of one device type."""

    name: Name = Field(description="Name of the pool, your choice.")
    device: Device = Field(description="Catalogue name, or an inline data sheet.")
    nodes: Annotated[int, Field(ge=1, le=1_000_000)] = Field(1, description="Nodes in the pool.")
    devices_per_node: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="Devices of a node; default: the usual node of the device."
    )
    price_per_device_hour: NonNegative | None = Field(
        None, description="Price; default: the catalogue's."
    )
    power_w: Positive | None = Field(
        None, description="Power limit of the plan's replicas here; see `limits.power_w`."
    )
    power_cap_w: Positive | None = Field(None, description="Power cap of one device.")
    node_power_w: NonNegative = Field(
        0.0,
        description="Power of a node beside its devices (CPUs, memory, NICs, fans), which they "
        "share; 0: not counted. DGX H100: 10,200 W at most, 5,600 W of it the devices'.",
    )
    pue: Annotated[float, Field(ge=1, le=10)] = Field(
        1.0,
        description="Power of the facility over that of its machines; 1: not counted. 1.58 was the "
        "mean of 2023 (Uptime Institute, Global Data Center Survey).",
    )
    clocks_mhz: Choice[Positive] | None = Field(
        None, description="Clocks among which the solver may choose; default: boost."
    )
    link: Link | None = Field(None, description="Link inside a node; default: the device's.")
    spare_replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        0,
        description="Replicas of each deployment here that may be lost, in all deployments at "
        "once; the others must still meet every service level.",
    )
    spot: bool = Field(
        False, description="The provider may take devices away; see `limits.spot_fraction`."
    )
    peer_access: bool | None = Field(
        None,
        description="Devices of a node reach each other's memory over the link; default: as the "
        "link says.",
    )

    @property
    def wire(self) -> Link:
        """Link inside a node."""
        link = self.link or self.device.link
        if self.peer_access is None:
            return link
        return link.model_copy(update={"peer_access": self.peer_access})

    @property
    def node_devices(self) -> int:
        """Devices of one node."""
        return self.devices_per_node or self.device.devices_per_node

    @property
    def devices(self) -> int:
        """Devices of the pool."""
        return self.nodes * self.node_devices

    @property
    def price(self) -> float:
        """Price of one device for an hour; 0 where neither pool nor catalogue names one."""
        own = self.price_per_device_hour
        return own if own is not None else (self.device.price_per_device_hour or 0.0)
