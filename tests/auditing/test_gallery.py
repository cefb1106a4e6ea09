"""Every infeasible spec of the gallery: its conflicts, what would help, and that it is so."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from apex_opt.auditing.dials import Options, Range
from apex_opt.auditing.result import Code
from apex_opt.auditing.story import answer, known_entries
from apex_opt.errors import SpecError
from apex_opt.report.audit import as_text
from tests.auditing.changed import entries_of, made, tighter
from tests.auditing.gallery import GALLERY, make, timeless

TOGETHER = "settings that must change together"
HELPLESS = {"a model that the engine does not serve", "requests longer than the model takes"}
EXPECTED = Path(__file__).parent / "gallery.txt"
BY_COST = {"slo.load", "slo.unreachable", "demand", "power"}
"""Causes whose numbers follow from the cost model: what is relaxed is asserted, not how far."""


EXACT = (
    ".nodes", "devices", "replicas", "budget_per_hour", "max_starts", "spot_fraction", "max_stages",
)  # fmt: skip
"""Ends of keys whose values follow from stock, price and bytes of weights alone."""


@cache
def audited(case):
    """Return the spec of a case, who judged it, and its audit."""
    judge, spec = timeless(), make(**GALLERY[case])
    return spec, judge, answer(spec, judge)


def masked(words):
    """Leave out numbers, and pipelines, which a label has or has not."""
    return re.sub(r"\d[\d,.]*", "#", re.sub(r" PP\d+", "", words))


def relaxed(relaxation, code):
    if code in BY_COST:
        return " + ".join(change.entry.key for change in relaxation.changes)
    whole = [c.number is None or c.entry.key.endswith(EXACT) for c in relaxation.changes]
    words = [
        c.words if w else masked(c.words) for c, w in zip(relaxation.changes, whole, strict=True)
    ]
    return " + ".join(words)


def told(case):
    """Return the conflicts of a case as text."""
    found = audited(case)[2]
    lines = [f"# {case}"]
    for conflict in found.conflicts:
        lines.append(f"{conflict.code}: {', '.join(e.key for e in conflict.entries)}".rstrip())
        exact = conflict.code not in BY_COST and not conflict.code.startswith("memory")
        lines.append(f"  {conflict.text if exact else masked(conflict.text)}")
        helps = [relaxed(r, conflict.code) for r in conflict.relaxations]
        lines += [f"  + {one}" for one in (sorted(helps) if conflict.code in BY_COST else helps)]
        lines += [f"  - {key}" for key in conflict.helpless]
        lines += [f"  ? {key}" for key in conflict.unknown]
    return "\n".join(lines)


def expected():
    blocks = EXPECTED.read_text(encoding="utf-8").strip().split("\n\n")
    return {block.splitlines()[0][2:]: block for block in blocks}


def test_the_gallery_has_thirty_specs_and_an_expectation_of_each():
    assert len(GALLERY) >= 30
    assert list(expected()) == list(GALLERY)


def test_every_cause_has_a_spec():
    first = {block.splitlines()[1].split(":")[0] for block in expected().values()}
    assert set(get_args(Code)) == first


@pytest.mark.parametrize("case", GALLERY)
def test_conflicts_and_what_helps_are_as_expected(case):
    assert audited(case)[2].status == "infeasible"
    assert told(case) == expected()[case]


def test_the_stage_that_is_too_small_is_named_with_what_stands_on_it():
    assert audited("last stage")[2].conflicts[0].text == (
        "weights of 141.1 GB in bf16 do not fit: the nearest cut, 3 x p (TP1 PP3, stage 3 of 3 "
        "with 27 layers and the LM head), leaves 48.3 GB for a device that has 47.5 GB for them; "
        "at least 4 such devices a replica are needed, `parallelism.tensor` = 1 and "
        "`parallelism.pipeline` = 3 allow 3"
    )


@pytest.mark.parametrize(
    ("device", "hint"),
    [
        ("h100", None),
        ("a100-sxm-80", "did you mean `a100-sxm-80gb`?"),
        ("rtx4090", "did you mean `rtx-4090`?"),
        ("my-accelerator", "`apexopt catalog devices` lists the known ones"),
    ],
)
def test_an_unknown_device_is_a_fault_of_the_spec_with_the_nearest_names(device, hint):
    pools = f'name = "p"\ndevice = "{device}"\nnodes = 1'
    if hint is None:
        assert make(pools=pools).pools[0].device.name == "h100-sxm-80gb"
        return
    with pytest.raises(SpecError) as fault:
        make(pools=pools)
    assert str(fault.value).endswith(f"pools[0].device: unknown device `{device}`; {hint}")


def core_of(spec, judge, found, conflict, *, together=False):
    """Return the entries by key, and the spec in which all but the conflict's are loosened.

    Choices multiply the replicas: where some are legal they are cleared one by one.
    """
    verdict = judge.ask(spec)
    bare = verdict.stage == "replica" and conflict is found.conflicts[0]
    known = {e.key: e for e in known_entries(spec, judge, verdict)}
    members = {e.key for e in conflict.entries}
    others = {e.key for other in found.conflicts for e in other.entries} - members
    core = spec
    for key, entry in known.items():
        if key not in members and (bare or together or key in others or not entry.multiplies):
            core = entry.loosened(core)
    return known, core


SHARED = "a level with power and with the budget"


def test_conflicts_that_share_entries_are_all_found_and_cured_together():
    found = audited(SHARED)[2]
    limits = [{e.key for e in conflict.entries} for conflict in found.conflicts]
    both = {"limits.budget_per_hour", "limits.power_w"}
    assert found.text == "no plan meets the spec: 2 conflicts"
    assert [keys & both for keys in limits] == [{key} for key in sorted(both)]
    assert all("slo.ttft_ms.p50" in keys for keys in limits)
    assert both in [{c.entry.key for c in one.changes} for one in found.relaxations]


@pytest.mark.parametrize(
    ("case", "nth"),
    [(c, n) for c in GALLERY for n in range(1 + c.split().count("and"))],
)
def test_each_entry_of_a_conflict_is_needed(case, nth):
    spec, judge, found = audited(case)
    conflict = found.conflicts[nth]
    known, core = core_of(spec, judge, found, conflict, together=case == TOGETHER)
    assert conflict.irreducible
    assert judge.ask(core).status == "infeasible"
    for shown in conflict.entries:
        entry = known[shown.key]
        dial = entry.dial
        if isinstance(dial, Options):
            assert any(judge.ask(dial.put(core, value)).feasible for value, _ in dial.others)
        else:
            assert judge.ask(entry.loosened(core)).feasible


@pytest.mark.parametrize("case", GALLERY)
def test_each_relaxation_makes_the_spec_feasible_and_a_little_less_does_not(case):
    spec, judge, found = audited(case)
    known = entries_of(spec, judge, found)
    assert bool(found.relaxations) == (case not in HELPLESS)
    for relaxation in found.relaxations:
        changed = made(known, relaxation, spec)
        assert judge.ask(changed).feasible
        # Under another cap the same plan runs otherwise: only simulation decides.
        numbers = {c.entry.key for c in relaxation.changes if c.number is not None}
        assert relaxation.smallest == "proved" or numbers <= {"pools.p.power_cap_w"}
        for change in relaxation.changes:
            entry = known[change.entry.key]
            if isinstance(entry.dial, Range) and relaxation.smallest == "proved":
                assert judge.ask(tighter(entry, change, changed)).status == "infeasible"


@pytest.mark.parametrize("case", GALLERY)
def test_the_story_fits_a_screen_of_80_columns_and_50_lines(case):
    lines = as_text(audited(case)[2], 80).splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("case", GALLERY)
def test_the_nearest_plan_misses_something(case):
    near = audited(case)[2].near
    assert (near is None) == (case in HELPLESS)
    assert near is None or all(near.misses)
