"""What is not modelled yet is refused by name."""

from __future__ import annotations

import pytest

from apex_opt.spec import unbuilt
from apex_opt.spec.faults import render
from tests.spec.texts import spec


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            '[search]\nexecutor = "ray"',
            'search.executor: not modelled yet; write `executor = "local"`',
        ),
    ],
)
def test_what_is_not_built_is_refused(table: str, said: str):
    assert render(unbuilt.check(spec(table)), None) == said


def test_a_version_that_no_loader_has_seen_is_refused():
    asked = spec()
    by_hand = asked.model_copy(
        update={"engine": asked.engine.model_copy(update={"version": "new"})}
    )
    assert render(unbuilt.check(by_hand), None) == (
        "engine.version: `new` is no version of vllm; write one like `0.19`"
    )


@pytest.mark.parametrize(
    "table",
    [
        "[engine]\nprefix_caching = true",
        '[engine]\nname = "sglang"',
        '[engine]\nname = "trtllm"',
        '[engine]\nversion = "0.6"',
        "[workload.prefix]\ngroups = 4\ntokens = 100",
        "[workload.sessions]\nturns = 3",
        '[parallelism]\nattention_data = 1\nexpert = [1, 8]\ntensor = "auto"',
        '[parallelism]\nattention_data = "auto"',
        "[parallelism]\nattention_data = [1, 8]",
        '[search]\nexecutor = "local"',
    ],
)
def test_what_is_built_is_not_refused(table: str):
    assert unbuilt.check(spec(table)) == []
