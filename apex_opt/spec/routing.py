"""How requests find their replica."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from apex_opt.spec.table import Table

Router = Literal["round_robin", "random", "least_outstanding", "least_kv", "prefix_affinity"]


class Routing(Table):
    """How requests are dealt to replicas. A plan's bound holds whatever the router."""

    router: Router = Field(
        "round_robin",
        description="round_robin: in turn, by the replicas' weights; random: by chance, by weight; "
        "least_outstanding: to the fewest requests for its weight; least_kv: to the least use of "
        "its KV cache; prefix_affinity: to the most of the prompt in its cache, unless it is far "
        "busier than the others.",
    )
    by_class: bool = Field(
        False,
        description="Also try every plan of unlike replicas with shares by prompt length: which "
        "deployment gets short prompts and which long ones. The better of both routings counts.",
    )
