import dataclasses

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from apex_opt.cost.memory import fit
from apex_opt.cost.paging import keeps_tokens
from apex_opt.cost.shape import Drafts
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import FEATURES, Least, features
from apex_opt.plan.optimistic import optimistic, strongest, value
from apex_opt.plan.pace import Pace, least_tokens
from apex_opt.plan.step_floors import may_preempt
from apex_opt.sim.fleet import assign, play_fleet, split
from apex_opt.sim.load import Load, Prefixes, nothing
from apex_opt.sim.member import Member
from apex_opt.sim.replica import EndlessRunError, play
from apex_opt.spec import catalog
from apex_opt.spec.speculation import Speculation
from apex_opt.trace.encoders import encoded
from tests.shapes import SETTINGS, shape, unlike
from tests.sim.cases import loads

SHAPES = {
    "dense": {},
    "pipeline": {"pipeline": 3},
    "groups": {"pipeline": 2, "tensor": 2},
    "window": {"model": "gpt-oss-20b"},
    "experts": {"model": "mixtral-8x7b", "tensor": 4, "expert": 4},
    "recurrent": {"model": "qwen3-next-80b-a3b", "tensor": 4},
    "latent": {"model": "deepseek-v2-lite", "tensor": 2, "pipeline": 2},
    "latent spread": {"model": "deepseek-v2-lite", "tensor": 4, "context": 4},
    "heads spread": {"model": "qwen3-30b-a3b", "tensor": 8, "context": 2},
    "sparse": {"model": "deepseek-v3.2", "tensor": 8, "weights": "fp8-block"},
    "old": {"model": "gpt2", "device": "t4"},
    "narrow": {"model": "llama-3.2-1b", "device": "l4", "kv_cache": "fp8"},
    "read": {"model": "flan-t5-xxl", "tensor": 2},
    "heard": {"model": "whisper-large-v3"},
    "seen": {"model": "gemma-3-12b"},
    "seen in two": {"model": "qwen3.5-27b", "pipeline": 2},
}
UNLIKE = {
    "placed": ({"model": "llama-3.2-3b", "pipeline": 3}, ["h100-sxm-80gb", "l4", "l4"], (20, 4, 4)),
    "placed groups": ({"pipeline": 2, "tensor": 2}, ["l40s", "a100-sxm-40gb"], (11, 21)),
    "placed latent": (
        {"model": "deepseek-v2-lite", "tensor": 2, "pipeline": 2},
        ["a100-sxm-80gb", "h100-sxm-80gb"],
        (8, 19),
    ),
    "placed old": ({"model": "gpt2", "weights": "fp16"}, ["t4", "v100-sxm-32gb"], (3, 9)),
}
RANKS = {
    "spread": {"model": "deepseek-v2-lite", "attention_data": 4, "expert": 4},
    "sliced": {"model": "mixtral-8x7b", "tensor": 2, "attention_data": 2},
    "windows": {"model": "gpt-oss-20b", "attention_data": 2, "expert": 2},
}
LONGEST = 256
RELEASES = [("vllm", "0.6"), ("vllm", "0.14"), ("vllm", "0.19"), ("sglang", "0.5")]
RELEASES += [("tensorrt-llm", "1.0")]


def guesses(tokens, acceptance, cost=None):
    asked = Speculation(method="ngram", tokens=tokens, acceptance=acceptance, draft_cost=cost)
    return Drafts(asked)


GUESSES = [None, guesses(1, 0.9), guesses(3, 0.6, 0.1), guesses(3, 1.0)]
ENGINES = st.fixed_dictionaries(
    {
        "max_num_seqs": st.sampled_from([1, 3, 8]),
        "max_num_batched_tokens": st.sampled_from([32, LONGEST]),
        "block_size": st.sampled_from([1, 16]),
        "async_scheduling": st.booleans(),
        "graph_tokens": st.sampled_from([0, 4, 16]),
        "chunked_prefill": st.booleans(),
        "prefix_caching": st.booleans(),
        "policy": st.sampled_from(["fcfs", "priority", "shortest"]),
        "mixed_chunk": st.booleans(),
        "conservativeness": st.sampled_from([0.3, 1.0]),
        "drafts": st.sampled_from(GUESSES),
        "kv_offload_bytes": st.sampled_from([0, 2**20]),
    }
)
HOSTED = {"host_link_gbytes_per_s": 64.0}


def hosted(pool):
    """The pool with a link to host memory."""
    return pool.model_copy(update={"device": pool.device.model_copy(update=HOSTED)})


def candidate(name, engine, spare_blocks, release, role="mixed", network=None):
    """A replica with room for one longest request and `spare_blocks` more: it preempts."""
    chosen = dataclasses.replace(SETTINGS, max_model_len=LONGEST, engine=release[0], **engine)
    if not chosen.chunked_prefill:
        chosen = dataclasses.replace(chosen, max_num_batched_tokens=LONGEST)
    knobs, *places = UNLIKE.get(name) or ({**SHAPES, **RANKS}[name],)
    s = unlike(shape(**knobs), *places) if places else shape(**knobs)
    s = dataclasses.replace(s, settings=chosen, release=catalog.release(*release))
    if network is not None:
        s = dataclasses.replace(s, network=network)
    if s.pipeline > 1 or s.context > 1:
        chosen = dataclasses.replace(chosen, drafts=None)
    if s.model.encoder is not None:
        chosen = dataclasses.replace(chosen, drafts=None, prefix_caching=False)
        read = s.model.encoder.tokens or LONGEST
        chosen = dataclasses.replace(chosen, max_encoder_tokens=read, chunked_prefill=False)
        chosen = dataclasses.replace(chosen, max_num_batched_tokens=LONGEST)
    if not chosen.prefix_caching or not keeps_tokens(s):
        chosen = dataclasses.replace(chosen, prefix_caching=False, kv_offload_bytes=0)
    s = dataclasses.replace(s, pool=hosted(s.pool), settings=chosen)
    elsewhere = tuple(dataclasses.replace(at, pool=hosted(at.pool)) for at in s.elsewhere)
    s = dataclasses.replace(s, elsewhere=elsewhere)
    needed = fit(s).paging.needed(LONGEST, s.block_tokens)
    chosen = dataclasses.replace(chosen, num_gpu_blocks=needed + spare_blocks)
    s = dataclasses.replace(s, settings=chosen)
    return Candidate(s, fit(s), 0, tuple(range(1, len(s.pools()))), role)


def seen(requests, c, paced=lambda _: None):
    """The features of requests as the bounds of a candidate have them."""
    own = {key: getattr(c.rules, key) for key in ("cross_cache", "max_encoder_tokens")}
    least = Least(c.rules.prefix_caching, c.rules.drafts, **own)
    return features(requests, c.rules.max_model_tokens, c.steps.window_tokens, least, paced)


def taken(requests, c):
    """The requests as the model of a candidate takes them."""
    model = c.shape.model
    if model.encoder is not None:
        apart = dataclasses.replace(requests, after=nothing(), think_ns=nothing())
        return encoded(apart, model.encoder)
    if model.vision is None:
        return dataclasses.replace(requests, encoder_tokens=nothing())
    return requests


def load(arrivals_us, pairs, clients):
    prompts, outputs = (np.array(c, dtype=np.int64) for c in zip(*pairs, strict=True))
    arrivals = np.sort(np.array(arrivals_us[: len(pairs)], dtype=np.int64)) * 1000
    return Load(np.ascontiguousarray(arrivals), prompts, outputs, clients)


PAIRS = st.lists(
    st.tuples(st.integers(1, 8) | st.integers(1, 190), st.just(1) | st.integers(1, 66)),
    min_size=1,
    max_size=12,
)
ARRIVALS = st.lists(st.integers(0, 2_000_000), min_size=12, max_size=12)
SENT = st.builds(load, ARRIVALS, PAIRS, st.sampled_from([0, 0, 3]))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(SHAPES | UNLIKE)),
    engine=ENGINES,
    spare=st.sampled_from([0, 1, 8, 4000]),
    release=st.sampled_from(RELEASES),
    requests=SENT | loads(),
)
def test_no_simulation_beats_the_optimistic_model(name, engine, spare, release, requests):
    c = candidate(name, engine, spare, release)
    requests = taken(requests, c)
    traffic = seen(requests, c)
    bounds = optimistic(c, traffic)
    try:
        log = play(requests, c.rules, c.steps)
    except EndlessRunError:
        reject()  # two cohorts of a pipeline preempt each other for ever
    slack = 1 + 1e-9
    assert (log.status == 0).all()
    assert max(value(row, traffic.totals) for row in bounds.busy_ns) <= log.totals.busy_ns * slack
    assert value(bounds.energy_j, traffic.totals) <= log.totals.energy_j * slack
    assert bounds.prompt_step_w <= log.totals.peak_w * slack
    assert bounds.step_w * log.totals.busy_ns <= log.totals.energy_j * 1e9 * slack
    e2e = log.last_ns - log.arrival_ns
    assert value(bounds.e2e_ns, traffic.totals) <= e2e.sum() * slack
    assert (bounds.ttft_ns <= log.first_ns - log.arrival_ns).all()
    assert (bounds.decode_ns <= log.last_ns - log.first_ns).all()


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(SHAPES)),
    engine=ENGINES,
    spare=st.sampled_from([0, 8, 4000]),
    release=st.sampled_from(RELEASES),
    requests=SENT | loads(),
    share=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
)
def test_requests_that_keep_a_pace_take_no_fewer_steps_than_it_asks_for(
    name, engine, spare, release, requests, share
):
    c = candidate(name, engine, spare, release)
    requests = taken(requests, c)
    try:
        log = play(requests, c.rules, c.steps)
    except EndlessRunError:
        reject()  # two cohorts of a pipeline preempt each other for ever
    decode = requests.output_tokens - 1
    gaps = (log.last_ns - log.first_ns) / np.maximum(decode, 1)
    limit_ns = float(np.quantile(gaps, share)) + 1e-6
    kept = int((gaps <= limit_ns).sum())
    asked = Pace(limit_ns, least_tokens(decode, kept))
    traffic = seen(requests, c, lambda _: asked)
    bounds, slack = optimistic(c, traffic), 1 + 1e-9
    busy = max(value(row, traffic.totals) for row in bounds.busy_ns)
    assert busy <= log.totals.busy_ns * slack
    assert value(bounds.energy_j, traffic.totals) <= log.totals.energy_j * slack


def test_a_pace_of_small_batches_asks_for_half_again_the_time():
    # 256 sequences decode in 7.2 ms together; whose tokens come every 6.4 ms are far fewer.
    s = shape(settings=SETTINGS)
    c = Candidate(s, fit(s), 0)
    requests = load([0] * 2000, [(100, 200)] * 2000, 0)
    decode = requests.output_tokens - 1
    bound = {}
    for limit_ms in (1e6, 6.4):
        asked = Pace(limit_ms * 1e6, decode)
        traffic = features(requests, 8192, 1, None, lambda _, asked=asked: asked)
        bound[limit_ms] = max(value(row, traffic.totals) for row in optimistic(c, traffic).busy_ns)
    free = features(requests, 8192, 1)
    assert bound[1e6] == max(value(row, free.totals) for row in optimistic(c, free).busy_ns)
    assert bound[6.4] > 1.5 * bound[1e6]


@settings(max_examples=120, deadline=None)
@given(
    engine=ENGINES,
    spare=st.sampled_from([0, 8, 4000]),
    release=st.sampled_from(RELEASES),
    requests=loads(),
    weights=st.sampled_from([(1, 1), (2, 1), (1, 1, 1)]),
)
def test_no_part_of_a_fleet_does_less_than_the_features_of_its_requests(
    engine, spare, release, requests, weights
):
    # What prompts share belongs to one of them, wherever it goes.
    c = candidate("dense", engine, spare, release)
    requests = taken(requests, c)
    traffic = seen(requests, c)
    bounds = optimistic(c, traffic)
    members = [Member(c.rules, c.steps, 1, weight) for weight in weights]
    replica, clients = assign(requests, members)
    for share, sent in zip(split(replica, len(weights)), clients.tolist(), strict=True):
        own = dataclasses.replace(requests.take(share), concurrency=sent)
        totals = play(own, c.rules, c.steps).totals
        features_of = tuple(traffic.columns[:, share].sum(axis=1).tolist())
        slack = 1 + 1e-9
        busy = max(value(row, features_of) for row in bounds.busy_ns)
        assert busy <= totals.busy_ns * slack
        assert value(bounds.energy_j, features_of) <= totals.energy_j * slack


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(RANKS)),
    engine=ENGINES,
    spare=st.sampled_from([0, 8, 4000]),
    release=st.sampled_from(RELEASES[1:]),
    requests=SENT | loads(),
    count=st.integers(1, 2),
)
def test_ranks_in_lockstep_do_no_less_than_each_of_them_would(
    name, engine, spare, release, requests, count
):
    c = candidate(name, engine, spare, release)
    ranks = count * c.shape.attention_data
    requests = taken(requests, c)
    traffic = seen(requests, c)
    bounds = optimistic(c, traffic)
    member = Member(c.rules, c.steps, count, 1, ranks=c.shape.attention_data)
    try:
        log = play_fleet(requests, [member]).log
    except EndlessRunError:
        reject()  # ranks preempt each other for ever
    slack, run_ns = 1 + 1e-9, log.last_ns.max() - log.arrival_ns.min()
    assert (log.status == 0).all()
    assert max(value(row, traffic.totals) for row in bounds.busy_ns) <= log.totals.busy_ns * slack
    assert log.totals.busy_ns <= ranks * run_ns
    assert value(bounds.energy_j, traffic.totals) <= log.totals.energy_j * slack
    e2e = log.last_ns - log.arrival_ns
    assert value(bounds.e2e_ns, traffic.totals) <= e2e.sum() * slack
    assert (bounds.ttft_ns <= log.first_ns - log.arrival_ns).all()
    assert (bounds.decode_ns <= log.last_ns - log.first_ns).all()


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


def test_of_many_rows_those_that_bind_are_kept():
    flat, prompts, decodes = [0.0] * 10, [0.0] * 10, [0.0] * 10
    flat[0], prompts[1], decodes[2], weak = 100.0, 10.0, 10.0, [0.5] * 10
    rows = [tuple(weak), tuple(flat), tuple(prompts), tuple(decodes)]
    totals = (10, 20, 20, 0, 0, 0, 0, 0, 0, 0)
    assert strongest(rows, totals) == (tuple(flat), tuple(prompts), tuple(decodes))


def test_the_value_of_a_row_is_its_sum_over_the_features():
    row = tuple(float(i) for i in range(len(FEATURES)))
    assert value(row, (1,) * len(FEATURES)) == pytest.approx(sum(range(len(FEATURES))))


def test_a_prompt_that_all_share_is_in_the_cache_once():
    # 64 times the same 3,200 tokens in a cache of 4,800: they run together, in few steps.
    chosen = dataclasses.replace(SETTINGS, max_num_seqs=64, prefix_caching=True, num_gpu_blocks=300)
    s = shape(settings=chosen)
    c = Candidate(s, fit(s), 0)
    n = 64
    requests = Load(
        np.arange(n, dtype=np.int64),
        np.full(n, 3200, np.int64),
        np.full(n, 17, np.int64),
        prefix=np.zeros(n, np.int64),
        prefixes=Prefixes(np.array([-1], np.int64), np.array([3200], np.int64)),
    )
    traffic = seen(requests, c)
    busy = play(requests, c.rules, c.steps).totals.busy_ns
    rows = optimistic(c, traffic).busy_ns
    assert max(value(row, traffic.totals) for row in rows) <= busy
    apart = dataclasses.replace(traffic, private=1.0)
    assert max(value(row, traffic.totals) for row in optimistic(c, apart).busy_ns) > busy


@pytest.mark.parametrize(("caching", "blocks"), [(True, 60), (True, 10_000), (False, 60)])
def test_what_comes_back_from_preemption_may_read_its_cache_at_the_rate_of_prompts(caching, blocks):
    chosen = dataclasses.replace(SETTINGS, max_num_seqs=8, max_model_len=512)
    chosen = dataclasses.replace(chosen, prefix_caching=caching, num_gpu_blocks=blocks)
    s = shape("gpt-oss-20b", settings=chosen)
    c = Candidate(s, fit(s), 0)
    window = optimistic(c, seen(load([0], [(10, 10)], 0), c)).e2e_ns[FEATURES.index("window")]
    back = caching and may_preempt(c.rules)
    assert may_preempt(c.rules) == (blocks == 60)
    rate = c.steps.window_pair_fs if back else c.steps.window_fs
    assert window == pytest.approx(rate.sum() / 1e6)
    assert c.steps.window_pair_fs.sum() < c.steps.window_fs.sum()


def test_nobody_is_preempted_who_was_admitted_with_all_that_it_needs():
    c = candidate("dense", {"chunked_prefill": True}, 0, ("tensorrt-llm", "1.0"))
    assert not may_preempt(c.rules)
    assert may_preempt(dataclasses.replace(c.rules, reserve_output=False))
