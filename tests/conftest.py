"""Fixtures for the whole suite."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """All asynchronous tests run on asyncio, as production does."""
    return "asyncio"
