"""Traces in Parquet: the columns of the other formats, read by pyarrow where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from apex_opt.errors import TraceError
from apex_opt.spec.faults import shown_file
from apex_opt.trace.readers.layout import Cells, Layout
from apex_opt.trace.readers.lines import opened
from apex_opt.trace.readers.values import ticks

MAGIC = b"PAR1"
ROWS = 1 << 16
"""Requests that are read together."""

Choose = Callable[[list[str]], Layout]
"""Returns the format that has these columns; raises ValueError where none has."""


def rows(path: Path, choose: Choose, most: int) -> tuple[Layout, Iterator[tuple[int, Cells]]]:
    """Return the format of a Parquet file, and its requests with their numbers, from 1.

    Args:
        path: a file that begins with MAGIC.
        choose: tells the format by the columns.
        most: requests that it may have.

    Raises:
        TraceError: pyarrow is not installed; no Parquet, damaged, of no known format, or too large.
    """
    file = shown_file(str(path))
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise TraceError(
            f"{file}: a Parquet file; to read it: pip install 'apexopt[parquet]'"
        ) from None
    with _told(file, pa), opened(path) as stream:
        schema = parquet.read_schema(stream)
    try:
        layout = choose(schema.names)
    except ValueError as why:
        raise TraceError(f"{file}: {why}") from None
    wanted = [*layout.read, *(name for _, name in layout.extras)]
    if pa.types.is_timestamp(schema.field(layout.arrival).type):
        layout = replace(layout, clock=ticks(1))
    return layout, _cells(
        path, file, [name for name in wanted if name in schema.names], wanted, most
    )


def _cells(
    path: Path, file: str, there: list[str], wanted: list[str], most: int
) -> Iterator[tuple[int, Cells]]:
    """Yield the cells of each row; None where there is no such column."""
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    with _told(file, pa), opened(path) as stream:
        table = parquet.ParquetFile(stream)
        if table.metadata.num_rows > most:
            raise TraceError(f"{file}: more than {most:,} requests; cut the trace into parts")
        for batch in table.iter_batches(ROWS, columns=there):
            columns = [
                _listed(batch.column(name), pa) if name in there else [None] * len(batch)
                for name in wanted
            ]
            for cells in zip(*columns, strict=True):
                number += 1
                yield number, cells


def _listed(column: Any, pa: Any) -> list[object]:
    """Return a column as a list; moments as nanoseconds since 1970."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
    values: list[object] = column.to_pylist()
    return values


@contextmanager
def _told(file: str, pa: Any) -> Iterator[None]:
    """Turn what pyarrow finds wrong into a TraceError."""
    try:
        yield
    except (pa.ArrowException, OSError):
        raise TraceError(f"{file}: not a Parquet file, or damaged") from None
