from apex_opt.solvers.fleet import FleetModel
from apex_opt.solvers.fleet_alone import AloneModel
from apex_opt.solvers.fleet_data import HORIZON, PoolData
from apex_opt.solvers.fleet_listed import MOST, ListedModel
from apex_opt.solvers.fleet_models import MOST_COUNTS, MOST_KNOWN, model_of
from tests.solvers.fleets import fleet, kind


def test_the_solver_is_asked_where_many_plans_mix_kinds():
    pair, stock = [kind(max_count=MOST)] * 2, (PoolData(MOST, 1),)
    assert isinstance(model_of(fleet(pair, pools=stock, max_kinds=1)), AloneModel)
    assert isinstance(model_of(fleet(pair, pools=stock)), FleetModel)
    assert isinstance(model_of(fleet(pair)), ListedModel)  # of 8 devices


def test_where_more_is_known_of_plans_many_are_listed():
    def known(_: tuple[int, ...]) -> int:
        return 0

    few, many = (
        fleet([kind(max_count=n)], pools=(PoolData(n, 1),)) for n in (1000, MOST_KNOWN + 1)
    )
    assert isinstance(model_of(few, known), ListedModel)
    assert isinstance(model_of(many, known), FleetModel)
    kinds = [kind(max_count=1)] * 3000
    wide = fleet(kinds, max_kinds=1)
    assert len(kinds) ** 2 > MOST_COUNTS
    assert isinstance(model_of(wide, known), AloneModel)


def test_where_there_is_no_plan_no_list_is_made():
    heavy = [kind(max_count=MOST, work=((MOST * HORIZON,),), group_devices=2)] * 2
    data = fleet(heavy, pools=(PoolData(MOST, 1),))
    model = model_of(data, sum)
    assert isinstance(model, FleetModel)
    assert model.solve().status == "infeasible"
