"""Which model answers for a question fastest: arithmetic, lists of plans, or the solver."""

from __future__ import annotations

from apex_opt.solvers.fleet import FleetModel
from apex_opt.solvers.fleet_alone import AloneModel, alone
from apex_opt.solvers.fleet_data import FleetData
from apex_opt.solvers.fleet_listed import MOST, Known, ListedModel, few
from apex_opt.solvers.fleet_pairs import PairsModel, pairs

MOST_KNOWN = 30_000
"""Plans that are listed where more is known of each than the others can be told."""

MOST_COUNTS = 3_000_000
"""Counts of all of them: a plan has one for each kind."""


ASKED_S = 1.0
"""Time in which the solver may say that a space has no plan."""

Model = AloneModel | ListedModel | PairsModel | FleetModel


def model_of(data: FleetData, known: Known | None = None) -> Model:
    """Return the model that answers for `data` fastest.

    Args:
        data: the question.
        known: what is known of plans, see `ListedModel`; `AloneModel` and `FleetModel` do without.
    """
    most = min(MOST_KNOWN, MOST_COUNTS // max(len(data.kinds), 1))
    if known is None or not few(data, max(most, MOST)):
        return _quick(data, known)
    if few(data):
        return ListedModel(data, known)
    model = _quick(data, known)  # where there is no plan, a long list is gone through in vain
    if isinstance(model, PairsModel):
        return model
    empty = model.solve(time_limit_s=ASKED_S).status == "infeasible"
    return model if empty else ListedModel(data, known)


def _quick(data: FleetData, known: Known | None) -> Model:
    if alone(data):
        return AloneModel(data)
    if few(data):
        return ListedModel(data, known)
    return pairs(data, known) or FleetModel(data)
