"""Reading the keys of a Hugging Face `config.json`: types and bounds, every fault at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LARGEST = 10**6
"""No width, head count or vocabulary is larger; larger numbers are faults, not models."""

LONGEST = 10**9
"""Most tokens of a context or a window."""

LAYERS = 1000
"""Most layers of a model."""


class Keys:
    """A config and what is wrong with it. A faulty value is reported, and a harmless one returned.

    A key that is absent takes the default of its configuration class in `transformers`; a key
    that is `null` counts as absent, except where its family says what `null` means.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.faults: list[str] = []
        self.prefix = ""

    def inside(self, key: str) -> Keys:
        """Return the keys of the object `key`, whose faults are told among those of this one."""
        value = self.config.get(key)
        if not isinstance(value, Mapping):
            self.fault(key, f"must be an object, got {shown(value)}")
            value = {}
        inner = Keys(value)
        inner.faults, inner.prefix = self.faults, f"{self.prefix}{key}."
        return inner

    def fault(self, key: str, why: str) -> None:
        """Report that `key` is wrong."""
        self.faults.append(f"{self.prefix}{key}: {why}")

    def has(self, key: str) -> bool:
        """Return whether `key` is given and not null."""
        return self.config.get(key) is not None

    def count(
        self, *keys: str, default: int | None = None, least: int = 1, most: int = LARGEST
    ) -> int:
        """Return the first given of `keys`, a whole number from `least` to `most`.

        Args:
            keys: names of the value, the usual one first.
            default: value where none is given; without it that is a fault.
            least: smallest value allowed.
            most: largest value allowed.
        """
        key = next((k for k in keys if self.has(k)), keys[0])
        value = self.config.get(key)
        if value is None:
            if default is None:
                self.fault(key, "missing")
                return max(least, 1)
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.fault(key, f"must be a whole number from {least} to {most:,}, got {shown(value)}")
            return max(least, 1)
        return value

    def optional(self, key: str, default: int | None = None, most: int = LARGEST) -> int | None:
        """Return `key`, a count; None where it is null, `default` where it is absent."""
        if key not in self.config:
            return default
        return self.count(key, most=most) if self.has(key) else None

    def flag(self, key: str, default: bool) -> bool:
        """Return `key`, true or false."""
        value = self.config.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fault(key, f"must be true or false, got {shown(value)}")
            return default
        return value

    def text(self, key: str, default: str) -> str:
        """Return `key`, a string."""
        value = self.config.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.fault(key, f"must be a string, got {shown(value)}")
            return default
        return value

    def layers(self, *keys: str) -> int:
        """Return the number of layers."""
        return self.count(*(keys or ("num_hidden_layers",)), most=LAYERS)

    def words(self, key: str, length: int, allowed: Sequence[str]) -> list[str] | None:
        """Return `key`, a list of `length` of the `allowed` words; None where it is not given."""
        value = self.config.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            self.fault(key, f"must be a list, got {shown(value)}")
        elif len(value) != length:
            self.fault(key, f"must have one entry a layer, {length}, got {len(value)}")
        elif wrong := [word for word in value if word not in allowed]:
            self.fault(key, f"must be of {', '.join(allowed)}, got {shown(wrong[0])}")
        else:
            return list(value)
        return None

    def indices(self, key: str) -> set[int]:
        """Return `key`, a list of layer numbers counted from 0; empty where it is not given."""
        value = self.config.get(key)
        if value is None:
            return set()
        if not isinstance(value, list) or not all(type(i) is int for i in value):
            self.fault(key, f"must be a list of layer numbers, got {shown(value)}")
            return set()
        return set(value)


def shown(value: object) -> str:
    """Return a value for a message, cut to 40 characters."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"
    return f"`{text[:37]}...`" if len(text) > 40 else f"`{text}`"
