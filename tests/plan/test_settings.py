import pytest

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.enumerate import enumerate_replicas
from apex_opt.plan.plan_file import from_plan
from apex_opt.plan.settings import settings
from apex_opt.plan.solve import solve
from apex_opt.spec import catalog
from tests.small_specs import spec


def chosen(engine, longest=1000, **tables):
    asked = spec(engine=engine, **tables)
    release = catalog.release(asked.engine.name, asked.engine.version)
    return next(settings(asked, asked.pools[0], release, longest))


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        # chunked prefill, budget, sequences, block, share, caching, ahead
        ('version = "0.19"', (True, 8192, 1024, 16, 0.9, True, True)),
        ('version = "0.8"', (True, 8192, 1024, 16, 0.9, True, False)),
        ('version = "0.6"', (False, 2048, 256, 16, 0.9, False, False)),
        ('name = "sglang"', (True, 8192, 2048, 1, 0.88, True, True)),
        ('name = "trtllm"', (False, 8192, 2048, 32, 0.9, True, True)),
    ],
)
def test_each_engine_has_its_own_defaults(engine, expected):
    s = chosen(engine)
    found = (s.chunked_prefill, s.max_num_batched_tokens, s.max_num_seqs, s.block_size)
    more = (s.gpu_memory_utilization, s.prefix_caching, s.async_scheduling)
    assert (*found, *more) == expected


def shares(**tables):
    return [
        s.settings.gpu_memory_utilization for s, _ in enumerate_replicas(spec(**tables), 1000).legal
    ]


def test_sglang_leaves_what_chunks_devices_and_graphs_take():
    one = {"parallelism": "tensor = 1\npipeline = 1", "engine": 'name = "sglang"'}
    # 512 + 1.5 x 8192 + 128 + 2 x 512 MiB of the 81,559 of an H100.
    assert shares(**one) == [pytest.approx(1 - 13_952 / 81_559, abs=1e-5)]
    small = 'name = "sglang"\nmax_num_batched_tokens = 2048\nmax_num_seqs = 64'
    assert shares(**{**one, "engine": small}) == [0.88]
    assert shares(**{**one, "engine": 'name = "sglang"\ngpu_memory_utilization = 0.7'}) == [0.7]


def test_vllm_v0_cuts_prompts_by_default_where_contexts_are_longer_than_32k():
    long = 'version = "0.6"\nmax_model_len = 40000'
    assert chosen(long).chunked_prefill
    assert chosen(long).max_num_batched_tokens == 512
    assert not chosen('version = "0.6"\nmax_model_len = 32768').chunked_prefill


def test_without_chunks_the_budget_takes_the_longest_prompt():
    assert chosen('version = "0.6"', longest=5000).max_num_batched_tokens == 5008
    assert chosen("chunked_prefill = false", longest=500).max_num_batched_tokens == 8192


@pytest.mark.parametrize(
    ("model", "said", "expected"),
    [
        ("llama-3.1-8b", "", True),
        ("llama-3.1-8b", "prefix_caching = false", False),
        ("gpt-oss-20b", "", True),
        ("qwen3-next-80b-a3b", "", False),  # recurrent layers
        ("mistral-7b-v0.1", "", False),  # all layers see 4,096 of 5,000 tokens
        ("mistral-7b-v0.1", "prefix_caching = true", True),
    ],
)
def test_prefixes_are_cached_by_default_where_no_layer_forgets_them(model, said, expected):
    assert chosen(said, longest=5000, model=f'name = "{model}"').prefix_caching is expected


def test_a_window_as_long_as_the_context_forgets_nothing():
    assert chosen("", longest=4000, model='name = "mistral-7b-v0.1"').prefix_caching


SPECULATION = "[engine.speculation]\nmethod = {}\ntokens = 3\nacceptance = 0.7"


@pytest.mark.parametrize(("said", "share"), [("", 0.0), ("collective_overlap = 0.3", 0.3)])
def test_nothing_of_an_all_reduce_hides_unless_it_is_said(said, share):
    assert chosen(said).collective_overlap == share


def test_guesses_take_their_part_of_budget_and_graphs():
    plain = chosen("max_num_batched_tokens = 512")
    guessed = spec(engine="max_num_batched_tokens = 512", more=SPECULATION.format('"eagle"'))
    s = next(settings(guessed, guessed.pools[0], catalog.release("vllm"), 1000))
    assert (plain.max_num_seqs, s.max_num_seqs, s.rows) == (512, 128, 512)
    assert s.graph_tokens == plain.graph_tokens == 512


@pytest.mark.parametrize(("method", "ahead"), [("ngram", False), ("eagle", True)])
def test_steps_are_scheduled_ahead_unless_guesses_need_the_tokens_so_far(method, ahead):
    guessed = spec(more=SPECULATION.format(f'"{method}"'))
    s = next(settings(guessed, guessed.pools[0], catalog.release("vllm"), 1000))
    assert s.async_scheduling is ahead


def test_no_pipeline_guesses():
    found = enumerate_replicas(spec(more=SPECULATION.format('"ngram"')), 1000)
    assert {shape.pipeline for shape, _ in found.legal} == {1}
    assert found.refused["speculation and pipeline = 2 exclude each other"] > 0


EVERYTHING = """
[engine]
name = "sglang"
scheduling_policy = "shortest"
enable_mixed_chunk = true
schedule_conservativeness = 0.5
kv_offload_gib_per_device = 2.5
weight_offload = 0.25
collective_overlap = 0.125
[engine.speculation]
method = "draft_model"
model = "llama-3.2-1b"
tokens = 2
acceptance = 0.8
"""


def test_a_plan_is_played_again_with_every_setting_that_it_was_found_with():
    asked = spec(parallelism="tensor = 1\npipeline = 1", more=EVERYTHING)
    plan = solve(asked).plans[0]
    again = from_plan(spec(more='[engine]\nname = "sglang"'), plan)
    shape, room = enumerate_replicas(asked, 560).legal[0]
    assert again[0].candidate.shape.settings == shape.settings
    assert again[0].candidate.replica == plan.deployments[0].replica
    assert again[0].candidate.rules == Candidate(shape, room, 0).rules
