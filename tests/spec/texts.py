"""Small specs as text, and what the loader says of them."""

from __future__ import annotations

import pytest

from apex_opt.errors import SpecError
from apex_opt.spec.loader import loads
from apex_opt.spec.spec import Spec

TABLES = {
    "model": '[model]\nname = "llama-3.1-8b"',
    "pools": '[[pools]]\nname = "a"\ndevice = "h100-sxm-80gb"',
    "workload": "[workload]\nrate_rps = 8.0\nprompt_tokens = 512\noutput_tokens = 128",
}


def spec_text(*more: str, **instead: str) -> str:
    """Return a small valid spec, with tables replaced by name and others added."""
    return "\n\n".join([*(TABLES | instead).values(), *more]) + "\n"


def spec(*more: str, **instead: str) -> Spec:
    """Return what `spec_text` says, loaded."""
    return loads(spec_text(*more, **instead))


def faults(*more: str, **instead: str) -> list[str]:
    """Return the faults of what `spec_text` says, each `key: why`, without file and line."""
    with pytest.raises(SpecError) as caught:
        spec(*more, **instead)
    return [line.split(": ", 1)[-1] for line in str(caught.value).splitlines()]
