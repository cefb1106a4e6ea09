"""What fits predict of runs that they did not see: each model (device, …) is left out in turn.

Every run is predicted with overheads that were fitted, from round numbers on, to runs of its engine
with other models (or devices, …): see `benchmarks.fidelity.fit`. Models of one shape count as one.
Bands are those of models that were never run.
Nothing of the shipped overheads is used. What was seen all the same: the settings that files leave
open, and whatever of the cost model was thought of while looking at a run that is left out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from apex_opt.spec import catalog
from benchmarks.fidelity.case import Case
from benchmarks.fidelity.fit import Trial, by_release, fitted_release
from benchmarks.fidelity.outcome import Outcome, outcome, prepared
from benchmarks.fidelity.setup import Run, with_release
from benchmarks.fidelity.table import heading, line

Part = Literal["model", "device", "group", "tensor"]

NAMES: dict[Part, Callable[[Case], str]] = {
    "model": lambda case: case.model.rpartition("/")[2],
    "device": lambda case: case.device,
    "group": lambda case: case.group or case.plan,
    "tensor": lambda case: f"TP {case.parallel.get('tensor') or 1}",
}


def shape(case: Case) -> str:
    """Return what models have in common that differ in name, format or training alone."""
    model = catalog.model(case.model)
    return f"{model.hidden_size} {model.pattern} {model.layers}"


LEFT_OUT = NAMES | {"model": shape}
"""With each case, all that are equal in this are left out."""


GROUNDS = {
    (True, True): "",
    (False, True): ", by other releases",
    (False, False): ", by round numbers",
}
"""What a fit rests on: whether its release has other runs, and whether its engine has."""


def outcomes(cases: Sequence[Case], part: Part, every: int) -> dict[str, list[Outcome]]:
    """Return what becomes of cases, by engine, release and name of the part that was left out.

    Args:
        cases: of one file; those that are set apart do not count.
        part: what is left out in turn.
        every: fits see each so many-th run of a release; all runs are predicted.
    """
    name, key = NAMES[part], LEFT_OUT[part]
    found: dict[str, list[Outcome]] = {}
    for engine, releases in by_release(cases, 1).items():
        for version, runs in releases.items():
            for left in _parted(runs, name):
                seen = {
                    other: [t for t in some if key(t.case) != key(left[0].case)][::every]
                    for other, some in releases.items()
                }
                point = fitted_release(left[0].release, seen)
                ground = GROUNDS[bool(seen[version]), any(seen.values())]
                found[f"{engine} {version} {name(left[0].case)}{ground}"] = [
                    outcome(t.case, _unknown(t.under(point))) for t in left
                ]
    told = {id(row.case) for rows in found.values() for row in rows}
    rest = [prepared(case) for case in cases if not case.set_apart and id(case) not in told]
    failed = [row for row in rest if isinstance(row, Outcome)]
    return dict(sorted(found.items())) | ({"not predicted": failed} if failed else {})


def _unknown(run: Run) -> Run:
    """Return a run with the band of a model that its release was never run with."""
    release = run.part.candidate.shape.release
    if release.validation is None:
        return run
    models = dict(release.validation.models)
    models.pop(catalog.fold(run.spec.model.name), None)
    known = release.validation.model_copy(update={"models": models})
    release = release.model_copy(update={"validation": known})
    return replace(run, part=with_release(run.part, release))


def _parted(runs: Sequence[Trial], name: Callable[[Case], str]) -> Iterator[list[Trial]]:
    for one in sorted({name(trial.case) for trial in runs}):
        yield [trial for trial in runs if name(trial.case) == one]


def table(file: str, parts: dict[str, list[Outcome]], part: Part) -> Iterator[str]:
    """Yield the table of a file: each part that was left out, then all of it."""
    yield f"{file}: errors in percent, each {part} by fits that did not see it"
    yield heading()
    for label, rows in parts.items():
        yield line(f"  {label}", rows)
    yield line("all", [row for rows in parts.values() for row in rows])
