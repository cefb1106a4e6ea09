"""What a spec can say and apexopt does not model yet: refused by name, never passed over.

A rule goes when the feature comes. Rules yield faults, as those of `checks` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apex_opt.spec import catalog
from apex_opt.spec.catalog import UnknownNameError
from apex_opt.spec.faults import Fault
from apex_opt.spec.lines import Loc
from apex_opt.spec.spec import Spec


def check(spec: Spec) -> list[Fault]:
    """Return all that `spec` asks for and that is not modelled yet."""
    return [fault for rule in RULES for fault in rule(spec)]


def releases_that_nobody_knows(spec: Spec) -> Iterator[Fault]:
    """Versions of an engine that no loader has seen: of specs that were built by hand."""
    try:
        catalog.release(spec.engine.name, spec.engine.version)
    except UnknownNameError as e:
        yield Fault(("engine", "version"), str(e))


def ray(spec: Spec) -> Iterator[Fault]:
    """Simulations on a Ray cluster."""
    if spec.search.executor != "local":
        yield _not_yet(("search", "executor"), 'write `executor = "local"`')


def _not_yet(loc: Loc, instead: str) -> Fault:
    return Fault(loc, f"not modelled yet; {instead}")


RULES: tuple[Callable[[Spec], Iterator[Fault]], ...] = (
    releases_that_nobody_knows,
    ray,
)
