"""A judge with time enough."""

from __future__ import annotations

import time

import pytest

from apex_opt.auditing.judge import Judge


@pytest.fixture
def judge():
    return Judge(time.monotonic() + 300, lambda _: None)
