"""Workloads for tests, and the checks that the simulator makes of any load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apex_opt.sim.check import check_load, check_shared
from apex_opt.sim.load import Load
from apex_opt.spec.table import frozen
from apex_opt.spec.workload import Workload
from apex_opt.trace.traffic import traffic

UNIFORM = {"distribution": "uniform", "low": 1, "high": 40}


def workload(**changes: Any) -> Workload:
    """Return Poisson traffic with lengths from 1 to 40."""
    poisson = {"rate_rps": 4.0, "prompt_tokens": UNIFORM, "output_tokens": UNIFORM}
    return Workload.model_validate(frozen({**poisson, **changes}))


def load_of(asked: Workload, seed: int = 0, folder: Path = Path()) -> Load:
    """Return the load of a workload, which the simulator accepts."""
    load = traffic(asked, seed, folder).load
    check_load(load)
    check_shared(load)
    return load
