"""Fixtures for the whole suite."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """All asynchronous tests run on asyncio, as production does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands set up the logs of the whole process: undo that, or `caplog` hears nothing."""
    root = logging.getLogger()
    loggers = [
        root,
        *(x for x in root.manager.loggerDict.values() if isinstance(x, logging.Logger)),
    ]
    before = [(one, one.level, one.disabled, one.propagate) for one in loggers]
    disabled = root.manager.disable
    yield
    root.manager.disable = disabled
    logging.captureWarnings(capture=False)
    known = {id(one) for one in loggers}
    for logger in root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger) and id(logger) not in known:
            logger.setLevel(logging.NOTSET)
            logger.disabled = False
    for one, level, off, propagate in before:
        one.setLevel(level)
        one.disabled = off
        one.propagate = propagate
