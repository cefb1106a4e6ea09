from __future__ import annotations

import hashlib
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

    def homeless(*, cache: bool = False, **options: Any) -> Any:
        if cache:  # numba's own words
            raise RuntimeError("cannot cache function 'one': no locator available for file 'x.py'")
        return real(**options)

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


def test_the_machine_code_of_the_loop_is_stale_when_any_module_of_the_package_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def index_stamp(function: Any) -> Any:
        return function._cache._cache_file._source_stamp

    def entry() -> int:
        return 1

    before = jit.njit(entry)
    monkeypatch.setattr(jit, "stamp", lambda: "another module than before")
    after = jit.njit(entry)
    assert index_stamp(before) != index_stamp(after) == "another module than before"
    modules = Path(jit.__file__).parent.glob("*.py")
    digest = hashlib.sha256(b"".join(module.read_bytes() for module in sorted(modules)))
    assert index_stamp(before) == index_stamp(run) == digest.hexdigest()
