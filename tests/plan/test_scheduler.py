from dataclasses import replace

import pytest

from apex_opt.cost.memory import fit
from apex_opt.cost.shape import Drafts
from apex_opt.plan.scheduler import rules
from apex_opt.sim.engine import EngineRules
from apex_opt.spec import catalog
from apex_opt.spec.speculation import Speculation
from tests.shapes import SETTINGS, shape


def asked(engine, version, model="llama-3.1-8b", **chosen):
    """The rules of one H100 with an engine and settings; 1,000 blocks."""
    wanted = replace(SETTINGS, engine=engine, num_gpu_blocks=1000, **chosen)
    s = replace(shape(model), settings=wanted, release=catalog.release(engine, version))
    return rules(s, fit(s))


def told(found):
    """What rules say beside limits, as far as it is not the default."""
    plain = EngineRules(256, 2048, 8192, 16, 1000)
    names = set(EngineRules.__dataclass_fields__) - {"request_overhead_ns", "block_tokens"}
    return {n: v for n in names if (v := getattr(found, n)) != getattr(plain, n)}


def test_vllm_v1_has_the_simulators_own_rules():
    assert told(asked("vllm", "0.19", async_scheduling=False)) == {}
    assert told(asked("vllm", "0.14")) == {"async_scheduling": True, "full_sequence_gate": False}


def test_vllm_v0_runs_prompts_first_and_keeps_one_percent_of_the_blocks_free():
    whole = asked("vllm", "0.6", chunked_prefill=False, async_scheduling=False)
    assert told(whole) == {"prefill_first": True, "watermark_blocks": 10, "chunked_prefill": False}
    cut = asked("vllm", "0.6", async_scheduling=False)
    assert told(cut) == {"watermark_blocks": 10}


def test_sglang_keeps_room_for_a_share_of_the_outputs_under_way():
    # 0.7, 0.7 x 0.14 = 0.098, and (0.7 - 0.098) / 600 a step.
    expected = {
        "prefill_first": True,
        "owed_ppm": 700_000,
        "owed_least_ppm": 98_000,
        "owed_decay_ppm": 1003,
        "retract_fewest": True,
    }
    assert told(asked("sglang", "0.5", async_scheduling=False)) == expected
    mixed = asked("sglang", "0.5", mixed_chunk=True)
    assert not mixed.prefill_first


@pytest.mark.parametrize(
    ("conservativeness", "owed", "least"), [(0.5, 350_000, 49_000), (2.0, 1_000_000, 140_000)]
)
def test_conservativeness_scales_that_room_up_to_all_of_it(conservativeness, owed, least):
    found = asked("sglang", "0.5", conservativeness=conservativeness)
    assert (found.owed_ppm, found.owed_least_ppm) == (owed, least)


def test_tensorrt_llm_admits_what_it_can_hold_to_the_end():
    assert told(asked("tensorrt-llm", "1.0", async_scheduling=False)) == {"reserve_output": True}


@pytest.mark.parametrize("policy", ["priority", "shortest"])
def test_the_queue_has_the_order_that_is_asked_for(policy):
    assert asked("vllm", "0.19", policy=policy).order == policy


def test_guesses_come_with_their_chance():
    drafts = Drafts(Speculation(method="ngram", tokens=3, acceptance=0.65))
    found = asked("vllm", "0.19", drafts=drafts)
    assert (found.drafts, found.acceptance_ppm) == (3, 650_000)


def test_host_memory_keeps_blocks_and_the_link_says_how_fast_they_come_back():
    # Blocks of 2 MiB (32 layers, 8 heads of 128, 16 tokens), PCIe 5.0 at 80 % of 64 GB/s.
    found = asked("vllm", "0.19", prefix_caching=True, kv_offload_bytes=2**30)
    assert found.host_blocks == 512
    assert found.host_block_ns == -(-(2**21) // 51.2)


def test_windows_and_states_come_from_the_cache_of_the_model():
    # gpt-oss: every second layer sees 128 tokens, 127 // 16 + 2 blocks of them at most.
    found = asked("vllm", "0.19", "gpt-oss-20b")
    assert (found.token_blocks, found.window_limit, found.window_ppm) == (1, 9, 1_000_000)
    assert asked("vllm", "0.19", "qwen3-next-80b-a3b").sequence_blocks > 0
