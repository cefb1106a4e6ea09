from pathlib import Path

import pytest

import apex_opt
from apex_opt.errors import CallError
from apex_opt.plan.by_hand import Wish
from apex_opt.plan.existing import running, start_usd_per_hour, starts
from apex_opt.plan.solve import solve
from apex_opt.spec.loader import loads
from apex_opt.spec.spec import Spec
from tests.small_specs import text


def asked(folder: Path, more: str = "", **tables: str) -> Spec:
    existing = f'plan = "now.json"\nusd_per_start = 20.0\nhours = 10.0\n{more}'
    return loads(text(existing=existing, **tables)).placed(folder, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of two replicas that runs already: TP2, which nobody would choose for its cost."""
    place = tmp_path_factory.mktemp("existing")
    now = loads(text(parallelism="tensor = 2\npipeline = 1", limits="replicas = 2"))
    plan = apex_opt.simulate(now, wish=Wish(tensor=2, replicas=2))
    (place / "now.json").write_text(plan.model_dump_json())
    return place


def test_replicas_that_run_are_counted_by_all_that_starting_them_takes(folder: Path):
    spec = asked(folder, parallelism="pipeline = 1")
    result = solve(spec)
    replicas = [d.replica for plan in result.plans for d in plan.deployments]
    known = dict(zip([r.label for r in replicas], running(spec, replicas), strict=True))
    assert known["h100 TP2 bf16"] == 2
    assert set(known.values()) == {0, 2}
    other = replicas[0].model_copy(update={"role": "decode"})
    assert running(spec, [other]) == (0,)


def test_a_plan_that_keeps_what_runs_starts_nothing(folder: Path):
    spec = asked(folder, parallelism="tensor = [1, 2]\npipeline = 1")
    first = solve(spec).plans[0]
    # One TP1 costs 2.95 an hour and 20 / 10 for its start; one TP2 of those that run 5.90.
    assert first.label == "1 x h100 TP1 bf16"
    assert first.objective == pytest.approx(2.95 + 2.0)
    assert first.prediction.extra_cost_per_hour == pytest.approx(2.0)
    dear = spec.model_copy(
        update={"existing": spec.existing.model_copy(update={"usd_per_start": 40.0})}  # type: ignore[union-attr]
    )
    kept = solve(dear).plans[0]
    assert kept.label == "1 x h100 TP2 bf16"
    assert kept.prediction.extra_cost_per_hour == 0


def test_starts_may_be_limited(folder: Path):
    spec = asked(folder, "max_starts = 0", parallelism="tensor = [1, 2]\npipeline = 1")
    result = solve(spec)
    assert {plan.label for plan in result.plans} == {"1 x h100 TP2 bf16"}
    (limit, *_) = result.plans[0].limits
    assert (limit.limit, limit.value, limit.used) == ("existing.max_starts", 0.0, 0.0)


def test_nothing_is_started_where_nothing_is_said_to_run():
    spec = loads(text())
    assert running(spec, []) == ()
    assert starts(spec, []) == 0
    assert start_usd_per_hour(spec, []) == 0.0


def test_a_file_that_cannot_be_read_is_named_with_its_key(tmp_path: Path):
    with pytest.raises(CallError) as told:
        solve(asked(tmp_path))
    assert str(told.value) == f"existing.plan: {tmp_path / 'now.json'}: no such file"
