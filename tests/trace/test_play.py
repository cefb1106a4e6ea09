from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apex_opt.errors import SpecError, TraceError
from apex_opt.spec.table import frozen
from apex_opt.spec.workload import Workload
from apex_opt.trace.traffic import traffic
from tests.trace.workloads import load_of, workload

PLAIN = "arrival_s,prompt_tokens,output_tokens,session,think_s\n"
CHAT = PLAIN + "10,10,1,a,\n11,99,9,,\n12,20,2,a,0.5\n14,40,4,a,1.5\n18,7,1,,\n"


def chat(folder: Path) -> Path:
    (folder / "chat.csv").write_text(CHAT)
    return folder


def asked(**changes: Any) -> Workload:
    return Workload.model_validate(frozen({"arrival": "trace", "file": "chat.csv", **changes}))


def test_a_part_of_a_trace_is_named_by_its_seconds(tmp_path: Path) -> None:
    load = load_of(asked(start_s=1, duration_s=3.5, time_scale=2), folder=chat(tmp_path))
    assert (load.arrival_ns / 1e9).tolist() == [0, 2, 6]
    assert load.prompt_tokens.tolist() == [99, 20, 40]


def test_sessions_come_at_their_recorded_times_unless_asked(tmp_path: Path) -> None:
    load = load_of(asked(), folder=chat(tmp_path))
    assert len(load.after) == 0
    assert (load.arrival_ns / 1e9).tolist() == [0, 1, 2, 4, 8]


def test_later_turns_may_wait_for_the_reply(tmp_path: Path) -> None:
    drawn = traffic(asked(later_turns="after_reply"), 0, chat(tmp_path))
    assert drawn.load.after.tolist() == [-1, -1, 0, 2, -1]
    assert (drawn.load.think_ns / 1e9).tolist() == [0, 0, 0.5, 1.5, 0]
    # Three sessions open in 8 s, five requests: (3 - 1) / 8 x 5 / 3.
    assert drawn.rate_rps == pytest.approx(2 / 8 * 5 / 3)
    assert "in 3 sessions" in drawn.description


def test_blocks_and_replies_go_together(tmp_path: Path) -> None:
    rows = [(0, -1, 32, [1, 2]), (1, 0, 48, [1, 2, 3]), (2, -1, 32, [1, 2])]
    (tmp_path / "chat.csv").write_text(
        "".join(
            f'{{"timestamp": {chat}, "input_length": {tokens}, "output_length": 1, '
            f'"chat_id": {chat}, "parent_chat_id": {parent}, "hash_ids": {ids}}}\n'
            for chat, parent, tokens, ids in rows
        )
    )
    assert load_of(asked(), folder=tmp_path).prefix.tolist() == [0, 0, 0]
    load = load_of(asked(later_turns="after_reply"), folder=tmp_path)
    assert load.prefix.tolist() == [0, -1, 0]


def test_a_trace_may_be_given_what_it_does_not_say(tmp_path: Path) -> None:
    changes = {"prefix": {"groups": 1, "tokens": 15}, "samples": 2, "priority_shares": [0, 1]}
    load = load_of(asked(**changes), folder=chat(tmp_path))
    assert load.prompt_tokens[::2].tolist() == [16, 99, 20, 40, 16]
    assert load.output_tokens.tolist() == [1, 1, 9, 9, 2, 2, 4, 4, 1, 1]
    assert set(load.priority.tolist()) == {1}


LENGTHS = (
    "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n1,10,0,0\n2,20,0,0\n3,30,0,0\n"
)


def test_lengths_of_one_request_are_drawn_together(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text(LENGTHS)
    drawing = workload(
        lengths_from="lengths.csv", prompt_tokens=None, output_tokens=None, requests=3000
    )
    drawn = traffic(drawing, 1, tmp_path)
    load = drawn.load
    assert (load.output_tokens == 10 * load.prompt_tokens).all()
    # Each with p = 1/3: standard deviation 26.
    assert (abs(np.bincount(load.prompt_tokens)[1:] - 1000) < 130).all()
    assert ", lengths from lengths.csv" in drawn.description
    other = load_of(drawing, 2, tmp_path)
    assert other.prompt_tokens.tolist() != load.prompt_tokens.tolist()
    plain = load_of(workload(requests=3000), 1)
    assert load.arrival_ns.tolist() == plain.arrival_ns.tolist()  # a stream of its own


def test_pairs_repeat_with_their_prompts_and_samples(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text(LENGTHS)
    drawing = workload(
        lengths_from="lengths.csv",
        prompt_tokens=None,
        output_tokens=None,
        requests=7,
        distinct_prompts=3,
        samples=2,
    )
    load = load_of(drawing, 1, tmp_path)
    assert (load.output_tokens == 10 * load.prompt_tokens).all()
    assert load.prompt_tokens[:6].tolist() == load.prompt_tokens[6:12].tolist()


def test_a_trace_without_times_is_not_played(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text(LENGTHS)
    why = (
        "workload.file: chat.csv does not say when requests came; "
        'write `lengths_from` in place of `file`, and `arrival = "poisson"` or another'
    )
    with pytest.raises(SpecError, match=f"^{re.escape(why)}$"):
        traffic(asked(), 0, tmp_path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"start_s": 9},
            "workload: chat.csv: from 9 s on there is no request; the trace goes on for 8 s",
        ),
        (
            {"later_turns": "after_reply", "prefix": {"groups": 1, "tokens": 5}},
            "workload.prefix: chat.csv says itself what its prompts share",
        ),
        (
            {"later_turns": "after_reply", "samples": 2},
            "workload.samples: cannot stand beside turns that come after a reply",
        ),
        (
            {"later_turns": "after_reply", "duration_s": 2},
            "workload.later_turns: chat.csv has no sessions of several turns there",
        ),
    ],
)
def test_a_trace_is_not_played_against_what_it_says(
    changes: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(why)}$"):
        traffic(asked(**changes), 0, chat(tmp_path))


def test_priorities_of_a_trace_are_kept_and_not_drawn_over(tmp_path: Path) -> None:
    line = '{{"arrival_s": {}, "prompt_tokens": 5, "output_tokens": 5, "priority": {}}}\n'
    (tmp_path / "chat.csv").write_text(line.format(0, 3) + line.format(1, -1))
    assert load_of(asked(), folder=tmp_path).priority.tolist() == [3, -1]
    why = "workload.priority_shares: chat.csv has priorities of its own"
    with pytest.raises(SpecError, match=f"^{re.escape(why)}$"):
        traffic(asked(priority_shares=[1, 1]), 0, tmp_path)


def test_the_options_of_a_spec_reach_the_reader(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text(CHAT.replace("18,7,1,,", "18,7,0,,"))
    with pytest.raises(TraceError, match="drop_failed"):
        traffic(asked(), 0, tmp_path)
    load = load_of(asked(repair=["drop_failed"]), folder=tmp_path)
    assert len(load) == 4
