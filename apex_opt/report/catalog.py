"""The catalogue as tables: one row an entry, and all fields of one entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table as Grid
from rich.text import Text

from apex_opt.spec import catalog
from apex_opt.spec.model import LatentAttention, LinearAttention, Model, SoftmaxAttention
from apex_opt.spec.parameters import Parameters, parameters
from apex_opt.spec.pools import Device
from apex_opt.spec.quantization import WeightFormat
from apex_opt.spec.table import Table

GIB = 2**30
NOTHING = "-"


@dataclass(frozen=True)
class Column:
    """A column: its heading, what it takes from an entry, how that is written."""

    heading: str
    value: Callable[[Any], object]
    text: Callable[[Any], str] = str
    left: bool = False


def count(number: float) -> str:
    """Return a number of parameters in words: `70.6 B`, `1.03 T`, `124 M`."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:,.0f}"


def tokens(number: int) -> str:
    """Return a number of tokens in binary thousands: `128k`, `10M`, `448`."""
    for unit, name in ((2**20, "M"), (2**10, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)


def plain(number: float) -> str:
    """Return a number with its thousands marked and no needless digits."""
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,g}"


def releases(versions: list[str]) -> str:
    """Return versions, newest first; of many the oldest only beside the newest."""
    return ", ".join(versions if len(versions) < 5 else [*versions[:3], "...", versions[-1]])


def attention(model: Model) -> str:
    """Return the kinds of attention of a model in short: `GQA 64/8 w128`, `SSM+GQA 32/8`.

    `w` is the window of the layers that have one; heads are those of the layers that see all.
    """
    kinds = [kind.attention for kind in model.layers.values()]
    windows = [
        k.window_tokens for k in kinds if isinstance(k, SoftmaxAttention) and k.window_tokens
    ]
    wide = [k for k in kinds if not (isinstance(k, SoftmaxAttention) and k.window_tokens)]
    words = "+".join(dict.fromkeys(_attention(k) for k in wide or kinds))
    return f"{words} w{tokens(windows[0])}" if windows else words


def _attention(a: SoftmaxAttention | LatentAttention | LinearAttention) -> str:
    if isinstance(a, LatentAttention):
        return "MLA" if a.index_topk is None else "MLA sparse"
    if isinstance(a, LinearAttention):
        return "linear" if a.update == "delta" else "SSM"
    if a.heads == a.kv_heads:
        return f"MHA {a.heads}"
    return f"{'MQA' if a.kv_heads == 1 else 'GQA'} {a.heads}/{a.kv_heads}"


def layer_count(model: Model) -> int:
    """Return the layers of a model, its encoder's included."""
    encoder = model.encoder
    extra = sum(len(run.layers) * run.repeat for run in encoder.pattern) if encoder else 0
    return len(model.sequence()) + extra


def _peak(precision: str) -> Callable[[Device], float | None]:
    return lambda device: {str(k): v for k, v in device.peak_tflops.items()}.get(precision)


def _fallback(weights: WeightFormat) -> str | None:
    if weights.compute == "activation":
        return None
    return {"none": "not served", "weight-only": "in 16 bits"}[weights.fallback]


NAME = Column("name", lambda entry: entry.name, left=True)

COLUMNS: dict[catalog.Kind, tuple[Column, ...]] = {
    "models": (
        NAME,
        Column("total", lambda m: parameters(m).total, count),
        Column("active", lambda m: parameters(m).active, count),
        Column("layers", layer_count),
        Column("attention", attention, left=True),
        Column("context", lambda m: m.max_context, tokens),
    ),
    "devices": (
        NAME,
        Column("GiB", lambda d: round(d.memory_bytes / GIB, 1), plain),
        Column("GB/s", lambda d: d.bandwidth_gbytes_per_s, plain),
        Column("bf16", _peak("bf16"), plain),
        Column("fp8", _peak("fp8"), plain),
        Column("TDP W", lambda d: d.tdp_w, plain),
        Column("USD/h", lambda d: d.price_per_device_hour, "{:.2f}".format),
        Column("link GB/s", lambda d: d.link.bandwidth_gbytes_per_s, plain),
    ),
    "weights": (
        NAME,
        Column("bits", lambda w: w.bits, plain),
        Column("computes in", lambda w: w.compute, left=True),
        Column("applies to", lambda w: w.applies_to, left=True),
        Column("otherwise", _fallback, left=True),
    ),
    "kv-cache": (
        NAME,
        Column("bytes", lambda k: k.bytes_per_element, plain),
        Column("needs", lambda k: k.needs, left=True),
    ),
    "engines": (
        NAME,
        Column("newest", lambda e: e.releases[0].version),
        Column("releases", lambda e: releases([r.version for r in e.releases]), left=True),
        Column("block", lambda e: e.releases[0].block_size),
        Column("memory", lambda e: e.releases[0].memory_utilization, "{:.0%}".format),
    ),
}

NOTES: dict[catalog.Kind, str] = {
    "models": "active: parameters that one token uses; context and w, a window, in tokens",
    "devices": "bf16, fp8: dense peak, TFLOP/s; link: per device and direction",
    "weights": "activation: in 16 bits; otherwise: on a device without that precision",
    "kv-cache": "bytes: of one number, scales included",
    "engines": "block: tokens; memory: share that the engine takes",
}


def kinds(counts: dict[catalog.Kind, int]) -> Grid:
    """Return a table of the kinds of entry and how many there are of each."""
    grid = _grid(("kind", True), ("entries", False))
    for kind, number in counts.items():
        grid.add_row(kind, str(number))
    return grid


def overview(kind: catalog.Kind, entries: list[Table]) -> Group:
    """Return a table with one row an entry, and what its headings mean."""
    columns = COLUMNS[kind]
    grid = _grid(*((column.heading, column.left) for column in columns))
    for entry in entries:
        grid.add_row(*(_cell(column, entry) for column in columns))
    return Group(grid, Text(NOTES[kind], style="dim"))


def rows(kind: catalog.Kind, entries: list[Table]) -> list[dict[str, object]]:
    """Return the numbers of `overview`, one dictionary an entry."""
    return [{c.heading: c.value(entry) for c in COLUMNS[kind]} for entry in entries]


def data(entry: Table) -> dict[str, object]:
    """Return all fields of an entry; of a model its counted parameters too."""
    fields = entry.model_dump(mode="json", exclude_none=True)
    if isinstance(entry, Model):
        fields["parameters"] = asdict(parameters(entry))
    return fields


def _cell(column: Column, entry: Table) -> str:
    value = column.value(entry)
    return NOTHING if value is None else column.text(value)


def _grid(*headings: tuple[str, bool]) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for i, (heading, left) in enumerate(headings):
        grid.add_column(
            heading, justify="left" if left else "right", no_wrap=i == 0, overflow="fold"
        )
    return grid


def details(entry: Table) -> Grid:
    """Return a table of all fields of an entry."""
    grid = Grid(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column("key", style="bold", no_wrap=True)
    grid.add_column("value", overflow="fold")
    for key, text in fields(entry):
        grid.add_row(Text(key), Text(text))
    return grid


def fields(entry: Table) -> list[tuple[str, str]]:
    """Return every field of an entry as key and text; what belongs to a table is indented."""
    listed = list(_fields(entry.model_dump(exclude_none=True), ""))
    if isinstance(entry, Model):
        listed += _parameter_fields(parameters(entry))
    return listed


def _fields(table: dict[str, Any], indent: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, tuple) and value and isinstance(value[0], dict):
            for item in value:
                yield from _field(key, item, indent)
        elif value not in ((), ""):
            yield from _field(key, value, indent)


def _field(key: str, value: object, indent: str) -> Iterator[tuple[str, str]]:
    """Yield one line for a plain value or a short table, a heading and more for a deep one."""
    if isinstance(value, dict) and ("source" in value or any(map(_deep, value.values()))):
        yield f"{indent}{key}", ""
        yield from _fields(value, indent + "  ")
    else:
        yield f"{indent}{key}", _text(value)


def _deep(value: object) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, tuple) and any(isinstance(item, dict) for item in value)
    )


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items() if item != ())
    if isinstance(value, tuple):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(value) if isinstance(value, (int, float)) else str(value)


def _parameter_fields(found: Parameters) -> Iterator[tuple[str, str]]:
    yield "parameters", ""
    yield "  total", f"{count(found.total)}, exactly {found.total:,}"
    yield "  active", f"{count(found.active)}, exactly {found.active:,}"
    outside = {name: getattr(found, name) for name in ("embedding", "head", "extra", "vision")}
    yield "  outside layers", _counts(outside)
    for where, layers in (("a layer", found.kinds), ("encoder: a layer", found.encoder_kinds)):
        for name, kind in layers.items():
            yield f"  {where}, {name}", _counts(asdict(kind))


def _counts(parts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count(number)}" for name, number in parts.items() if number)
