"""The record store, for commands that work on the data directory without a server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from antiphon.records.store import RecordStore
    from antiphon.settings import Settings

T = TypeVar("T")

NODE_ID = "command line"
"""Stands where a server names itself; never stored."""


def with_store(settings: "Settings", work: Callable[["RecordStore"], Awaitable[T]]) -> T:
    """Open the store of these settings, do the work, close it.

    Raises:
        ConfigurationError: the database cannot be opened.
    """

    async def run() -> T:
        from antiphon.clock import SystemClock
        from antiphon.records.database import open_engine
        from antiphon.records.store import RecordStore

        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not `RecordStore.open`, which signs in as a node that runs sessions.
        engine = await open_engine(settings.effective_database_url)
        store = RecordStore(engine, clock=SystemClock(), node_id=NODE_ID)
        try:
            return await work(store)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def count_valid_keys(settings: "Settings") -> int:
    """Keys made by `antiphon keys create` and not revoked."""

    async def count(store: "RecordStore") -> int:
        return sum(key.revoked_at is None for key in await store.list_keys())

    return with_store(settings, count)
