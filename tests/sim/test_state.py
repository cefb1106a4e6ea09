from __future__ import annotations

import numpy as np

from apex_opt.sim.state import Request, Sequence, dtype


def test_a_request_fills_one_cache_line() -> None:
    assert dtype(Request).itemsize == 64


def test_a_class_names_the_fields_of_its_record() -> None:
    record = dtype(Request)
    assert record.names == (
        *("arrival", "start", "first", "last", "gap"),
        *("prompt", "output", "made", "preempted", "rejected", "behind"),
    )
    assert (record["gap"], record["prompt"]) == (np.int64, np.int32)
    assert dtype(Sequence)["joined"] == np.int64
