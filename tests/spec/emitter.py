"""Writes random documents as TOML, in several styles, and notes on which line each key stands."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from apex_opt.spec.lines import Loc

names = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
scalars = st.one_of(
    st.integers(-99, 99),
    st.booleans(),
    st.text(st.sampled_from("ab#'\"[]{}=,.\\\n é"), max_size=8),
)
inline = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
tables = st.dictionaries(names, inline, min_size=1, max_size=4)
documents = st.dictionaries(names, tables | st.lists(tables, min_size=1, max_size=3), max_size=4)


class Emitter:
    """Writes a document as TOML, each choice of style drawn, and notes the lines of its keys."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.text = ""
        self.lines: dict[Loc, int] = {}

    def document(self, tables: dict[str, Any]) -> None:
        for name, content in tables.items():
            several = content if isinstance(content, list) else [content]
            for nth, table in enumerate(several):
                loc: Loc = (name, nth) if isinstance(content, list) else (name,)
                self.gap()
                self.lines.setdefault((name,), self.line())
                self.lines[loc] = self.line()
                start, end = ("[[", "]]") if isinstance(content, list) else ("[", "]")
                self.text += f"{start} {self.key(name)} {end}"
                self.end()
                for key, value in table.items():
                    self.gap()
                    self.pair((*loc, key), key, value)
                    self.end()

    def pair(self, loc: Loc, key: str, value: Any) -> None:
        self.lines[loc] = self.line()
        if isinstance(value, dict) and len(value) == 1 and self.draw([True, False]):
            inner, below = next(iter(value.items()))
            self.text += f"{self.key(key)} . "
            self.pair((*loc, inner), inner, below)
            return
        self.text += f"{self.key(key)} = "
        self.value(loc, value)

    def value(self, loc: Loc, value: Any) -> None:
        if isinstance(value, bool):
            self.text += str(value).lower()
        elif isinstance(value, int):
            self.text += str(value)
        elif isinstance(value, str):
            self.text += self.string(value)
        elif isinstance(value, list):
            self.text += "["
            for nth, item in enumerate(value):
                self.text += self.draw(["", " ", "\n  ", " # ], }\n"])
                self.lines[(*loc, nth)] = self.line()
                self.value((*loc, nth), item)
                self.text += self.draw([",", " ,", "\n,"])
            self.text += self.draw(["]", "\n]"])
        else:
            self.text += "{ "
            for nth, (key, item) in enumerate(value.items()):
                self.text += ", " if nth else ""
                self.pair((*loc, key), key, item)
            self.text += " }"

    def key(self, name: str) -> str:
        bare = name.isascii() and name.replace("-", "_").replace("_", "a").isalnum()
        literal = "'" not in name and name.isprintable()
        styles = [basic(name)] + ([name] if bare else []) + ([f"'{name}'"] if literal else [])
        return self.draw(styles)

    def string(self, value: str) -> str:
        styles = [basic(value), f'"""\n{basic(value)[1:-1]}"""']
        if "'" not in value and "\n" not in value:
            styles.append(f"'{value}'")
        if "'" not in value:
            styles.append(f"'''\n{value}'''")
        return self.draw(styles)

    def gap(self) -> None:
        self.text += self.draw(["", "\n", "  ", "# [x] = 1\n", "\t# '''\n\n"])

    def end(self) -> None:
        self.text += self.draw(["\n", ' # """ }\n', "\r\n"])

    def line(self) -> int:
        return self.text.count("\n") + 1

    def draw(self, styles: list[Any]) -> Any:
        return self.data.draw(st.sampled_from(styles))


def basic(value: str) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f") if value.isascii() else _escaped(value)


def _escaped(value: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
