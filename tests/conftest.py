"""Tests compile the simulator as the command line does."""

import apex_opt.cli.app  # noqa: F401  it says how
