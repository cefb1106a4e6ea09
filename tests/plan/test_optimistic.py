import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apex_opt.cost.memory import fit
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import FEATURES, features
from apex_opt.plan.optimistic import lines, optimistic, strongest, value
from apex_opt.sim.load import Load
from apex_opt.sim.replica import play
from tests.shapes import SETTINGS, shape

TINY = dataclasses.replace(SETTINGS, max_num_seqs=8, max_num_batched_tokens=64, max_model_len=512)
SHAPES = {
    "dense": {},
    "pipeline": {"pipeline": 3},
    "window": {"model": "gpt-oss-20b"},
    "experts": {"model": "mixtral-8x7b", "tensor": 4, "expert": 4},
    "recurrent": {"model": "qwen3-next-80b-a3b", "tensor": 4},
    "latent": {"model": "deepseek-v2-lite", "tensor": 2},
}


@cache
def candidate(name, blocks, *, overlap):
    chosen = dataclasses.replace(TINY, num_gpu_blocks=blocks, async_scheduling=overlap)
    s = shape(**SHAPES[name], settings=chosen)
    return Candidate(s, fit(s), 0)


def load(arrivals_us, pairs):
    prompts, outputs = (np.array(c, dtype=np.int64) for c in zip(*pairs, strict=True))
    arrivals = np.sort(np.array(arrivals_us[: len(pairs)], dtype=np.int64)) * 1000
    return Load(np.ascontiguousarray(arrivals), prompts, outputs)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(SHAPES)),
    blocks=st.sampled_from([40, 60, 4000]),
    overlap=st.booleans(),
    arrivals=st.lists(st.integers(0, 2_000_000), min_size=12, max_size=12),
    pairs=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 60)), min_size=1, max_size=12),
)
def test_no_simulation_beats_the_optimistic_model(name, blocks, overlap, arrivals, pairs):
    c = candidate(name, blocks, overlap=overlap)
    requests = load(arrivals, pairs)
    traffic = features(requests, c.rules.max_model_tokens, c.steps.window_tokens)
    bounds = optimistic(c, traffic)
    log = play(requests, c.rules, c.steps)
    slack = 1 + 1e-9
    assume((log.status == 0).all())
    assert max(value(row, traffic.totals) for row in bounds.busy_ns) <= log.totals.busy_ns * slack
    assert value(bounds.energy_j, traffic.totals) <= log.totals.energy_j * slack
    e2e = log.last_ns - requests.arrival_ns
    assert value(bounds.e2e_ns, traffic.totals) <= e2e.sum() * slack
    assert (bounds.ttft_ns <= (log.first_ns - requests.arrival_ns) * slack).all()
    assert (bounds.decode_ns <= (log.last_ns - log.first_ns) * slack + 1).all()


def test_a_saturated_replica_comes_near_its_bound():
    # Everything at once, so that batches are as full as they can be.
    chosen = dataclasses.replace(SETTINGS, async_scheduling=False)
    s = shape(settings=chosen)
    c = Candidate(s, fit(s), 0)
    n = 2000
    requests = Load(
        np.zeros(n, np.int64), np.full(n, 500, dtype=np.int64), np.full(n, 200, dtype=np.int64)
    )
    traffic = features(requests, 8192, 1)
    bound = max(value(row, traffic.totals) for row in optimistic(c, traffic).busy_ns)
    busy = play(requests, c.rules, c.steps).totals.busy_ns
    assert 0.75 * busy <= bound <= busy


@given(
    table=st.lists(st.floats(0.0, 1e9), min_size=1, max_size=60),
)
def test_lines_lie_under_their_table(table):
    whole = np.array([0.0, *table])
    for line in lines(whole):
        assert line.base >= 0
        assert line.slope >= 0
        for n, y in enumerate(table, 1):
            assert line.base + line.slope * n <= y + 1e-12 * max(table)


def test_a_line_that_would_start_just_below_zero_is_not_lifted():
    # The chord from one token to 16 starts just below zero: lifted, it would lie over the table at 17.
    table = np.array([0.0, 1e6, *(1e6 * n + 0.05 * (n - 1) for n in range(2, 17)), 17e6])
    for line in lines(table):
        assert line.base + line.slope * 17 <= 17e6


def test_of_many_rows_those_that_bind_are_kept():
    flat, prompts, decodes = [0.0] * 7, [0.0] * 7, [0.0] * 7
    flat[0], prompts[1], decodes[2], weak = 100.0, 10.0, 10.0, [0.5] * 7
    rows = [tuple(weak), tuple(flat), tuple(prompts), tuple(decodes)]
    totals = (10, 20, 20, 0, 0, 0, 0)
    assert strongest(rows, totals) == (tuple(flat), tuple(prompts), tuple(decodes))


def test_the_value_of_a_row_is_its_sum_over_the_features():
    row = tuple(float(i) for i in range(len(FEATURES)))
    assert value(row, (1,) * len(FEATURES)) == pytest.approx(sum(range(len(FEATURES))))
