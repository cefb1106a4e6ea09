from apex_opt.plan.unlike import MOST_STAGINGS, across, aims, promising, splits, stagings
from tests.shapes import shape, unlike

TRIAL = unlike(shape("llama-2-70b", weights="fp16", kv_cache="fp16"), ["a100-sxm-40gb", "l4"])


def counts(one):
    return tuple(n for _, n in one.shape.pools())


def test_stages_that_cannot_hold_the_layers_are_not_looked_at():
    # 138 GB of weights: 31 GB and 19 GB are left of the devices.
    found = {counts(one) for one in stagings(TRIAL, 16, None)}
    assert (1, 1) not in found
    assert (4, 1) in found
    assert (2, 5) in found
    assert max(map(sum, found)) == 16
    assert {sum(c) for c in map(counts, stagings(TRIAL, 16, (6, 7)))} == {6, 7}


def test_more_stages_flow_faster_and_cost_more():
    found = {counts(one): one for one in stagings(TRIAL, 16, None)}
    assert found[4, 2].period_s < found[4, 1].period_s
    assert found[4, 2].price > found[4, 1].price


def test_of_many_numbers_of_stages_the_cheapest_smallest_and_fastest_are_kept():
    found = list(stagings(TRIAL, 16, None))
    kept = promising(found)
    assert len(kept) == MOST_STAGINGS < len(found)
    assert len({id(one) for one in kept}) == MOST_STAGINGS
    assert min(found, key=lambda s: (s.price, s.period_s)) in kept
    assert min(found, key=lambda s: (s.period_s, s.price)) in kept
    assert min(found, key=lambda s: (s.price * s.period_s, s.price)) in kept
    assert sorted(map(id, promising(found[:3]))) == sorted(map(id, found[:3]))
    assert promising([]) == []


def test_of_three_pools_half_as_many_are_kept():
    plain = shape("llama-2-13b", weights="fp16", kv_cache="fp16")
    three = unlike(plain, ["a100-sxm-40gb", "l4", "t4"])
    found = list(across([three], 5, None, lambda s: s))
    stages = {tuple(sorted((p.name, n) for p, n in s.pools())) for s in found if len(s.pools()) > 2}
    assert 1 <= len(stages) <= MOST_STAGINGS // 2
    assert list(across([], 5, None, lambda s: s)) == []


def test_each_split_is_there_once():
    one = next(s for s in stagings(TRIAL, 16, None) if counts(s) == (4, 2))
    found = splits(one.shape)
    assert 1 <= len(found) <= len(aims(one.shape))
    keys = [(s.stage_layers, tuple(at.pool.name for at in s.places)) for s in found]
    assert len(set(keys)) == len(keys)


def test_where_no_split_fits_the_even_one_is_left_to_be_refused():
    tight = next(s for s in stagings(TRIAL, 16, None) if counts(s) == (4, 1)).shape
    places = tight.places[:1] + tight.places[4:]
    small = shape("llama-2-70b", weights="fp16", kv_cache="fp16", pipeline=2)
    hopeless = unlike(small, [at.pool.name for at in places])
    assert splits(hopeless) == [hopeless]


def test_aims_are_batches_that_decode_and_a_prompt():
    steps = [(a.step.tokens, a.step.context, a.requests) for a in aims(TRIAL)]
    assert steps == [(64, 4096, 64), (8, 4096, 8), (1, 4096, 1), (2048, 0, 1)]
