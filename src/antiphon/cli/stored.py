"""The record store, for commands that work on the data directory without a server."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from antiphon.records.store import RecordStore
    from antiphon.settings import Settings

T = TypeVar("T")


def with_store(settings: "Settings", work: Callable[["RecordStore"], Awaitable[T]]) -> T:
    """Open the store of these settings, do the work, close it.

    Raises:
        ConfigurationError: the database cannot be opened.
    """

    async def run() -> T:
        from antiphon.clock import SystemClock
        from antiphon.records.store import RecordStore

        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = await RecordStore.open(
            settings.effective_database_url,
            clock=SystemClock(),
            node_id=f"{socket.gethostname()}:{os.getpid()}:cli",
        )
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def count_valid_keys(settings: "Settings") -> int:
    """Keys made by `antiphon keys create` and not revoked."""

    async def count(store: "RecordStore") -> int:
        return sum(key.revoked_at is None for key in await store.list_keys())

    return with_store(settings, count)
