"""Writing a trace in a public format: what is written here, the readers read back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, repeat

import numpy as np

from apex_opt.spec.words import name, nearest
from apex_opt.trace.arrivals import NS
from apex_opt.trace.chains import openings
from apex_opt.trace.hashes import block_ids
from apex_opt.trace.readers.azure import AZURE
from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.mooncake import MOONCAKE
from apex_opt.trace.readers.plain import PLAIN
from apex_opt.trace.readers.vidur import VIDUR
from apex_opt.trace.trace import Trace

BLOCK = 1 << 14
"""Requests that are turned into text together, so that memory is bounded."""

_FIRST = datetime(1970, 1, 1)  # noqa: DTZ001  # a trace knows no date; the format has no zone


@dataclass(frozen=True)
class Writer:
    """A format that can be written.

    Attributes:
        layout: the format, as its reader knows it.
        resolution_ns: times are rounded to this.
        time: what turns nanoseconds into a time of arrival, as text.
        extras: what yields the further keys of each request of a trace, as text.
        notes: what of it people should know, a sentence each.
    """

    layout: Layout
    resolution_ns: int
    time: Callable[[int], str]
    extras: Callable[[Trace], Iterator[str]]
    notes: tuple[str, ...] = ()


def writer(format_name: str) -> Writer:
    """Return the writer of the format of that name.

    Raises:
        ValueError: there is none.
    """
    names = [form.layout.name for form in WRITERS]
    if format_name in names:
        return WRITERS[names.index(format_name)]
    near = nearest(format_name, names)
    raise ValueError(
        f"unknown format {name(format_name)}; can be written: {', '.join(names)}{near}"
    )


def encode(trace: Trace, form: Writer) -> Iterator[bytes]:
    """Yield `trace` as the content of a file, a block of lines at a time."""
    line = _csv(form) if form.layout.style == "csv" else _json(form)
    if form.layout.style == "csv":
        yield (",".join(form.layout.read) + "\n").encode()
    rest = form.extras(trace)
    for start in range(0, len(trace), BLOCK):
        part = slice(start, start + BLOCK)
        columns = (trace.arrival_ns, trace.prompt_tokens, trace.output_tokens)
        rows = [column[part].tolist() for column in columns]
        yield "".join(map(line, *rows, islice(rest, len(rows[0])))).encode()


def left_out(trace: Trace, form: Writer) -> Iterator[str]:
    """Yield what of `trace` is not written, a sentence each."""
    if not trace.timed:
        yield "the trace has no times: each request is written at time 0"
    if len(trace.prefix) and form.layout.name != MOONCAKE.name:
        yield "what prompts share is left out; mooncake has room for it"
    if not len(trace.prefix) and form.layout.name == MOONCAKE.name:
        yield "`hash_ids` are empty: which prompts share a prefix is not known"
    if len(trace.after) and form.layout.name != PLAIN.name:
        yield "sessions are left out; plain has room for them"
    if len(trace.priority) and form.layout.name != PLAIN.name:
        yield "priorities are left out; plain has room for them"


def packed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `parts` packed with gzip; the same content gives the same bytes at any time."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with the frame of gzip
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def _csv(form: Writer) -> Callable[[int, int, int, str], str]:
    time = form.time
    return lambda at, prompt, output, _: f"{time(at)},{prompt},{output}\n"


def _json(form: Writer) -> Callable[[int, int, int, str], str]:
    layout, time = form.layout, form.time
    return lambda at, prompt, output, rest: (
        f'{{"{layout.arrival}": {time(at)}, "{layout.prompt}": {prompt}, '
        f'"{layout.output}": {output}{rest}}}\n'
    )


def _nothing(_: Trace) -> Iterator[str]:
    return repeat("")


def _hashes(trace: Trace) -> Iterator[str]:
    """Yield the blocks of each prompt."""
    if not len(trace.prefix):
        return repeat(', "hash_ids": []')
    return (f', "hash_ids": {ids}' for ids in block_ids(trace, MOONCAKE.block_tokens))


def _plain(trace: Trace) -> Iterator[str]:
    """Yield session, think time and priority of each request, where it has them."""
    if not len(trace.after) and not len(trace.priority):
        return repeat("")
    columns: list[Iterable[str]] = []
    if len(trace.after):
        think = np.where(trace.after < 0, 0, trace.think_ns).tolist()
        columns.append(f', "session": {first}' for first in openings(trace.after).tolist())
        columns.append(f', "think_s": {_seconds(pause)}' for pause in think)
    if len(trace.priority):
        columns.append(f', "priority": {rank}' for rank in trace.priority.tolist())
    return map("".join, zip(*columns, strict=True))


def _date(at_ns: int) -> str:
    """Return `1970-01-01 00:00:03.9799600`."""
    second, rest = divmod((at_ns + 50) // 100, NS // 100)
    return f"{_second(second)}.{rest:07d}"


@lru_cache(maxsize=1024)  # many requests arrive in one second, and its date takes longest
def _second(since: int) -> str:
    return (_FIRST + timedelta(seconds=since)).isoformat(" ")


def _seconds(at_ns: int) -> str:
    second, rest = divmod(at_ns, NS)
    return f"{second}.{rest:09d}"


def _milliseconds(at_ns: int) -> str:
    return str((at_ns + 500_000) // 1_000_000)


WRITERS = (
    Writer(
        AZURE,
        100,
        _date,
        _nothing,
        ("the first request is dated 1970-01-01: a trace knows no date",),
    ),
    Writer(VIDUR, 1, _seconds, _nothing),
    Writer(MOONCAKE, 1_000_000, _milliseconds, _hashes, ("times are rounded to milliseconds",)),
    Writer(PLAIN, 1, _seconds, _plain),
)
"""Every format that can be written."""
