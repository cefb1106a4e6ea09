from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from apex_opt.plan.result import Binding, Plan, Proof, Rejected, Result
from apex_opt.report.console import as_text, render
from apex_opt.report.simulation import render_plan
from tests.report.samples import checks, deployment, plan, prediction, replica, result, statistics

REPORT = """\
2 x h100 TP4 bf16: 8 devices, $23.60 an hour
proved optimal for this traffic and seed: 6 plans simulated, 40 in the space
llama-3.1-70b, 2,000 requests over 8.3 min (4/s), prompts 1,155 mean / 4,100
p99, outputs 211 / 900

Why it won
  Minimize cost: $23.60 an hour. The best other plan, 1 x h100 TP8 fp8/kv-fp8,
  is 25 % worse: $29.50 an hour.

Service levels
  level                                  asked   predicted         room   met
  ───────────────────────────────────────────────────────────────────────────
  TTFT p99                         <= 2,000 ms      480 ms    76 % left   yes
  TPOT p99                          <= 40.0 ms     36.0 ms    10 % left   yes
  requests completed                 >= 99.0 %       100 %   100 % left   yes
  drained after the last arrival      <= 110 s      4.50 s    96 % left   yes

Latency
  ms       mean     p50     p90     p95      p99
  ──────────────────────────────────────────────
  TTFT      120    96.0     180     240      480
  TPOT     9.00    7.20    13.5    18.0     36.0
  ITL      9.50    7.60    14.2    19.0     38.0
  E2E     3,000   2,400   4,500   6,000   12,000
  queue    0.25    0.20    0.38    0.50     1.00

Throughput and use
  requests    2,000 of 2,000 completed, none rejected, 3 preemptions
  throughput  4.00 requests/s, 4,620 prompt + 844 output tokens/s
  goodput     4.00 requests/s meet their limits, 100 % of all requests
  engine      mean batch 6.50 sequences, busy 97 %
  hardware    MFU 8.1 %, MBU 42 %
  KV cache    3.4 % used, 12 % at the peak
  energy      750 J a request, 3.55 J an output token
  power       3,000 W mean, 5,234 W peak
  price       $23.60 an hour, $7.77 a million output tokens

Memory of one h100 device (KV cache of a replica: 393,216 tokens)
  part            GiB     share                      of one device
  ────────────────────────────────────────────────────────────────
  weights        35.0      44 %   ██████████████··················
  KV cache       30.0      38 %   ··············████████████······
  activations     2.0     2.5 %   ··························█·····
  CUDA graphs     0.5     0.6 %   ···························█····
  other         < 0.1   < 0.1 %   ···························█····
  reserve         8.0      10 %   ···························███··
  free            4.5     5.6 %   ······························██
  total          80.0

What binds
  Tightest service level: TPOT p99, 10 % left.
  limit                  allowed        used   share
  ──────────────────────────────────────────────────────────────
  pools.h100.devices   8 devices   8 devices   100 %   all of it

The best plans of each kind
  plan                         USD/h   devices   TTFT p99   TPOT p99
  ──────────────────────────────────────────────────────────────────
  1. 2 x h100 TP4 bf16         23.60         8     480 ms    36.0 ms
  2. 1 x h100 TP8 fp8/kv-fp8   23.60         8     480 ms    36.0 ms

Simulated and turned down
  1 x h100 TP4 bf16  TTFT p99 2,400 ms > 2,000 ms

Where it stands
  h100 replicas 1-2  node 0: 4 devices each

How to start it
  2 times, each on 4 h100 devices:
  vllm serve meta-llama/Llama-3.1-70B \\
    --tensor-parallel-size 4 \\
    --pipeline-parallel-size 1 \\
    --dtype bfloat16 \\
    --kv-cache-dtype bfloat16 \\
    --max-model-len 15008 \\
    --max-num-seqs 1024 \\
    --max-num-batched-tokens 8192 \\
    --block-size 16 \\
    --gpu-memory-utilization 0.9 \\
    --enable-chunked-prefill \\
    --no-enable-prefix-caching \\
    --async-scheduling
"""


def printed(shown: Result | Plan, width: int = 80, **options: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False, **options)
    if isinstance(shown, Result):
        render(shown, console)
    else:
        render_plan(shown, console)
    return file.getvalue()


def section(text: str, title: str) -> list[str]:
    """Return the lines of a section, without its title."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return next(block[1:] for block in blocks if block[0].startswith(title))


def test_a_small_result_at_eighty_columns() -> None:
    assert printed(result()) == REPORT


def test_a_report_as_text_is_what_is_printed() -> None:
    assert as_text(result(), 80) == REPORT


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_console(width: int) -> None:
    assert max(map(len, printed(result(), width).splitlines())) <= width


@pytest.mark.parametrize("width", [100, 120])
def test_a_wide_console_shows_the_same_words(width: int) -> None:
    assert printed(result(), width).split() == printed(result()).split()


def test_colour_adds_nothing_but_colour() -> None:
    coloured = printed(result(), force_terminal=True, color_system="truecolor")
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == REPORT


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3\d", printed(result(), force_terminal=True))


def test_a_terminal_without_unicode_gets_ascii() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    render(result(), Console(file=file, width=80))
    file.flush()


def test_no_line_ends_in_blanks() -> None:
    assert not re.search(r" $", printed(result()), re.MULTILINE)


def test_square_brackets_of_a_name_are_no_markup() -> None:
    label = Rejected(label="1 x [red]odd[/red] TP1", reason="[bold]no")
    text = printed(result(rejected=(label,)))
    assert section(text, "Simulated and turned down") == ["  1 x [red]odd[/red] TP1  [bold]no"]


def test_a_plan_that_is_as_good_is_told_apart_by_its_latency() -> None:
    slower = plan(rank=2, prediction=prediction(e2e_ms=statistics(3600.0)))
    text = printed(result(plans=(plan(), slower)))
    assert section(text, "Why it won") == [
        "  Minimize cost: $23.60 an hour. The best other plan, 2 x h100 TP4 bf16, is as",
        "  good but its mean E2E is 20 % longer.",
    ]


def test_an_objective_that_is_maximised_has_its_unit_and_its_margin() -> None:
    plans = (plan(objective=4.0), plan(rank=2, objective=3.0))
    text = printed(result(objective="maximize goodput", unit="requests/s", plans=plans))
    assert section(text, "Why it won") == [
        "  Maximize goodput: 4 requests/s while requests arrive. The best other plan, 2 x",
        "  h100 TP4 bf16, is 25 % worse: 3 requests/s.",
    ]
    assert section(text, "The best plans")[0].split()[:3] == ["plan", "requests/s", "USD/h"]


def test_a_plan_that_is_not_proved_to_be_the_next_best_is_the_next_that_was_found() -> None:
    later = [plan(rank=rank, objective=15.0 * rank) for rank in (2, 3)]
    proof = result().proof.model_copy(update={"ranked": 1})
    text = printed(result(plans=(plan(), *later), proof=proof))
    assert section(text, "Why it won") == [
        "  Minimize cost: $23.60 an hour. The next plan that was found, 2 x h100 TP4",
        "  bf16, is 27 % worse: $30.00 an hour.",
    ]
    assert section(text, "The best plans")[-1] == "  2, 3: found, but not proved to come next"


def test_a_lone_plan_has_no_table_of_plans() -> None:
    text = printed(result(plans=(plan(),), rejected=()))
    assert "The best plans" not in text
    assert "Simulated and turned down" not in text
    assert section(text, "Why it won") == ["  Minimize cost: $23.60 an hour."]


def test_five_plans_that_were_turned_down_are_listed_and_the_others_counted() -> None:
    many = tuple(Rejected(label=f"plan {n}", reason="TPOT") for n in range(7))
    lines = section(printed(result(rejected=many)), "Simulated and turned down")
    assert lines == [*(f"  plan {n}  TPOT" for n in range(5)), "  and 2 more"]


def test_a_gap_is_told_as_it_is() -> None:
    text = "not proved: gap 10.0% to the bound of 21.2 USD/h"
    proof = Proof.model_validate(
        result().proof.model_dump() | {"status": "feasible", "text": text, "gap": 0.1}
    )
    assert printed(result(proof=proof)).splitlines()[1] == text


def test_a_level_that_is_missed_says_so() -> None:
    missed = checks()[1].model_copy(update={"value": 50.0, "met": False})
    lines = section(printed(plan(checks=(missed,))), "Service levels")
    assert " ".join(lines[-1].split()) == "TPOT p99 <= 40.0 ms 50.0 ms 25 % over NO"


def test_a_plan_without_levels_says_so() -> None:
    text = printed(plan(checks=(), limits=()))
    assert "Service levels" not in text
    assert section(text, "What binds") == ["  The spec asks for no service level."]


def test_what_has_no_price_says_so() -> None:
    free = prediction(cost_per_hour=0.0, cost_per_million_output_tokens=0.0)
    text = printed(plan(prediction=free))
    assert text.splitlines()[0] == "2 x h100 TP4 bf16: 8 devices, no price given"
    assert "  price       none given" in text.splitlines()


def test_an_unstable_run_with_rejected_requests_says_so() -> None:
    bad = prediction(stable=False, rejected=5, completed=1990, preemptions=1)
    line = section(printed(plan(prediction=bad)), "Throughput and use")[0]
    assert line == ("  requests    1,990 of 2,000 completed, 5 rejected, 1 preemption; NOT STABLE,")


def test_each_deployment_has_its_memory_its_command_and_its_share() -> None:
    a100 = replica(pool="a100", tensor=8, devices=8)
    mixed = (deployment(2, share=0.75), deployment(1, replica=a100, share=0.25))
    lines = printed(plan(deployments=mixed)).splitlines()
    assert lines[0] == "2 x h100 TP4 bf16 + 1 x a100 TP8 bf16: 8 devices, $23.60 an hour"
    assert "  2 times, each on 4 h100 devices, for 75 % of the requests:" in lines
    second = lines.index("  Once, on 8 a100 devices, for 25 % of the requests:")
    assert lines[second - 2 : second] == ["    --async-scheduling", ""]
    assert sum(line.startswith("Memory of one ") for line in lines) == 2
    assert sum(line.startswith("  vllm serve MODEL ") for line in lines) == 2


def test_commands_are_never_wrapped() -> None:
    long = "organisation/" + "a" * 150
    text = printed(result(spec={"model": {"aliases": [long]}}))
    assert f"\n  vllm serve {long} \\\n" in text


def test_a_result_without_the_models_aliases_starts_it_by_its_own_name() -> None:
    assert "  vllm serve llama-3.1-70b \\" in printed(result(spec={})).splitlines()


def test_a_long_plan_and_a_long_reason_share_the_width() -> None:
    label = "2 x h100 TP4 PP2 fp8/kv-fp8 + 4 x l40s TP2 fp8/kv-fp8 + 1 x a100 TP8 bf16"
    reason = "TTFT p99 2,400 ms > 2,000 ms, and some more of it to make it long"
    lines = section(
        printed(result(rejected=(Rejected(label=label, reason=reason),))), "Simulated and"
    )
    assert lines == [
        "  2 x h100 TP4 PP2 fp8/kv-fp8 + 4 x      TTFT p99 2,400 ms > 2,000 ms, and some",
        "  l40s TP2 fp8/kv-fp8 + 1 x a100 TP8     more of it to make it long",
        "  bf16",
    ]


AMOUNT = st.floats(0.0, 1e9)


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=40), AMOUNT, st.integers(1, 10**6), st.sampled_from([80, 120]))
def test_any_name_and_any_size_stay_within_the_width(
    name: str, amount: float, count: int, width: int
) -> None:
    odd = plan(
        deployments=(deployment(replica=replica(pool=name)),),
        devices=count,
        objective=amount,
        prediction=prediction(
            ttft_ms=statistics(amount), energy_j_per_request=amount, cost_per_hour=amount
        ),
    )
    text = printed(result(plans=(odd, odd)), width)
    assert max(map(cell_len, text.split("\n"))) <= width


def test_power_is_told_beside_what_is_rated_and_by_how_much_a_limit_holds_more() -> None:
    limit = Binding(limit="limits.power_w", value=4400.0, used=4100.0, unit="W")
    drawn = prediction(power_rated_w=5600.0, power_window_w=4100.0)
    text = printed(plan(prediction=drawn, limits=(limit,)))
    words = "power 3,000 W mean, 5,234 W peak, 4,100 W over the window; 5,600 W rated"
    assert words in " ".join(text.split())
    row = " ".join(section(text, "What binds")[-1].split())
    assert row == "limits.power_w 4,400 W 4,100 W 93 % rated 127 % of it"
    fits = plan(prediction=prediction(power_rated_w=4400.0), limits=(limit,))
    assert " ".join(section(printed(fits), "What binds")[-1].split()).endswith("4,100 W 93 %")
