"""The spec: every table of the TOML file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PrivateAttr

from apex_opt.spec.engine import Engine
from apex_opt.spec.existing import Existing
from apex_opt.spec.goals import Limits, Objective, Parallelism, Search, Slo
from apex_opt.spec.lines import Lines
from apex_opt.spec.model import Model
from apex_opt.spec.pools import Network, Pool
from apex_opt.spec.quantization import Quantization
from apex_opt.spec.routing import Routing
from apex_opt.spec.table import Table
from apex_opt.spec.workload import Workload


class Spec(Table):
    """What to serve, on what, for whom, within which limits."""

    model: Model = Field(description="The model: a catalogue name, a config.json, or its layers.")
    pools: tuple[Pool, ...] = Field(min_length=1, max_length=64, description="Device pools.")
    network: Network = Field(default_factory=Network, description="Between nodes and pools.")
    quantization: Quantization = Field(default_factory=Quantization, description="Formats.")
    engine: Engine = Field(default_factory=Engine, description="Serving engine.")
    parallelism: Parallelism = Field(default_factory=Parallelism, description="Degrees.")
    routing: Routing = Field(
        default_factory=Routing, description="How requests find their replica."
    )
    workload: Workload = Field(description="Traffic.")
    slo: Slo = Field(default_factory=Slo, description="Service levels.")
    limits: Limits = Field(default_factory=Limits, description="Limits on resources.")
    existing: Existing | None = Field(None, description="What runs already.")
    objective: Objective = Field(
        default_factory=lambda: Objective(minimize="cost"), description="What is best."
    )
    search: Search = Field(default_factory=Search, description="The search.")

    _folder: Path = PrivateAttr(default=Path())
    _lines: Lines | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path:
        """Where relative paths of the spec begin: the folder of its file."""
        return self._folder

    @property
    def lines(self) -> Lines | None:
        """On which line of its file each key stands; None if it comes from no file."""
        return self._lines

    def placed(self, folder: Path, lines: Lines | None) -> Spec:
        """Return the same spec, knowing the file that it comes from."""
        spec = self.model_copy()
        spec._folder, spec._lines = folder, lines  # noqa: SLF001  # its own class
        return spec
