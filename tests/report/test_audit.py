from apex_opt.auditing.result import (
    Alternative,
    Audit,
    Carried,
    Change,
    Conflict,
    Entry,
    Held,
    Near,
    Relaxation,
)
from apex_opt.report.audit import SCREEN_LINES, as_text, place

TPOT = Entry(key="slo.tpot_ms", file="spec.toml", line=21, value="12 ms", default=False)
RATE = Entry(
    key="workload.rate_rps", file="spec.toml", line=9, value="20 requests/s", default=False
)
WEIGHTS = Entry(key="quantization.weights", file="spec.toml", line=1, value="bf16", default=True)
SLOWER = Relaxation(
    changes=(
        Change(
            entry=TPOT,
            value="17.4 ms",
            number=17.4,
            words="`slo.tpot_ms` 12 ms -> 17.4 ms",
            barred="16.9 ms",
            barred_number=16.9,
        ),
    ),
    smallest="not proved",
    size=0.37,
    plan="2 x h100 TP4 bf16",
)
SMALLER = Relaxation(
    changes=(Change(entry=WEIGHTS, value="fp8", number=None, words="allow fp8 weights"),),
    smallest="not proved",
    size=0.41,
    plan="1 x h100 TP4 fp8",
)
CONFLICT = Conflict(
    code="slo.load",
    text="all 12 plans within the bounds simulated; closest is 2 x h100 TP4 bf16: TPOT 17 > 12",
    entries=(TPOT, WEIGHTS),
    irreducible=True,
    relaxations=(SLOWER, SMALLER),
    helpless=("limits.power_w",),
)
INFEASIBLE = Audit(
    apexopt_version="0.1.0",
    model="llama-3.1-70b",
    status="infeasible",
    text="no plan meets the spec: a conflict",
    conflicts=(CONFLICT,),
    relaxations=(SLOWER, SMALLER),
    near=Near(plan="2 x h100 TP4 bf16", misses=("TPOT p99 17.4 ms > 12 ms",)),
    questions=40,
    simulated=1200,
)


def test_a_conflict_is_told_with_lines_reasons_and_what_would_do():
    assert as_text(INFEASIBLE, 90) == (
        "no plan meets the spec: a conflict\n"
        "llama-3.1-70b; 40 questions, 1,200 plans simulated\n"
        "\n"
        "Conflict: slo.load\n"
        "  all 12 plans within the bounds simulated; closest is 2 x h100 TP4 bf16: TPOT 17 > 12\n"
        "  these cannot hold together   value\n"
        "  ─────────────────────────────────────────────────\n"
        "  slo.tpot_ms                  12 ms   spec.toml:21\n"
        "  quantization.weights          bf16        default\n"
        "  any of these would do                 least?                plan\n"
        "  ────────────────────────────────────────────────────────────────\n"
        "  `slo.tpot_ms` 12 ms -> 17.4 ms   not 16.9 ms   2 x h100 TP4 bf16\n"
        "  allow fp8 weights                less may do    1 x h100 TP4 fp8\n"
        "  of no help alone: limits.power_w\n"
        "\n"
        "Closest, but not meeting the spec: 2 x h100 TP4 bf16\n"
        "  TPOT p99 17.4 ms > 12 ms\n"
    )


def test_a_change_that_is_proved_to_be_the_smallest_says_so():
    least = SLOWER.model_copy(update={"smallest": "proved"})
    sure = CONFLICT.model_copy(update={"relaxations": (least,)})
    lines = as_text(INFEASIBLE.model_copy(update={"conflicts": (sure,)})).splitlines()
    assert "  `slo.tpot_ms` 12 ms -> 17.4 ms   proved   2 x h100 TP4 bf16" in lines


def test_what_is_known_to_do_is_told_where_nothing_is_decided():
    found = INFEASIBLE.model_copy(update={"status": "undecided", "conflicts": ()})
    lines = as_text(found).splitlines()
    assert "What is known to make it feasible" in lines
    assert "  `slo.tpot_ms` 12 ms -> 17.4 ms   not 16.9 ms   2 x h100 TP4 bf16" in lines


def test_several_conflicts_are_cured_one_by_one_and_all_together():
    other = CONFLICT.model_copy(update={"relaxations": (SMALLER,)})
    text = as_text(INFEASIBLE.model_copy(update={"conflicts": (other, other)}))
    assert text.count("any of these would do, others cured") == 2
    assert "What makes the whole spec feasible" in text


def test_changes_of_a_conflict_that_cure_all_are_told_once():
    other = CONFLICT.model_copy(update={"relaxations": (SMALLER,)})
    text = as_text(INFEASIBLE.model_copy(update={"conflicts": (CONFLICT, other)}))
    below = "  any change that makes the whole spec feasible would do: see below\n"
    assert text.count(below) == 1
    assert text.count("`slo.tpot_ms` 12 ms -> 17.4 ms") == 1


def many(changes, conflicts):
    """An audit of so many conflicts, each with so many changes."""
    found = tuple(
        SMALLER.model_copy(update={"plan": f"{n} x h100 TP4 fp8"}) for n in range(1, changes + 1)
    )
    one = CONFLICT.model_copy(update={"relaxations": found})
    return INFEASIBLE.model_copy(update={"conflicts": (one,) * conflicts})


def test_of_many_changes_ten_are_told_and_how_many_more_there_are():
    text = as_text(many(13, 1))
    assert text.count("allow fp8 weights") == 10
    assert "  and 3 more: see `--json -`\n" in text


def test_fewer_changes_are_told_where_the_conflicts_would_not_fit_a_screen():
    for conflicts, told in ((2, 6), (3, 2)):
        text = as_text(many(13, conflicts))
        assert text.count("allow fp8 weights") == conflicts * told + 1  # one that cures all
        assert text.count("\n") <= SCREEN_LINES


def test_where_conflicts_are_many_each_is_told_in_brief():
    text = as_text(many(13, 5), 90)
    brief = (
        f"Conflict: slo.load\n  {CONFLICT.text}\n"
        "  `slo.tpot_ms` = 12 ms (spec.toml:21); `quantization.weights` = bf16 (default)\n"
        "  others cured, would do: allow fp8 weights\n"
    )
    assert text.count(brief) == 5
    assert text.count("\n") <= SCREEN_LINES


def test_of_more_than_two_changes_together_it_is_not_told_how_far_each_is_excluded():
    three = SLOWER.model_copy(update={"changes": SLOWER.changes * 3})
    text = as_text(INFEASIBLE.model_copy(update={"conflicts": (), "relaxations": (three,)}), 200)
    assert "17.4 ms   less may do   2 x h100" in text


def test_a_long_path_is_told_by_the_name_of_its_file():
    path = "/srv/checkouts/planning/specs/spec.toml"
    entry = TPOT.model_copy(update={"file": path})
    assert place(entry) == "spec.toml:21"
    assert place(TPOT.model_copy(update={"file": "specs/spec.toml"})) == "specs/spec.toml:21"
    assert place(TPOT.model_copy(update={"file": None, "line": None})) == ""


def test_long_names_are_wrapped_and_nothing_is_cut():
    name = "the-pool-of-the-research-department-in-frankfurt-on-the-main-no-2"
    plan = f"1 x {name} TP4 bf16 prefill + 1 x {name} TP4 bf16 decode"
    change = SLOWER.model_copy(update={"plan": plan})
    text = as_text(
        INFEASIBLE.model_copy(
            update={"conflicts": (CONFLICT.model_copy(update={"relaxations": (change,)}),)}
        ),
        80,
    )
    assert max(map(len, text.splitlines())) == 80
    assert "…" not in text
    assert "slo.tpot_ms                  12 ms   spec.toml:21\n" in text


def test_the_closest_plan_is_left_out_where_the_conflict_says_the_same():
    near = Near(plan="2 x h100 TP4 bf16", misses=("TPOT 17 > 12",))
    assert "Closest" not in as_text(INFEASIBLE.model_copy(update={"near": near}))


def test_where_no_more_demand_is_carried_that_is_told():
    carried = Carried(
        entry=RATE, value="20 requests/s", number=20, barred="61 requests/s", plan="2 x h100"
    )
    found = {"status": "feasible", "conflicts": (), "relaxations": (), "carried": carried}
    assert as_text(INFEASIBLE.model_copy(update={**found, "near": None})).endswith(
        "How much more demand it would carry\n"
        "  no plan was found for more than `workload.rate_rps` = 20 requests/s; 61 requests/s: "
        "excluded by\n  bounds\n"
    )


def test_a_conflict_without_cure_and_without_proof_says_so():
    bare = CONFLICT.model_copy(update={"relaxations": (), "irreducible": False})
    text = as_text(INFEASIBLE.model_copy(update={"conflicts": (bare,)}))
    assert "no change of these alone, or of two of them, was found to do" in text
    assert "perhaps fewer of them: neither time nor simulations sufficed to tell" in text


def test_what_binds_is_told_with_what_it_costs():
    devices = Entry(key="limits.devices", file=None, line=None, value="4 devices", default=False)
    row = {"used": "4 devices", "slack": 0.0, "binds": True, "without": 5.9, "proved": True}
    rows = (
        Held(entry=devices, step="4 devices -> 5 devices: buys nothing", **row),
        Held(entry=TPOT, step=None, **{**row, "binds": False, "slack": 41.6, "used": "7 ms"}),
        Held(entry=WEIGHTS, step=None, **{**row, "binds": False, "proved": False, "used": None}),
        Held(entry=WEIGHTS, step=None, **{**row, "without": None, "slack": None}),
    )
    found = INFEASIBLE.model_copy(
        update={
            "status": "feasible",
            "text": "the spec can be met",
            "conflicts": (),
            "near": None,
            "best": "1 x h100 TP4 bf16",
            "unit": "USD/h",
            "held": rows,
            "carried": Carried(
                entry=RATE,
                value="44 requests/s",
                number=44,
                barred="61 requests/s",
                plan="2 x h100",
            ),
            "alternatives": (Alternative(plan="2 x h100 TP2 bf16", reason="TTFT 9 ms > 8 ms"),),
        }
    )
    lines = [" ".join(line.split()) for line in as_text(found).splitlines()]
    assert "best: 1 x h100 TP4 bf16" in lines
    assert "limits.devices 4 devices 4 devices 0 % 5.90 USD/h" in lines
    assert "slo.tpot_ms 12 ms 7 ms 42 % no better" in lines
    assert "none better found without: quantization.weights" in lines
    assert "quantization.weights bf16 4 devices not found in the time" in lines
    assert "limits.devices 4 devices -> 5 devices: buys nothing" in lines
    assert "2 x h100 TP2 bf16 TTFT 9 ms > 8 ms" in lines
    assert (
        "`workload.rate_rps` 20 requests/s -> 44 requests/s: met by 2 x h100; "
        "61 requests/s: excluded by bounds"
    ) in " ".join(lines)


def test_what_is_not_excluded_is_told_apart_from_what_is_of_no_help():
    unsure = CONFLICT.model_copy(update={"helpless": (), "unknown": ("pools.h100.nodes",)})
    text = as_text(INFEASIBLE.model_copy(update={"conflicts": (unsure,)}))
    assert "  not found to help alone, nor excluded: pools.h100.nodes\n" in text
    assert "of no help alone" not in text


def test_the_closest_plan_is_left_out_where_the_first_change_says_the_same():
    needs = tuple(f"needs: {change.words}" for change in SLOWER.changes)
    near = Near(plan=SLOWER.plan, misses=needs)
    assert "Closest" not in as_text(INFEASIBLE.model_copy(update={"near": near}))
    assert "Closest" in as_text(INFEASIBLE)
