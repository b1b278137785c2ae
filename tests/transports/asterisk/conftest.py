"""Every call here must leave nothing running, and nothing may go wrong unseen."""

from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture(autouse=True)
def _nothing_dangles() -> Iterator[None]:
    seen: list[str] = []
    sink = logger.add(lambda message: seen.append(str(message)), level="WARNING")
    yield
    logger.remove(sink)
    bad = [line for line in seen if "dangling" in line or "uncaught" in line.lower()]
    assert not bad, bad
