from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apex_opt.plan.features import FEATURES, Least, capped_sum, features
from apex_opt.sim.load import Load, Prefixes

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
        0,
        0,
        0,
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


def contexts(prompt, output, drafts):
    """Cached tokens at the end of each of the fewest steps, the short one first."""
    left, ends = output - 1, []
    while left > 0:
        ends.insert(0, prompt + left)
        left -= 1 + drafts
    return ends


@given(pairs=LENGTHS, window=st.integers(1, 50), drafts=st.integers(0, 5))
def test_guesses_leave_as_few_steps_as_can_be_at_the_shortest_contexts(pairs, window, drafts):
    found = features(load(pairs), 1000, window, Least(drafts=drafts))
    steps = [contexts(p, o, drafts) for p, o in pairs]
    assert found.steps.tolist() == [len(ends) for ends in steps]
    assert found.columns[3].tolist() == [sum(ends) for ends in steps]
    assert found.columns[5].tolist() == [sum(min(c, window) for c in ends) for ends in steps]
    assert found.decode.tolist() == [o - 1 for _, o in pairs]


def test_what_is_shared_is_computed_once_and_read_by_all():
    same = Load(
        np.zeros(3, np.int64),
        np.array([5, 5, 7], np.int64),
        np.array([3, 1, 2], np.int64),
        prefix=np.array([0, 0, 0], np.int64),
        prefixes=Prefixes(np.array([-1], np.int64), np.array([5], np.int64)),
    )
    found = features(same, 100, 6, Least(caching=True))
    # The first has the five tokens, the second its last again, the third two of its own.
    assert found.columns[1].tolist() == [5, 1, 2]
    assert found.columns[4].tolist() == [15, 5, 6 + 7]
    assert found.columns[6].tolist() == [15, 5, 6 + 6]
    assert found.alone[0].tolist() == [1, 1, 2]
    assert found.columns[3].tolist() == [6 + 7, 0, 8]
    # Of 13 tokens read by the first, 2 x 5 lie beside those of others; of 8 by the third, 5.
    assert found.private == 1 - 10 / 13
    whole = features(same, 100, 6)
    assert whole.columns[1].tolist() == [5, 5, 7]
    assert (whole.private, whole.alone.tolist()) == (1.0, whole.columns[[1, 4, 6]].tolist())


def test_a_request_fits_with_all_its_samples():
    four = load([(5, 5), (5, 9), (5, 5), (5, 6)])
    found = features(four, 12, 1, Least(samples=2))
    assert found.served == 1
    assert found.columns[2].tolist() == [4, 5]


@given(pairs=LENGTHS, read=st.integers(0, 50))
def test_what_an_encoder_has_read_is_read_again_in_every_step_where_it_is_kept(pairs, read):
    sent = load(pairs)
    sent = replace(sent, encoder_tokens=np.full(len(sent), read))
    plain = features(load(pairs), 1000, 1)
    seen, kept = (features(sent, 1000, 1, Least(cross_cache=cross)) for cross in (False, True))
    assert seen.totals == (*plain.totals[:7], len(pairs) * read, len(pairs) * read * read, 0)
    more = read * sum(o - 1 for _, o in pairs)
    assert kept.totals[3] == seen.totals[3] + more
    assert seen.present == (*plain.present, *((7, 8) if read else ()))


def test_inputs_longer_than_an_encoder_takes_ask_for_nothing():
    sent = replace(load([(1, 5), (1, 5)]), encoder_tokens=np.array([10, 11]))
    found = features(sent, 100, 1, Least(cross_cache=True, max_encoder_tokens=10))
    assert found.totals[0] == 1
