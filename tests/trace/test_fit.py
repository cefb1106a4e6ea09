from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.report.workload import toml
from apex_opt.spec.loader import loads
from apex_opt.spec.workload import Empirical, Fixed, Lognormal, Workload
from apex_opt.trace.arrivals import arrivals
from apex_opt.trace.cut import Part, cut
from apex_opt.trace.describe import describe
from apex_opt.trace.fit import as_synthetic, as_trace, lengths
from apex_opt.trace.read import read
from apex_opt.trace.trace import Trace
from apex_opt.trace.traffic import traffic
from apex_opt.trace.writers import encode, writer
from tests.small_specs import TABLES, text
from tests.trace.traces import columns


def loaded(workload: Workload) -> Workload:
    """Return a workload after it was typed into a spec and loaded, with every check."""
    rest = {name: body for name, body in TABLES.items() if name != "workload"}
    return loads(text(**rest, workload="", more=toml(workload))).workload


@pytest.mark.parametrize(
    "part",
    [
        Part(),
        Part(until_s=3),
        Part(requests=2),
        Part(until_s=3, time_scale=0.5),
        Part(from_s=0.5, until_s=3),
    ],
)
def test_a_spec_that_plays_the_trace_plays_this_part_of_it(part: Part, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    trace = columns([0, 1, 2.5, 4], [10, 20, 30, 40], [1, 2, 3, 4])
    path.write_bytes(b"".join(encode(trace, writer("vidur"))))
    whole = read(path)
    kept = cut(whole, part)
    table = as_trace(kept, part)
    assert table is not None
    load = traffic(loaded(table), 0, tmp_path).load
    assert load.arrival_ns.tolist() == kept.arrival_ns.tolist()
    assert load.prompt_tokens.tolist() == kept.prompt_tokens.tolist()


def test_no_spec_plays_a_file_without_times() -> None:
    assert as_trace(replace(columns([0, 0]), timed=False), Part()) is None


def test_a_spec_says_how_the_file_was_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n2,1,1\n1,1,0\n1,5,5\n")
    table = as_trace(read(path, repair=("sort", "drop_failed")), Part())
    assert table is not None
    assert table.repair == ("sort", "drop_failed")
    assert 'repair = [\n  "sort", "drop_failed",\n]' in toml(table)
    assert traffic(loaded(table), 0, tmp_path).load.prompt_tokens.tolist() == [5, 1]


@pytest.mark.parametrize("file", ["x" * 201, "bell\a"])
def test_no_spec_names_a_file_that_it_cannot_write(file: str) -> None:
    trace = columns([0, 1])
    named = Trace(trace.arrival_ns, trace.prompt_tokens, trace.output_tokens, "plain", Path(file))
    assert as_trace(named, Part()) is None


def test_the_fit_of_drawn_traffic_finds_what_it_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    at = arrivals("gamma", 50_000, rng, rate_rps=8.0, burstiness=0.4)
    prompt = rng.lognormal(6, 0.8, 50_000).astype(np.int64) + 1
    trace = Trace(at - at[0], prompt, np.full(50_000, 7), "plain", Path("t"))
    fit = as_synthetic(trace)
    assert fit is not None
    assert fit.arrival == "gamma"
    assert fit.rate_rps == pytest.approx(8.0, rel=0.03)  # five standard errors
    assert fit.burstiness == pytest.approx(0.4, rel=0.05)
    assert isinstance(fit.prompt_tokens, Lognormal)
    assert fit.prompt_tokens.mean == pytest.approx(prompt.mean(), rel=1e-5)
    assert fit.prompt_tokens.p99 == pytest.approx(np.percentile(prompt, 99), rel=1e-5)
    assert fit.prompt_tokens.maximum == prompt.max()
    assert fit.output_tokens == Fixed(distribution="fixed", value=7)
    again = describe_load(loaded(fit))
    assert again.rate_rps == pytest.approx(8.0, rel=0.05)
    assert again.burstiness is not None
    assert again.burstiness.gaps_cv == pytest.approx(0.4**-0.5, rel=0.05)


def describe_load(workload: Workload):
    load = traffic(workload, 1, Path()).load
    at = load.arrival_ns - load.arrival_ns[0]
    return describe(Trace(at, load.prompt_tokens, load.output_tokens, "plain", Path("t")))


def test_even_gaps_are_constant_arrivals() -> None:
    fit = as_synthetic(columns([0, 0.5, 1.0, 1.500000001]))
    assert fit is not None
    assert (fit.arrival, fit.rate_rps, fit.requests) == ("constant", 2.0, 4)


def test_lengths_whose_tail_no_lognormal_has_are_drawn_from_groups() -> None:
    # 1 in 200 is long: the 99th percentile is below the mean.
    rare = lengths(np.array([1] * 199 + [100_000]))
    assert rare == Empirical(distribution="empirical", values=(*[1] * 19, 10_001))
    # Two in three are 1, p99 would need a tail beyond any lognormal's: 3 of 200 are huge.
    steep = lengths(np.array([1] * 197 + [10**6] * 3))
    assert isinstance(steep, Empirical)
    assert np.mean(steep.values) == pytest.approx(15_000.985, abs=0.5)


TOKENS = st.integers(1, 10**9) | st.integers(1, 12)


@given(
    rows=st.lists(st.tuples(st.integers(0, 10**12), TOKENS, TOKENS), min_size=2, max_size=40),
)
@settings(max_examples=80, deadline=None)
def test_every_fit_passes_the_checks_of_a_spec(rows: list[tuple[int, int, int]]) -> None:
    at = np.sort(np.array([row[0] for row in rows], np.int64))
    prompt, output = (np.array([row[i] for row in rows], np.int64) for i in (1, 2))
    fit = as_synthetic(Trace(at - at[0], prompt, output, "plain", Path("t")))
    if at[-1] == at[0]:
        assert fit is None
    else:
        assert fit is not None
        assert loaded(fit) == fit
