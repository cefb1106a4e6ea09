from apex_opt.solvers.fleet import FleetModel
from apex_opt.solvers.fleet_alone import AloneModel
from apex_opt.solvers.fleet_data import PoolData
from apex_opt.solvers.fleet_listed import MOST, ListedModel
from apex_opt.solvers.fleet_models import model_of
from tests.solvers.fleets import fleet, kind


def test_the_solver_is_asked_where_many_plans_mix_kinds():
    pair, stock = [kind(max_count=MOST)] * 2, (PoolData(MOST, 1),)
    assert isinstance(model_of(fleet(pair, pools=stock, max_kinds=1)), AloneModel)
    assert isinstance(model_of(fleet(pair, pools=stock)), FleetModel)
    assert isinstance(model_of(fleet(pair)), ListedModel)  # of 8 devices
