"""Rules of what a workload shares and of its phases: one inside, one on the edge, one past it."""

from __future__ import annotations

import pytest

from tests.spec.texts import faults, spec

LENGTHS = ("prompt_tokens = 512", "output_tokens = 128")
RATED = ("rate_rps = 8", *LENGTHS)


def workload(*lines: str) -> str:
    """Return a workload table of these lines."""
    return "\n".join(["[workload]", *lines])


def phased(phases: str) -> str:
    return workload('arrival = "piecewise"', f"phases = [{phases}]", *LENGTHS)


@pytest.mark.parametrize(
    "table",
    [
        phased("{ until_s = 60, rate_rps = 2 }, { until_s = 61, rate_rps = 0 }, { rate_rps = 8 }"),
        phased("{ until_s = 60, rate_rps = 2 }"),
        workload(*RATED, "prefix = { groups = 3, tokens = 511 }", "samples = 2"),
        workload(*RATED, "distinct_prompts = 3", "priority_shares = [0, 1]"),
        workload("rate_rps = 8", 'lengths_from = "t.csv"', 'format = "azure"', 'repair = ["sort"]'),
        workload('arrival = "closed"', "concurrency = 4", *LENGTHS, "sessions = { turns = 3 }"),
        workload(*RATED, "sessions = { turns = 2 }", "prefix = { groups = 1, tokens = 9999 }"),
        workload(
            'arrival = "trace"',
            'file = "t"',
            "start_s = 5",
            "duration_s = 10",
            'later_turns = "after_reply"',
            "block_tokens = 16",
            "characters_per_token = 3.5",
        ),
    ],
)
def test_what_belongs_together_is_taken(table: str) -> None:
    assert spec(workload=table)


@pytest.mark.parametrize(
    ("phases", "fault"),
    [
        (
            "{ until_s = 60, rate_rps = 2 }, { until_s = 60, rate_rps = 3 }",
            "[1].until_s: must be above 60, where the phase before ends, got 60",
        ),
        (
            "{ rate_rps = 2 }, { until_s = 60, rate_rps = 3 }",
            "[0].until_s: missing; only the last phase goes on without end",
        ),
        (
            "{ until_s = 60, rate_rps = 2 }, { rate_rps = 0 }",
            "[1].rate_rps: must be above 0 where the phase has no end, got 0",
        ),
        ("{ until_s = 60, rate_rps = 0 }", ": have no request: every `rate_rps` is 0"),
    ],
)
def test_phases_follow_each_other(phases: str, fault: str) -> None:
    assert faults(workload=phased(phases)) == [f"workload.phases{fault}"]


def test_piecewise_arrivals_need_their_phases() -> None:
    example = "phases = [{ until_s = 60, rate_rps = 2 }, { rate_rps = 8 }]"
    assert faults(workload=workload('arrival = "piecewise"', *LENGTHS)) == [
        f'workload.phases: missing; `arrival = "piecewise"` needs it: write for example `{example}`'
    ]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("start_s = 5", "start_s"),
        ("duration_s = 5", "duration_s"),
        ('later_turns = "after_reply"', "later_turns"),
    ],
)
def test_what_is_of_a_trace_means_nothing_without_one(line: str, key: str) -> None:
    why = 'means nothing with `arrival = "poisson"`; `arrival` must be "trace"'
    assert faults(workload=workload(*RATED, line)) == [f"workload.{key}: {why}"]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('repair = ["sort"]', "repair"),
        ("block_tokens = 16", "block_tokens"),
        ("characters_per_token = 3", "characters_per_token"),
        ('format = "azure"', "format"),
    ],
)
def test_how_a_file_is_read_means_nothing_without_one(line: str, key: str) -> None:
    assert faults(workload=workload(*RATED, line)) == [
        f"workload.{key}: means nothing without a trace: no file is read"
    ]


def test_a_closed_loop_has_no_samples() -> None:
    table = workload('arrival = "closed"', "concurrency = 4", *LENGTHS, "samples = 2")
    arrivals = 'one of "constant", "poisson", "gamma", "piecewise" or "trace"'
    assert faults(workload=table) == [
        f'workload.samples: means nothing with `arrival = "closed"`; `arrival` must be {arrivals}'
    ]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            (*RATED, 'lengths_from = "t"'),
            [
                "workload.prompt_tokens: cannot stand beside `lengths_from`; keep one of the two",
                "workload.output_tokens: cannot stand beside `lengths_from`; keep one of the two",
            ],
        ),
        (
            (*RATED, "sessions = { turns = 2 }", "distinct_prompts = 3"),
            ["workload.distinct_prompts: cannot stand beside `sessions`; keep one of the two"],
        ),
        (
            (*RATED, "sessions = { turns = 2 }", "samples = 3"),
            ["workload.samples: cannot stand beside `sessions`; keep one of the two"],
        ),
    ],
)
def test_keys_that_say_the_same_in_two_ways_are_refused(
    lines: tuple[str, ...], told: list[str]
) -> None:
    assert faults(workload=workload(*lines)) == told


@pytest.mark.parametrize(
    ("prompts", "longest"),
    [
        ("512", 512),
        ('{ distribution = "uniform", low = 1, high = 400 }', 400),
        ('{ distribution = "lognormal", mean = 9, p99 = 12, maximum = 300 }', 300),
        ('{ distribution = "empirical", values = [7, 200, 3] }', 200),
    ],
)
def test_prompts_can_hold_what_they_share(prompts: str, longest: int) -> None:
    lines = ("rate_rps = 8", f"prompt_tokens = {prompts}", "output_tokens = 1")
    assert spec(workload=workload(*lines, f"prefix = {{ groups = 1, tokens = {longest - 1} }}"))
    assert faults(workload=workload(*lines, f"prefix = {{ groups = 1, tokens = {longest} }}")) == [
        (
            f"workload.prefix.tokens: must be below {longest}, the longest of `prompt_tokens`, "
            f"got {longest}"
        )
    ]


def test_prompts_without_a_longest_can_hold_anything() -> None:
    prompts = 'prompt_tokens = { distribution = "lognormal", mean = 9, p99 = 12 }'
    table = workload("rate_rps = 8", prompts, "output_tokens = 1")
    assert spec(workload=f"{table}\nprefix = {{ groups = 1, tokens = 1000 }}")


def test_some_priority_has_a_share() -> None:
    assert faults(workload=workload(*RATED, "priority_shares = [0, 0]")) == [
        "workload.priority_shares: must not all be 0"
    ]


@pytest.mark.parametrize(
    ("think", "told"),
    [
        ("-1", ": must be 0 or more, got -1"),
        (
            '"x"',
            (
                ": must be a number such as 2.5, or a table such as "
                '{ distribution = "exponential", mean = 2.5 }, got the string "x"'
            ),
        ),
        (
            '{ distribution = "uniform", low = 2.5, high = 1 }',
            ".high: must be 2.5 or more, `low`, got 1",
        ),
        (
            '{ distribution = "lognormal", mean = 2, p99 = 2 }',
            ".p99: must be above 2, `mean`, and at most 14.97 times `mean`, got 2",
        ),
    ],
)
def test_think_times_are_checked_as_lengths_are(think: str, told: str) -> None:
    table = workload(*RATED, f"sessions = {{ turns = 2, think_time_s = {think} }}")
    assert faults(workload=table) == [f"workload.sessions.think_time_s{told}"]


def test_repairs_are_named() -> None:
    assert faults(workload=workload(*RATED, 'repair = ["sort", "drop"]')) == [
        (
            'workload.repair[1]: must be one of "sort", "drop_failed" or "drop_faulty", '
            'got the string "drop"'
        )
    ]


def test_images_are_for_models_that_see() -> None:
    asked = workload(*RATED, "images_per_request = 2", "image_share = 0.5")
    assert faults(workload=asked) == [
        (
            "workload.images_per_request: needs a model with an encoder of images, which "
            "`llama-3.1-8b` has not; leave it out, or write `[model.vision]`"
        )
    ]
    assert spec(workload=asked, model='[model]\nname = "gemma-3-27b"')


def test_a_share_of_no_images_means_nothing() -> None:
    assert faults(workload=workload(*RATED, "image_share = 0.5")) == [
        "workload.image_share: means nothing without images: write `images_per_request`"
    ]


def test_images_are_checked_as_lengths_are() -> None:
    asked = 'images_per_request = { distribution = "uniform", low = 4, high = 2 }'
    told = faults(workload=workload(*RATED, asked), model='[model]\nname = "gemma-3-27b"')
    assert told == ["workload.images_per_request.high: must be 4 or more, `low`, got 2"]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("prefix = { groups = 3, tokens = 11 }", "prefix"),
        ("distinct_prompts = 3", "distinct_prompts"),
        ("sessions = { turns = 2 }", "sessions"),
        ("samples = 2", "samples"),
    ],
)
def test_what_an_encoder_reads_is_not_shared(line: str, key: str) -> None:
    model = '[model]\nname = "flan-t5-xxl"'
    assert faults(workload=workload(*RATED, line), model=model) == [
        f"workload.{key}: cannot stand beside an encoder-decoder model; leave it out"
    ]
