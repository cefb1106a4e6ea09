import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apex_opt.plan.features import FEATURES, capped_sum, features
from apex_opt.sim.load import Load

LENGTHS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=8)


def load(pairs):
    prompts, outputs = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    return Load(np.arange(len(pairs), dtype=np.int64), prompts, outputs)


def spelled_out(prompt, output, window):
    decode = [prompt + k for k in range(1, output)]
    return [
        1,
        prompt,
        output - 1,
        sum(decode),
        sum(range(1, prompt + 1)),
        sum(min(c, window) for c in decode),
        sum(min(i, window) for i in range(1, prompt + 1)),
    ]


@given(pairs=LENGTHS, window=st.integers(1, 50))
def test_features_are_the_sums_that_they_stand_for(pairs, window):
    found = features(load(pairs), 1000, window)
    assert found.columns.T.tolist() == [spelled_out(p, o, window) for p, o in pairs]
    assert list(found.totals) == found.columns.sum(axis=1).tolist()
    assert len(found.totals) == len(FEATURES)


@given(pairs=LENGTHS, longest=st.integers(2, 100))
def test_requests_too_long_for_the_model_ask_for_nothing(pairs, longest):
    kept = [(p, o) for p, o in pairs if p + o <= longest]
    assert features(load(pairs), longest, 1).totals[0] == len(kept)


def test_sums_beyond_64_bits_of_float_stay_exact():
    n = 2000
    huge = Load(
        np.arange(n, dtype=np.int64), np.full(n, 10**6 + 1, np.int64), np.full(n, 2, np.int64)
    )
    assert features(huge, 10**7, 1).totals[4] == n * (10**6 + 1) * (10**6 + 2) // 2


def test_a_capped_sum_of_nothing_is_zero():
    five = np.array([5], dtype=np.int64)
    assert capped_sum(five, five, 3).tolist() == [0]
