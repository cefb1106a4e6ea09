"""Reading a trace: its format is told by its columns, its faults all at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from apex_opt.errors import TraceError
from apex_opt.spec.faults import shown_file
from apex_opt.spec.workload import Repair
from apex_opt.trace.readers.detect import LAYOUTS, named
from apex_opt.trace.readers.source import opened_source
from apex_opt.trace.requests import Requests
from apex_opt.trace.trace import Trace


def read(
    path: str | Path,
    format: str | None = None,  # noqa: A002  # as in the spec
    *,
    repair: Collection[Repair] = (),
    block_tokens: int | None = None,
    characters_per_token: float = 4.0,
) -> Trace:
    """Read the trace in the file `path`: text or Parquet, plain or packed with gzip.

    Args:
        path: a regular file.
        format: name of the format it must have; None: told by its columns.
        repair: faults to be mended and counted, as in the spec.
        block_tokens: tokens of a block of hashes; None: the format's.
        characters_per_token: of texts, where there are no token counts.

    Raises:
        TraceError: faults of the file, one `file:line: why` a line, the first 20 of them. In
            Parquet rows are counted, from 1.
    """
    path = Path(path)
    file = shown_file(str(path))
    try:
        layouts = LAYOUTS if format is None else named(format)
    except ValueError as why:
        raise TraceError(f"{file}: {why}") from None
    source = opened_source(path, layouts, characters_per_token)
    layout = source.layout
    requests = Requests(layout, file, frozenset(repair), block_tokens or layout.block_tokens)
    requests.read(source)
    notes = [layout.note.format(characters_per_token)] if layout.note else []
    options: dict[str, object] = {}
    if repair:
        options["repair"] = tuple(repair)
    if block_tokens is not None:
        options["block_tokens"] = block_tokens
    return replace(requests.trace(path, notes), options=tuple(options.items()))
