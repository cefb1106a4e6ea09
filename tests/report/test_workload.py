from __future__ import annotations

import pytest

from apex_opt.report.workload import toml
from apex_opt.spec.loader import loads
from apex_opt.spec.workload import Empirical, Fixed, Lognormal, Workload
from tests.small_specs import text

NAMES = ["a b.csv", 'quote".csv', "back\\slash.csv", "käse.csv"]


def test_lone_values_stand_before_the_tables_of_distributions() -> None:
    workload = Workload(
        arrival="gamma",
        burstiness=0.5,
        rate_rps=4.0,
        prompt_tokens=Lognormal(distribution="lognormal", mean=10.5, p99=40.0),
        output_tokens=Fixed(distribution="fixed", value=7),
    )
    assert toml(workload).splitlines() == [
        "[workload]",
        'arrival = "gamma"',
        "rate_rps = 4",
        "burstiness = 0.5",
        "[workload.prompt_tokens]",
        'distribution = "lognormal"',
        "mean = 10.5",
        "p99 = 40",
        "[workload.output_tokens]",
        'distribution = "fixed"',
        "value = 7",
    ]


@pytest.mark.parametrize("file", NAMES)
def test_any_name_of_a_file_is_loaded_as_it_was(file: str) -> None:
    workload = Workload(arrival="trace", file=file)
    assert loads(text(workload="", more=toml(workload))).workload == workload


def test_a_long_list_is_broken_into_lines_and_loaded_as_it_was() -> None:
    values = tuple(range(10**9 - 20, 10**9))
    lengths = Empirical(distribution="empirical", values=values)
    workload = Workload(rate_rps=1e-5, prompt_tokens=lengths, output_tokens=lengths)
    typed = toml(workload)
    assert max(map(len, typed.splitlines())) <= 60
    assert loads(text(workload="", more=typed)).workload == workload
