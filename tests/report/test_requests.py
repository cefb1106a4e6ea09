from __future__ import annotations

import io

import numpy as np
import pytest

from apex_opt.errors import CallError
from apex_opt.plan.requests import Column
from apex_opt.report import requests
from apex_opt.report.requests import csv, encoder, parquet

ALL = np.array([True, True, True])
SOME = np.array([True, False, True])
COLUMNS = (
    Column("request", np.arange(3), ALL),
    Column("status", np.array(["done", "rejected", "done"]), ALL),
    Column("replica", np.array([0, -1, 1]), SOME),
    Column("first_token_s", np.array([0.5, -1.0, 1.25]), SOME, 9),
    Column("met", np.array([True, False, False]), ALL),
)


def test_a_row_of_csv_is_a_request_and_what_is_not_known_is_empty() -> None:
    assert b"".join(csv(COLUMNS)).decode() == (
        "request,status,replica,first_token_s,met\n"
        "0,done,0,0.500000000,true\n"
        "1,rejected,,,false\n"
        "2,done,1,1.250000000,false\n"
    )


def test_a_long_table_is_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = b"".join(csv(COLUMNS))
    monkeypatch.setattr(requests, "ROWS_AT_ONCE", 2)
    parts = list(csv(COLUMNS))
    assert len(parts) == 3
    assert b"".join(parts) == whole


def test_parquet_has_the_same_with_types_and_nulls() -> None:
    reader = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    table = reader.read_table(io.BytesIO(b"".join(parquet(COLUMNS))))
    assert table.to_pydict() == {
        "request": [0, 1, 2],
        "status": ["done", "rejected", "done"],
        "replica": [0, None, 1],
        "first_token_s": [0.5, None, 1.25],
        "met": [True, False, False],
    }
    assert [str(field.type) for field in table.schema] == [
        *("int64", "string", "int64", "double", "bool")
    ]


def test_the_ending_of_the_name_says_how() -> None:
    assert encoder("there/r.csv") is csv
    with pytest.raises(CallError) as caught:
        encoder("csv")
    assert str(caught.value) == "--requests csv: the name must end in .csv or .parquet"
