"""apexopt: the best way to serve a language model, proved and simulated.

import apex_opt
spec = apex_opt.load("spec.toml")
result = apex_opt.solve(spec)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apex_opt import version

if TYPE_CHECKING:
    from apex_opt.api import (
        Accuracy,
        Audit,
        Capacity,
        Choice,
        Front,
        Plan,
        Result,
        Simulation,
        Spec,
        Wish,
        audit,
        capacity,
        load,
        pareto,
        play,
        simulate,
        solve,
    )
    from apex_opt.plan.plan_file import read_plan

__version__ = version.VERSION

__all__ = [
    "Accuracy",
    "Audit",
    "Capacity",
    "Choice",
    "Front",
    "Plan",
    "Result",
    "Simulation",
    "Spec",
    "Wish",
    "__version__",
    "audit",
    "capacity",
    "load",
    "pareto",
    "play",
    "read_plan",
    "simulate",
    "solve",
]


def __dir__() -> list[str]:
    """Return what there is, imported or not: for people who look around."""
    return __all__


def __getattr__(name: str) -> Any:
    """Import the API when it is first asked for: `import apex_opt` alone costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module `apex_opt` has no attribute `{name}`")
    if name == "load":
        from apex_opt.spec.loader import load

        return load
    from apex_opt import api
    from apex_opt.plan import plan_file

    return getattr(plan_file if name == "read_plan" else api, name)
