from __future__ import annotations

import builtins
import gzip
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apex_opt.errors import TraceError
from apex_opt.trace.read import read
from apex_opt.trace.readers import source


def written(folder: Path, columns: dict[str, Any]) -> Path:
    """Return a Parquet file, or skip where pyarrow is missing."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow, of the extra `parquet`, is missing")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = folder / "t"
    parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    return path


MOONCAKE = {
    "timestamp": [0, 1000, 2500],
    "input_length": [512, 512, 700],
    "output_length": [1, 2, 3],
    "hash_ids": [[1], [1], [1, 2]],
}


def test_columns_are_those_of_the_other_formats(tmp_path: Path) -> None:
    trace = read(written(tmp_path, MOONCAKE))
    assert trace.format == "mooncake"
    assert trace.arrival_ns.tolist() == [0, 10**9, 2_500_000_000]
    assert trace.prompt_tokens.tolist() == [512, 512, 700]
    assert trace.prefix.tolist() == [0, 0, 0]


def test_moments_are_read_to_the_nanosecond(tmp_path: Path) -> None:
    first = datetime(2024, 5, 10)  # noqa: DTZ001  # as the files have them
    moments = [first, first + timedelta(microseconds=1_500_001)]
    columns = {"TIMESTAMP": moments, "ContextTokens": [5, 6], "GeneratedTokens": [7.0, 8.0]}
    trace = read(written(tmp_path, columns))
    assert trace.format == "azure"
    assert trace.arrival_ns.tolist() == [0, 1_500_001_000]
    assert trace.output_tokens.tolist() == [7, 8]


def test_optional_columns_may_be_there_or_not(tmp_path: Path) -> None:
    columns = {"arrival_s": [0.5, 1], "prompt_tokens": [5, 9], "output_tokens": [1, 1]}
    assert len(read(written(tmp_path, columns)).after) == 0
    assert read(written(tmp_path, {**columns, "session": ["a", "a"]})).after.tolist() == [-1, 0]


def test_faults_name_the_row(tmp_path: Path) -> None:
    path = written(tmp_path, {**MOONCAKE, "output_length": [1, 2, None]})
    with pytest.raises(TraceError) as fault:
        read(path)
    assert str(fault.value) == f"{path}:3: output_length: must be a number, got `null`"


def test_parquet_in_gzip_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, MOONCAKE)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert len(read(path)) == 3


def test_columns_of_no_format_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": [1]})
    with pytest.raises(TraceError, match=f"^{re.escape(f'{path}: no known format has')}"):
        read(path)


@pytest.mark.parametrize("keep", [0.5, 0.97])
def test_a_file_that_is_cut_off_is_refused(keep: float, tmp_path: Path) -> None:
    path = written(tmp_path, MOONCAKE)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(
        TraceError, match=f"^{re.escape(str(path))}: not a Parquet file, or damaged"
    ):
        read(path)


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    path = tmp_path / "t"
    path.write_bytes(b"PAR1 and more")
    monkeypatch.setattr(builtins, "__import__", missing)
    why = f"{path}: a Parquet file; to read it: pip install 'apexopt[parquet]'"
    with pytest.raises(TraceError, match=f"^{re.escape(why)}$"):
        read(path)


def test_more_rows_than_a_trace_may_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, MOONCAKE)
    monkeypatch.setattr(source, "MOST_REQUESTS", 2)
    why = f"{path}: more than 2 requests; cut the trace into parts"
    with pytest.raises(TraceError, match=f"^{re.escape(why)}$"):
        read(path)
