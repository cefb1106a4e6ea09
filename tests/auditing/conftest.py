"""A judge in whose answers the clock has no say: they are the same on a machine that is busy."""

from __future__ import annotations

import pytest

from tests.auditing.gallery import timeless


@pytest.fixture
def judge():
    return timeless()
