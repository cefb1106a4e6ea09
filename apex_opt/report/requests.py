"""The table of requests as a file: CSV or Parquet."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from apex_opt.errors import CallError
from apex_opt.plan.requests import Column

ROWS_AT_ONCE = 65_536

Encode = Callable[[Sequence[Column]], Iterable[bytes]]


def encoder(file: str) -> Encode:
    """Return what writes a table, by the ending of the file's name.

    Raises:
        CallError: the ending is unknown, or pyarrow is missing for Parquet.
    """
    if file.endswith(".csv"):
        return csv
    if not file.endswith(".parquet"):
        raise CallError(f"--requests {file}: the name must end in .csv or .parquet")
    if importlib.util.find_spec("pyarrow") is None:
        raise CallError(
            f"--requests {file}: Parquet needs pyarrow: pip install 'apexopt[parquet]', or name "
            "a .csv"
        )
    return parquet


def csv(columns: Sequence[Column]) -> Iterator[bytes]:
    """Yield a table as CSV: a line of names, a line a request; what is not known is empty."""
    yield (",".join(column.name for column in columns) + "\n").encode()
    for start in range(0, len(columns[0].values), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        cells = [_cells(column, part) for column in columns]
        yield "".join(",".join(row) + "\n" for row in zip(*cells, strict=True)).encode()


def _cells(column: Column, part: slice) -> list[str]:
    values, known = column.values[part].tolist(), column.known[part].tolist()
    if column.digits is not None:
        digits = column.digits
        return [f"{v:.{digits}f}" if k else "" for v, k in zip(values, known, strict=True)]
    if column.values.dtype == np.bool_:
        return ["true" if value else "false" for value in values]
    return [str(v) if k else "" for v, k in zip(values, known, strict=True)]


def parquet(columns: Sequence[Column]) -> Iterator[bytes]:
    """Yield a table as Parquet; what is not known is null."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    arrays = {c.name: pa.array(c.values, mask=~c.known) for c in columns}
    file = io.BytesIO()
    write_table(pa.table(arrays), file)
    yield file.getvalue()
