from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from apex_opt.trace.readers.content import content


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (b"a,b\n1,2\n", "lines"),
        (b'{"a": 1}\n{"a": 2}\n', "lines"),
        (b'\xef\xbb\xbf{"a": 1}', "lines"),
        (b'\n \n{"a": 1}', "lines"),
        (b'{\n"a": 1}', "json"),
        (b'{"a": "' + b"x" * (2 << 20) + b'"}', "json"),
        (b'\n[{"a": 1}]', "json"),
        (b"\xef\xbb\xbf[1]", "json"),
        (b"PAR1\x15\x04", "parquet"),
        (b"", "lines"),
    ],
)
def test_what_a_file_is_is_told_by_how_it_begins(
    begin: bytes, kind: str, packed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "trace.parquet.csv"
    path.write_bytes(gzip.compress(begin) if packed else begin)
    assert content(path, "t") == kind
