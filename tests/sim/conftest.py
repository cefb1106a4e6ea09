"""A step table and rules small enough to reckon by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.steps import StepTable

RULES = EngineRules(max_seqs=4, max_batch_tokens=8, max_model_tokens=100, block_tokens=4, blocks=50)


@pytest.fixture
def rules() -> EngineRules:
    return RULES


@pytest.fixture
def caching() -> EngineRules:
    return replace(RULES, prefix_caching=True, max_batch_tokens=32)


@pytest.fixture
def flat() -> Callable[..., StepTable]:
    """A table where a decoding step takes `decode` ns a stage and a mixed one `mixed`."""

    def make(
        decode: int = 10, mixed: int = 100, stages: int = 1, tokens: int = 64, hop: int = 0
    ) -> StepTable:
        none = np.zeros(stages, np.int64)
        hops = np.full((stages, tokens + 1), hop, np.int64)
        hops[-1] = 0
        return StepTable(
            decode_ns=np.full((stages, tokens + 1), decode, np.int64),
            mixed_ns=np.full((stages, tokens + 1), mixed, np.int64),
            rows_ns=np.zeros((stages, tokens + 1), np.int64),
            context_fs=none,
            window_fs=none,
            window_tokens=1,
            pair_fs=none,
            window_pair_fs=none,
            hop_ns=hops,
            decode_j=np.full(tokens + 1, 1e-6),
            mixed_j=np.full(tokens + 1, 3e-6),
            rows_j=np.zeros(tokens + 1),
            context_j=0.0,
            window_j=0.0,
            pair_j=0.0,
            window_pair_j=0.0,
            idle_w=5.0,
        )

    return make
