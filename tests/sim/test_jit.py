from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest

from apex_opt.sim import jit
from apex_opt.sim.loop import run


def test_without_a_directory_for_its_code_a_function_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = numba.njit

    def homeless(*functions: Any, cache: bool = False, **options: Any) -> Any:
        if cache:  # numba's own words
            raise RuntimeError("cannot cache function 'one': no locator available for file 'x.py'")
        return real(*functions, **options)

    monkeypatch.setattr(numba, "njit", homeless)

    @jit.njit
    def one() -> int:
        return 1

    assert one() == 1


def test_the_machine_code_of_the_loop_is_found_again(tmp_path: Path) -> None:
    program = (
        "import numpy as np; from apex_opt.sim.router import round_robin, deal;"
        "round_robin(3, [1, 2]); print(len(deal.stats.cache_hits))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert runs == ["0", "1"]


def test_the_machine_code_of_a_function_is_stale_when_a_module_changes_that_it_is_made_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def index_stamp(function: Any) -> Any:
        return function._cache._cache_file._source_stamp

    def entry() -> int:
        return 1

    before = jit.njit(entry)
    monkeypatch.setattr(jit, "digest", lambda file: f"another text of {file.name} than before")
    after = jit.njit(entry)
    assert index_stamp(before) != index_stamp(after)
    assert index_stamp(after) == "another text of test_jit.py than before"
    monkeypatch.undo()
    assert index_stamp(run) == jit.digest(Path(jit.__file__).with_name("loop.py"))


def test_the_modules_of_a_function_are_its_own_and_what_they_import_in_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    texts = {
        "entry": "from apex_opt.sim.helper import (\n    one,\n)",
        "helper": "from apex_opt.sim.rare import two\nfrom apex_opt.sim.entry import three",
        "rare": "import numpy",
        "check": "from apex_opt.sim.entry import entry",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    before = jit.digest(tmp_path / "entry.py")
    for name, stale in {"entry": True, "helper": True, "rare": True, "check": False}.items():
        (tmp_path / f"{name}.py").write_text(texts[name] + "\n# new")
        assert (jit.digest(tmp_path / "entry.py") != before) == stale
        (tmp_path / f"{name}.py").write_text(texts[name])
    assert jit.digest(tmp_path / "entry.py") == before


def test_modules_import_each_other_in_the_one_way_that_is_looked_for() -> None:
    for module in Path(jit.__file__).parent.glob("*.py"):
        text = module.read_text()
        imports = [
            node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        ours = [name for name in imports if name and name.startswith("apex_opt")]
        assert ours == [f"apex_opt.sim.{name}" for name in jit.IMPORT.findall(text)]
