"""The twin against itself: whatever the case, its books balance."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings

from apex_opt.sim.check import check
from apex_opt.sim.steps import StepTable
from tests.sim.cases import Case, cases
from tests.sim.twin import LivelockError, Twin

Flat = Callable[..., StepTable]


@given(cases())
@settings(max_examples=150, deadline=None)
def test_every_case_is_sound_and_ends_with_nothing_held(case: Case) -> None:
    check(*case)
    twin = Twin(*case)
    try:
        twin.play()
    except LivelockError:
        return
    assert (twin.running, twin.waiting, twin.free) == ([], [], case[1].blocks)
    assert all(r.rejected or len(r.times) == r.output for r in twin.requests)
    assert all(node.users == 0 for r in twin.requests for node in r.path)
    assert {node for node, _ in twin.cache.here} == set(twin.cache.unused)
    assert len(twin.cache.here) <= case[1].blocks
    assert len(twin.cache.host) <= case[1].host_blocks
    assert twin.peak_blocks <= case[1].blocks
