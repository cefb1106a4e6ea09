import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apex_opt
from apex_opt.plan.by_hand import from_wish
from apex_opt.plan.timeline import carried, timeline
from apex_opt.sim.line import Line
from apex_opt.sim.log import Log
from apex_opt.sim.member import FleetLog
from apex_opt.sim.state import BUSY, JOULES, TRACKS
from tests.small_specs import spec

WORK = (
    'arrival = "poisson"\nrate_rps = 20.0\nrequests = 200\n'
    "prompt_tokens = {prompt}\noutput_tokens = 60"
)


def played(rows, *, prompt=500, **wish):
    wish = apex_opt.Wish(**{"tensor": 1, **wish})
    asked = spec(workload=WORK.format(prompt=prompt))
    return apex_opt.play(asked, apex_opt.Choice(wish=wish), rows=rows)


def widths(moments, end_s):
    starts = [moment.time_s for moment in moments]
    return np.diff([*starts, end_s])


@pytest.mark.parametrize("wish", [{"replicas": 1}, {"replicas": 2}, {"pipeline": 2}])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_rates_add_up_to_the_tokens_of_the_run_and_power_to_its_energy(rows, wish):
    found = played(rows, **wish)
    log, moments = found.log.log, found.plan.timeline
    end_s = log.totals.end_ns / 1e9
    wide = widths(moments, end_s)
    assert len(moments) <= rows
    output = sum(m.output_tokens_per_s * w for m, w in zip(moments, wide, strict=True))
    prompt = sum(m.prompt_tokens_per_s * w for m, w in zip(moments, wide, strict=True))
    energy = sum(m.power_w * w for m, w in zip(moments, wide, strict=True))
    assert output == pytest.approx(200 * 60)
    assert prompt == pytest.approx(200 * 500)
    first_s = log.arrival_ns.min() / 1e9
    (part,) = from_wish(spec(), apex_opt.Wish(**{"tensor": 1, **wish}), 560)
    assert energy == pytest.approx(found.plan.prediction.energy_j + first_s * part.idle_w)


@pytest.mark.parametrize("wish", [{"replicas": 1}, {"pipeline": 2}])
def test_sequences_and_blocks_are_means_over_time(wish):
    found = played(50, **wish)
    log, moments = found.log.log, found.plan.timeline
    end_s = log.totals.end_ns / 1e9
    wide = widths(moments, end_s)
    # Little's law: sequences that run = rate x time from the first step to the last token.
    inside_s = float((log.last_ns - log.start_ns).sum()) / 1e9
    running = sum(m.running * w for m, w in zip(moments, wide, strict=True))
    assert running == pytest.approx(inside_s, rel=0.05)
    used = sum(m.kv_use * w for m, w in zip(moments, wide, strict=True)) / end_s
    assert used == pytest.approx(found.plan.prediction.kv_use_mean, rel=0.1)


def test_a_step_longer_than_a_row_does_not_draw_more_power_than_the_device():
    # A prompt of 8,000 tokens takes some 0.25 s; rows are of some 10 ms.
    found = played(1000, prompt=8000, replicas=1)
    shown, rounding = found.plan.prediction, 1 + 1e-9
    assert max(m.power_w for m in found.plan.timeline) <= shown.power_peak_w * rounding
    assert max(m.kv_use for m in found.plan.timeline) <= shown.kv_use_peak * rounding


def test_no_rows_are_no_time_line():
    assert played(0).plan.timeline == ()


def test_a_run_in_which_nothing_happens_has_no_time_line():
    zero = np.zeros(1, np.int64)
    none = dataclasses.replace(played(2).log.log.totals, end_ns=0)
    log = Log(zero, *[zero - 1] * 3, zero, zero.astype(np.int8), zero.astype(np.int32), zero, none)
    log = dataclasses.replace(log, line=Line(1_000_000, np.zeros((8, TRACKS))))
    assert timeline([], FleetLog(log, zero, (none,)), 2) == ()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=20), st.floats(0.5, 10))
def test_what_is_moved_on_fits_its_rows_and_keeps_its_sum_and_its_order(busy, room):
    tracks = np.zeros((len(busy), TRACKS))
    tracks[:, BUSY] = busy
    tracks[:, JOULES] = [3 * b for b in busy]
    moved = carried(tracks, room)
    assert moved.sum(axis=0) == pytest.approx(tracks.sum(axis=0))
    assert (moved[:-1, BUSY] <= room * (1 + 1e-9)).all()
    assert (np.cumsum(moved[:, BUSY]) <= np.cumsum(tracks[:, BUSY]) + 1e-9).all()
    assert moved[:, JOULES] == pytest.approx(3 * moved[:, BUSY])
