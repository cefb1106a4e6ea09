"""Which model answers for a question fastest: arithmetic, a list of all plans, or the solver."""

from __future__ import annotations

from apex_opt.solvers.fleet import FleetModel
from apex_opt.solvers.fleet_alone import AloneModel, alone
from apex_opt.solvers.fleet_data import FleetData
from apex_opt.solvers.fleet_listed import ListedModel, few


def model_of(data: FleetData) -> AloneModel | ListedModel | FleetModel:
    """Return the model that answers for `data` fastest."""
    if alone(data):
        return AloneModel(data)
    return ListedModel(data) if few(data) else FleetModel(data)
