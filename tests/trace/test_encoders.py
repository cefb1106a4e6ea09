from pathlib import Path

import numpy as np
import pytest

from apex_opt.errors import SpecError
from apex_opt.spec import catalog
from apex_opt.spec.workload import Workload
from apex_opt.trace.encoders import prompts
from apex_opt.trace.traffic import traffic

T5, WHISPER, GEMMA = (
    catalog.model(name) for name in ("flan-t5-xxl", "whisper-large-v3", "gemma-3-27b")
)
MIXED = {"distribution": "empirical", "values": (1, 2), "weights": (3.0, 1.0)}


def sent(model, **more):
    asked = {"rate_rps": 8.0, "requests": 400, "prompt_tokens": 100, "output_tokens": 20, **more}
    return traffic(Workload.model_validate(asked), 0, Path(), model)


def test_the_encoder_of_t5_reads_the_prompt_and_the_decoder_begins_with_one_token():
    spread = {"distribution": "uniform", "low": 5, "high": 50}
    load = sent(T5, prompt_tokens=spread).load
    assert (load.prompt_tokens == 1).all()
    assert (load.encoder_tokens == sent(None, prompt_tokens=spread).load.prompt_tokens).all()
    assert (prompts(load, T5) == load.encoder_tokens).all()


def test_the_encoder_of_whisper_reads_30_s_whatever_the_prompt():
    load = sent(WHISPER, prompt_tokens=4).load
    assert (load.prompt_tokens == 4).all()
    assert (load.encoder_tokens == 1500).all()
    assert (prompts(load, WHISPER) == 4).all()


def test_images_come_on_top_of_the_prompt_and_are_encoded():
    plain, found = sent(None), sent(GEMMA, images_per_request=MIXED)
    load, count = found.load, found.load.encoder_tokens // 4096
    assert set(count.tolist()) == {1, 2}
    assert count.mean() == pytest.approx(1.25, rel=0.1)
    assert (load.prompt_tokens == 100 + 256 * count).all()
    assert (load.arrival_ns == plain.load.arrival_ns).all()
    assert f"{count.mean():.3g} images each" in found.description


def test_some_requests_have_no_image():
    load = sent(GEMMA, images_per_request=2, image_share=0.25).load
    seen = load.encoder_tokens > 0
    assert seen.mean() == pytest.approx(0.25, abs=0.06)
    assert (load.prompt_tokens == np.where(seen, 612, 100)).all()


def test_requests_without_images_are_as_they_were():
    assert not len(sent(GEMMA).load.encoder_tokens)
    assert sent(GEMMA).description == sent(None).description


def test_a_session_keeps_its_images_and_encodes_each_once():
    load = sent(GEMMA, images_per_request=1, sessions={"turns": 3}).load
    turn = np.arange(400) % 3
    # 100 tokens and an image a message, 20 of each reply before.
    assert (load.prompt_tokens == (turn + 1) * 356 + turn * 20).all()
    assert (load.encoder_tokens == 4096).all()


def test_samples_of_a_request_see_the_same_image():
    load = sent(GEMMA, images_per_request=1, samples=2, requests=10).load
    assert load.encoder_tokens.tolist() == [4096, 0] * 10
    assert (load.prompt_tokens == 356).all()


def test_a_trace_with_sessions_is_not_for_an_encoder_decoder_model(tmp_path):
    rows = ["arrival_s,prompt_tokens,output_tokens", "0,5,5", "1,20,5"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    asked = Workload.model_validate({"arrival": "trace", "file": "t.csv"})
    assert traffic(asked, 0, tmp_path, T5).load.encoder_tokens.tolist() == [5, 20]
    with pytest.raises(SpecError, match="has no sessions of several turns"):
        traffic(asked.model_copy(update={"later_turns": "after_reply"}), 0, tmp_path, T5)
