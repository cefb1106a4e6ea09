"""Faults of the validator become sentences, each with what to write instead."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, ValidationError

from apex_opt.spec.faults import Fault, from_validator, render
from apex_opt.spec.lines import Loc, scan
from apex_opt.spec.spec import Spec
from apex_opt.spec.table import Choice, Count, Table
from apex_opt.spec.tree import hints, keys, kind
from tests.spec.texts import TABLES, faults

LENGTHS = 'a whole number such as 512, or a table such as { distribution = "fixed", value = 512 }'
DISTRIBUTIONS = 'one of "fixed", "uniform", "lognormal" or "empirical"'
COUNTS = "a whole number of 1 or more, or a list of them"
FORMATS = 'a name of the catalogue such as "fp8", or a table, or a list of them'
EXECUTOR = 'must be "local" or "ray"'


@pytest.mark.parametrize(
    ("table", "line", "why"),
    [
        ("slo", "ttft_ms = '8'", 'must be a number such as 8.0, got the string "8"'),
        ("slo", "attainment = '.x'", 'must be a number above 0, 1 at most, got the string ".x"'),
        ("engine", "max_num_seqs = '8'", 'must be a whole number such as 8, got the string "8"'),
        ("engine", "max_num_seqs = '8.5'", f'must be {COUNTS}, got the string "8.5"'),
        ("engine", "max_num_seqs = 8.5", f"must be {COUNTS}, got 8.5"),
        ("engine", f"max_num_seqs = {[1] * 65}", "must have 64 values at most, got 65"),
        ("engine", "version = 0.19", 'must be a string such as "0.19", got 0.19'),
        ("engine", "version = true", "must be a string, got true"),
        ("engine", "version = ''", "must not be empty; write a string"),
        ("engine", "cuda_graphs = 0", "must be true or false, got 0"),
        ("limits", "power_w = 0", "must be above 0, got 0"),
        ("limits", "devices = 0", "must be 1 or more, got 0"),
        ("limits", "memory_reserve_fraction = 1", "must be below 1, got 1"),
        ("search", "top_k = 101", "must be 100 or less, got 101"),
        ("search", "executor = 'rai'", f'{EXECUTOR}, got the string "rai"; did you mean "ray"?'),
        (
            "engine",
            "kv_offload_gib_per_device = 1e9",
            "must be 1,000,000 or less, got 1000000000.0",
        ),
        ("network", "bandwidth_gbps = 1e-9", "must be 0.001 or more, got 1e-09"),
        ("network", "latency_us = 1e10", "must be 1,000,000,000 or less, got 10000000000.0"),
        ("network", "latency_us = nan", "must be a finite number, got nan"),
        ("network", "latency_us = []", "must be a number of 0 or more, got an empty list"),
        ("network", "latency_us = [1]", "must be a number of 0 or more, got a list"),
        ("network", "latency_us = {}", "must be a number of 0 or more, got a table"),
        (
            "network",
            "latency_us = 1999-12-31",
            "must be a number of 0 or more, got the date or time 1999-12-31",
        ),
        ("quantization", "weights = []", f"must not be empty; write {FORMATS}"),
    ],
)
def test_a_faulty_value_is_told_with_what_to_write(table: str, line: str, why: str):
    assert faults(f"[{table}]\n{line}") == [f"{table}.{line.split(' =', maxsplit=1)[0]}: {why}"]


def test_guesses_and_shared_links_slow_down_a_thousandfold_at_most():
    guesses = "[engine.speculation]\nmethod = 'ngram'\ntokens = 2\nacceptance = 1\n"
    link = "\nlink = { kind = 'x', bandwidth_gbytes_per_s = 1, contention = 1e9 }"
    assert faults(guesses + "draft_cost = 1e9", pools=TABLES["pools"] + link) == [
        "pools[0].link.contention: must be 1,000 or less, got 1000000000.0",
        "engine.speculation.draft_cost: must be 1,000 or less, got 1000000000.0",
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a\\u001b[31m", "must have no control characters"),
        ("a\\nb", "must have no control characters"),
        (" ", "must not be blank"),
        ("", "must not be empty; write a string"),
    ],
)
def test_a_name_is_one_that_a_terminal_can_show(name: str, why: str):
    pool = f'[[pools]]\nname = "{name}"\ndevice = "h100"'
    assert faults(pools=pool) == [f"pools[0].name: {why}"]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("'x'", f': must be {LENGTHS}, got the string "x"'),
        ("1.5", f": must be {LENGTHS}, got 1.5"),
        ("0", ": must be 1 or more, got 0"),
        ("{}", f".distribution: missing; write {DISTRIBUTIONS}"),
        ("{ distribution = 'x' }", f'.distribution: must be {DISTRIBUTIONS}, got the string "x"'),
        ("{ distribution = 3 }", f".distribution: must be {DISTRIBUTIONS}, got 3"),
        (
            "{ distribution = 'fixed' }",
            ".value: missing; write a whole number of 1 or more (tokens)",
        ),
    ],
)
def test_a_union_is_told_as_one_thing(value: str, fault: str):
    table = TABLES["workload"].replace("512", value)
    assert faults(workload=table) == [f"workload.prompt_tokens{fault}"]


@pytest.mark.parametrize(
    ("table", "key", "why"),
    [
        ("engine", "tensor", "`tensor` belongs in [parallelism]"),
        ("slo", "nodes", "`nodes` belongs in [[pools]]"),
        ("slo", "seed", "`seed` belongs in [workload] or [search]"),
        ("slo", "config", "`config` belongs in [model]"),
        ("slo", "workload", "`[workload]` is a table of its own"),
        ("slo", "pools", "`[[pools]]` is a table of its own"),
        ("slo", "TTFT_MS", "did you mean `ttft_ms`?"),
        ("slo.ttft_ms", "max", "the keys here are `mean`, `p50`, `p90`, `p95`, `p99`"),
    ],
)
def test_an_unknown_key_is_told_with_where_it_belongs(table: str, key: str, why: str):
    assert faults(f"[{table}]\n{key} = 1") == [f"{table}.{key}: unknown key; {why}"]


def test_a_key_before_all_tables_is_told_with_where_it_belongs():
    assert faults(model="ttft_ms = 1\n" + TABLES["model"]) == [
        "ttft_ms: unknown key; `ttft_ms` belongs in [slo]"
    ]


def refuse(_: int) -> int:
    """A rule that nothing meets."""
    raise ValueError("must be even, write 2")


class Odd(Table):
    """What the tables of a spec do not have now and may have some day."""

    even: Annotated[int, AfterValidator(refuse)] = Field(2, validate_default=False)
    either: Choice[Literal["a", "b"] | Count] = (1,)


class Bare(Table):
    """A table with a key that says nothing of itself."""

    key: int


def test_what_a_rule_of_a_table_says_is_told():
    assert validator_faults(Odd, {"even": 3}) == [Fault(("even",), "must be even, write 2")]


def test_a_missing_key_without_a_description_is_told():
    assert validator_faults(Bare, {}) == [Fault(("key",), "missing; write a whole number")]


def test_a_union_without_a_tag_is_told_as_one_thing():
    assert validator_faults(Odd, {"either": ("c",)}) == [
        Fault(
            ("either", 0), 'must be "a" or "b" or a whole number of 1 or more, got the string "c"'
        )
    ]


def validator_faults(table: type[Table], data: dict[str, Any]) -> list[Fault]:
    """Return the faults of `data` as a table, each once."""
    with pytest.raises(ValidationError) as caught:
        table.model_validate(data)
    return list(dict.fromkeys(from_validator(caught.value, data, table)))


# Whatever stands in whatever place, no fault speaks as the validator does.

JARGON = [
    *(
        "Input",
        "input",
        "valid ",
        "permitted",
        "instance",
        "dict",
        "tuple",
        "Field",
        "Extra",
        "Error",
    ),
    *(
        "discriminator",
        "tag ",
        "model_",
        "None",
        "int,",
        "str,",
        "bool,",
        "list[",
        "parse",
        "pydantic",
    ),
]

junk = st.one_of(
    st.just(date(2024, 5, 1)),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.sampled_from([10**400, float("nan"), float("inf"), -0.0, 1e308]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["fixed", "auto", "lognormal", "fp8", "softmax", "moe", "9", "[key]", "x" * 300]
    ),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw a list or a table of what `inner` draws."""
    tables = st.dictionaries(st.text(max_size=3), inner, max_size=3)
    return st.lists(inner, max_size=3).map(tuple) | tables


nested = st.recursive(junk, containers, max_leaves=4)


def table_of(annotation: Any) -> type[Table] | None:
    """Return a table that may stand where `annotation` is, itself or as an element."""
    own = kind(annotation)
    candidates = [own, *(kind(member) for member in own.members)]
    candidates += [kind(candidate.items) for candidate in candidates if candidate.items]
    return next((candidate.table for candidate in candidates if candidate.table), None)


def values(annotation: Any, depth: int) -> st.SearchStrategy[Any]:
    """Draw anything, or a table or a list of one where the tables want one."""
    table = table_of(annotation)
    if table is None or depth == 4:
        return nested
    inner = wrong_tables(table, depth + 1)
    return nested | inner | inner.map(lambda one: (one,))


def wrong_tables(table: type[Table], depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a table with some of its keys and some of others', and anything as their values."""
    own = {key: values(hint, depth) for key, hint in hints(table).items()}
    other = st.sampled_from([*keys(Spec), "ttft_ms", "kind", "", "é\n"])
    return st.builds(
        lambda known, more: {**more, **known},
        st.fixed_dictionaries({}, optional=own),
        st.dictionaries(other, junk, max_size=2),
    )


@settings(max_examples=200, deadline=None)
@given(wrong_tables(Spec))
def test_no_fault_speaks_as_the_validator_does(data: dict[str, Any]):
    try:
        Spec.model_validate(data)
    except ValidationError as e:
        told = from_validator(e, data)
        assert told
        for fault in told:
            assert fault.why.isprintable()
            assert len(fault.why) < 700
            assert not [word for word in JARGON if word in without_values(fault.why)], fault.why
            assert is_there(data, fault.loc[:-1]), fault


def without_values(why: str) -> str:
    """Return a fault without what it quotes: values in quotes, keys in backticks."""
    unescaped = why.replace("\\\\", "").replace('\\"', "")
    return re.sub(r'"[^"]*"|`[^`]*`', "", unescaped)


def is_there(data: Any, loc: Loc) -> bool:
    """Whether a place is written in `data`."""
    try:
        for step in loc:
            data = data[step]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def test_faults_are_told_by_line_then_place_each_once():
    lines = scan("a = 1\nb = [1, 2]\n", "x.toml")
    told = [
        Fault(("b", 10), "why"),
        Fault(("b", 9), "why"),
        Fault(("b", 9), "why"),
        Fault(("a",), "why"),
        Fault((), "all"),
    ]
    assert render(told, lines).splitlines() == [
        "x.toml:1: all",
        "x.toml:1: a: why",
        "x.toml:2: b[9]: why",
        "x.toml:2: b[10]: why",
    ]
