from __future__ import annotations

import numpy as np

from apex_opt.sim.load import Load


def test_taking_requests_keeps_their_order_and_the_clients() -> None:
    load = Load(np.array([0, 1, 2]), np.array([10, 20, 30]), np.array([4, 5, 6]), 2)
    part = load.take(np.array([0, 2]))
    assert len(part) == 2
    assert part.arrival_ns.tolist() == [0, 2]
    assert part.prompt_tokens.tolist() == [10, 30]
    assert part.output_tokens.tolist() == [4, 6]
    assert part.concurrency == 2
