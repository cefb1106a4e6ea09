from dataclasses import replace

import pytest

from benchmarks.fidelity.case import parse
from benchmarks.fidelity.predict import play
from benchmarks.fidelity.setup import prepare, with_overheads
from tests.benchmarks.test_fit import RELEASE, TRUE, record


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """Return runs as an engine with overheads `TRUE` shows them."""
    folder, true = tmp_path_factory.mktemp("runs"), RELEASE.overheads.model_copy(update=TRUE)
    found = []
    for model in ("llama-3.1-8b", "qwen3-8b"):
        for clients in (1, 8):
            one = parse(record(model, clients, {}), folder)
            run = prepare(one)
            values, _ = play(
                one,
                replace(run, part=with_overheads(run.part, true)),
            )
            means = {key: {"mean": values[key]["mean"]} for key in ("ttft_ms", "tpot_ms")}
            found.append(record(model, clients, means))
    return found
