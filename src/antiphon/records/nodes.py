"""Which processes run sessions on this database, and which of them have died.

A process signs in with a row in `nodes` and takes a lock that the kernel or the server gives back
when it dies, however it dies: on SQLite a shared `flock` on a file beside the database, on
PostgreSQL an advisory lock of a connection that is kept open. A row without a live lock is removed,
and sessions of a node without a row have crashed. So a restart right after `kill -9` finds them,
and a sibling's live sessions are left alone.

Where a lock cannot tell (on SQLite while a sibling lives; on PostgreSQL for a row written before
the server itself started; over a half-open connection), a row not renewed for `STALE` counts as
dead.
"""

import asyncio
import hashlib
import logging
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from antiphon.records.database import writing
from antiphon.records.schema import nodes

try:
    import fcntl
except ImportError:  # Windows: staleness alone decides
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

STALE = timedelta(seconds=60)
"""A node that has not been seen for this long is dead."""

LOCK_WAIT_SECS = 5.0
LOCK_RETRY_SECS = 0.02


class NodeRegistry:
    """This process's place among the nodes.

    Args:
        engine: The database.
        node_id: Of this process; never used by another one, before or after.
    """

    def __init__(self, engine: AsyncEngine, node_id: str):
        self._engine = engine
        self._node_id = node_id
        self._lock = (
            _FileLock(f"{engine.url.database}.lock")
            if engine.dialect.name == "sqlite"
            else _ServerLock(engine, node_id)
        )
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    async def sign_in(self, now: datetime) -> None:
        """Become a node that lives; the rows of nodes known to be dead are removed."""
        if await self._lock.take():
            async with writing(self._engine).begin() as connection:
                await connection.execute(sa.delete(nodes))
        await self._lock.share()
        await self.seen(now)

    async def seen(self, now: datetime) -> None:
        """Say that this node lives."""
        statement = self._insert(nodes).values(id=self._node_id, seen_at=now)
        async with writing(self._engine).begin() as connection:
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now})
            )

    async def renew(self, now: datetime) -> None:
        """Make sure of the lock, and say that this node lives."""
        await self._lock.share()
        await self.seen(now)

    async def remove_dead(self, connection: AsyncConnection, now: datetime) -> None:
        """Remove the rows of nodes that have died, in the caller's transaction."""
        others = nodes.c.id != self._node_id
        await connection.execute(sa.delete(nodes).where(others, nodes.c.seen_at <= now - STALE))
        for node_id in await self._lock.free(connection, sa.select(nodes.c.id).where(others)):
            await connection.execute(sa.delete(nodes).where(nodes.c.id == node_id))

    async def sign_out(self) -> None:
        """Leave in good order; the database may be gone."""
        try:
            async with writing(self._engine).begin() as connection:
                await connection.execute(sa.delete(nodes).where(nodes.c.id == self._node_id))
        except (SQLAlchemyError, OSError) as error:
            log.warning("node %s not signed out: %s", self._node_id, error)
        await self._lock.release()


class _FileLock:
    """On SQLite: each node holds one file's `flock` shared; who gets it alone is alone."""

    def __init__(self, path: str):
        self._path = Path(path)
        self._file: int | None = None
        self._held = False

    async def take(self) -> bool:
        """Whether no other node lives; if so, none can sign in before `share`."""
        if fcntl is None:
            return False
        self._file = await asyncio.to_thread(
            os.open, self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        return self._flock(fcntl.LOCK_EX)

    async def share(self) -> None:
        """Hold the lock beside the other nodes.

        Raises:
            TimeoutError: a process keeps it to itself.
        """
        if self._file is None or self._held:
            return
        async with asyncio.timeout(LOCK_WAIT_SECS):
            # Another process tells nobody when it lets go.
            while not self._flock(fcntl.LOCK_SH):  # noqa: ASYNC110
                await asyncio.sleep(LOCK_RETRY_SECS)
        self._held = True

    def _flock(self, how: int) -> bool:
        assert self._file is not None
        try:
            fcntl.flock(self._file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def free(self, _connection: AsyncConnection, _others: sa.Select[Any]) -> list[str]:
        """None: the lock does not say whose it is."""
        return []

    async def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._held = None, False


class _ServerLock:
    """On PostgreSQL: an advisory lock that lives as long as one connection does."""

    def __init__(self, engine: AsyncEngine, node_id: str):
        self._engine = engine
        self._key = _key(node_id)
        self._connection: AsyncConnection | None = None
        self._turn = asyncio.Lock()

    async def take(self) -> bool:
        """False: others may live; which of them do, `free` tells."""
        return False

    async def share(self) -> None:
        """Hold the lock; take it again if its connection is lost."""
        async with self._turn:
            if self._connection is not None:
                try:
                    await self._connection.execute(sa.text("SELECT 1"))
                except (SQLAlchemyError, OSError) as error:
                    log.warning("the node's lock is lost, taking it again: %s", error)
                    await self._drop()
                else:
                    return
            connection = await self._engine.execution_options(
                isolation_level="AUTOCOMMIT"
            ).connect()
            self._connection = connection
            await connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": self._key})

    async def free(self, connection: AsyncConnection, others: sa.Select[Any]) -> list[str]:
        """Nodes whose lock nobody holds, though they were seen since the server started.

        The locks come to this transaction, so no other node comes to the same end meanwhile.
        """
        seen = others.where(nodes.c.seen_at > sa.func.pg_postmaster_start_time())
        free = []
        for (node_id,) in (await connection.execute(seen)).all():
            taken = sa.text("SELECT pg_try_advisory_xact_lock(:key)")
            if await connection.scalar(taken, {"key": _key(node_id)}):
                free.append(node_id)
        return free

    async def release(self) -> None:
        """Give it back."""
        async with self._turn:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            # Not back to the pool: the lock is the connection's.
            await connection.invalidate()
            await connection.close()
        except (SQLAlchemyError, OSError) as error:
            log.debug("closing the lock's connection: %s", error)


def _key(node_id: str) -> int:
    """Key of a node's advisory lock: 64 bits, signed."""
    digest = hashlib.sha256(b"antiphon node " + node_id.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
