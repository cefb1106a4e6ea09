import re
from pathlib import Path
from typing import get_args

from apex_opt.auditing.result import SCHEMA_VERSION, Code

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit.md"
CODES = [
    "memory.weights",
    "memory.kv_cache",
    "memory.activations",
    "memory.reserve",
    "divisibility",
    "experts",
    "format",
    "engine",
    "node",
    "stock",
    "devices",
    "replicas",
    "budget",
    "power",
    "starts",
    "spot",
    "spares",
    "length",
    "slo.unreachable",
    "slo.load",
    "demand",
    "choices",
    "nothing_helps",
]
"""Scripts rely on them: who takes one away, or renames it, raises the schema version."""


def test_the_codes_of_causes_are_those_that_scripts_know():
    assert SCHEMA_VERSION == 1
    assert sorted(get_args(Code)) == sorted(CODES)


def test_the_page_on_audits_has_each_code_once_and_says_what_it_means():
    table = PAGE.read_text(encoding="utf-8").partition("| code |")[2].partition("\n\n")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
    named = [code for codes, *_ in rows for code in re.findall(r"`([\w.]+)`", codes)]
    assert named == CODES
    assert all(len(row) == 3 for row in rows)
