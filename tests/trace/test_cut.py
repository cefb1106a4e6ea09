from __future__ import annotations

import pytest

from apex_opt.errors import CallError
from apex_opt.trace.cut import Part, cut
from tests.trace.traces import columns

TRACE = columns([0, 1, 1, 2.5, 4], [1, 2, 3, 4, 5], [6, 7, 8, 9, 10])


@pytest.mark.parametrize(
    ("part", "prompts", "at_s"),
    [
        (Part(), [1, 2, 3, 4, 5], [0, 1, 1, 2.5, 4]),
        (Part(from_s=1), [2, 3, 4, 5], [0, 0, 1.5, 3]),
        (Part(from_s=1.000000001), [4, 5], [0, 1.5]),
        (Part(until_s=1), [1], [0]),
        (Part(until_s=1.000000001), [1, 2, 3], [0, 1, 1]),
        (Part(until_s=99), [1, 2, 3, 4, 5], [0, 1, 1, 2.5, 4]),
        (Part(requests=2), [1, 2], [0, 1]),
        (Part(time_scale=0.5), [1, 2, 3, 4, 5], [0, 0.5, 0.5, 1.25, 2]),
        (Part(1, 4, 3, 2.0), [2, 3, 4], [0, 0, 3]),
    ],
)
def test_a_part_begins_at_its_first_request_and_ends_before_its_end(
    part: Part, prompts: list[int], at_s: list[float]
) -> None:
    kept = cut(TRACE, part)
    assert kept.prompt_tokens.tolist() == prompts
    assert kept.output_tokens.tolist() == [prompt + 5 for prompt in prompts]
    assert kept.arrival_ns.tolist() == [round(s * 1e9) for s in at_s]


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (Part(from_s=5), "from 5 s on there is no request; the trace goes on for 4 s"),
        (Part(3, 3.5), "from 3 s until 3.5 s there is no request; the trace goes on for 4 s"),
        (Part(2, 2), "no time is from 2 s until 2 s"),
        (Part(until_s=float("nan")), "no time is from 0 s until nan s"),
        (Part(from_s=float("nan")), "from nan s on there is no request; the trace goes on for 4 s"),
        (Part(from_s=2, requests=3), "3 requests are asked for, there are 2"),
        (Part(time_scale=0.0), "the time scale must be above 0, got 0"),
        (Part(time_scale=float("nan")), "the time scale must be above 0, got nan"),
        (
            Part(time_scale=1e8),
            "stretched 1e+08 times, the trace goes on for more than ten years",
        ),
    ],
)
def test_a_part_that_is_not_there_is_refused(part: Part, why: str) -> None:
    with pytest.raises(CallError) as fault:
        cut(TRACE, part)
    assert str(fault.value) == why
