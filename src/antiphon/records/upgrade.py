"""Bringing a database's schema up to date with Alembic, off the event loop."""

import asyncio
import threading
from collections.abc import Callable
from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

LOCK_KEY = 0x616E7469
"""Of PostgreSQL's advisory lock, so that processes that start together migrate in turn. On SQLite
`BEGIN IMMEDIATE` sees to that."""

_alembic = threading.Lock()
"""Alembic keeps the migration under way in module globals."""


def upgrade(make_engine: Callable[[], AsyncEngine], revision: str = "head") -> None:
    """Upgrade in one transaction; blocks, so call it in a thread.

    Args:
        make_engine: Makes an engine whose transactions are for writing; it is used in an event loop
            of this thread and disposed of.
        revision: How far.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database refused.
        alembic.util.CommandError: it is at a revision that this version does not know.
        OSError: it cannot be reached.
    """
    with _alembic:
        asyncio.run(_upgrade(make_engine, revision))


async def _upgrade(make_engine: Callable[[], AsyncEngine], revision: str) -> None:
    engine = make_engine()
    try:
        async with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY}
                )
            await connection.run_sync(_run, revision)
    finally:
        await engine.dispose()


def _run(connection: Connection, revision: str) -> None:
    command.upgrade(config(connection), revision)


def config(connection: Connection) -> Config:
    """Alembic's configuration for the migrations of this package."""
    made = Config()
    # `%` is special in Alembic's configuration.
    location = str(files("antiphon.records") / "migrations").replace("%", "%%")
    made.set_main_option("script_location", location)
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made
