"""Small specs for tests, as TOML text: one table a knob."""

from __future__ import annotations

from apex_opt.spec.loader import loads
from apex_opt.spec.spec import Spec

TABLES = {
    "model": 'name = "llama-3.1-8b"',
    "pools": 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1\ndevices_per_node = 4',
    "workload": (
        'arrival = "poisson"\nrate_rps = 20.0\nrequests = 200\n'
        "prompt_tokens = 500\noutput_tokens = 60"
    ),
    "slo": "ttft_ms = { p99 = 1000 }",
    "objective": 'minimize = "cost"',
}

TWO_POOLS = (
    'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1\ndevices_per_node = 2\n'
    "[[pools]]\n"
    'name = "l40s"\ndevice = "l40s"\nnodes = 1\ndevices_per_node = 2'
)
"""Two pools of two devices, in place of the usual one."""


def text(*, more: str = "", **tables: str) -> str:
    """Return a spec in TOML; a table given replaces the usual one, an empty one leaves it out."""
    chosen = {**TABLES, **tables}
    parts = [
        f"[[{name}]]\n{body}\n" if name == "pools" else f"[{name}]\n{body}\n"
        for name, body in chosen.items()
        if body
    ]
    return "\n".join([*parts, more])


def spec(**tables: str) -> Spec:
    """Return a spec; see `text`."""
    return loads(text(**tables))
