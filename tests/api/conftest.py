"""One running server for each module of API tests: loading its models takes seconds."""

from collections.abc import AsyncIterator

import pytest

from support.live_server import Running, running


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def live(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("data")) as server:
        yield server
