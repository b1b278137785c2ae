"""Opening the database: URL, driver, SQLite's pragmas, migrations."""

import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.url import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from antiphon.errors import ConfigurationError

BUSY_TIMEOUT_MS = 5_000
_MIGRATION_LOCK = 0x616E7469
"""Key of PostgreSQL's advisory lock, so that processes that start together migrate in turn."""


def parse_url(url: str) -> URL:
    """The URL with its asynchronous driver.

    Raises:
        ConfigurationError: it is no URL, or of a database that is not supported.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError([f"database_url is not a database URL: {error}"]) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in ("postgresql", "postgres"):
        try:
            import asyncpg  # noqa: F401
        except ImportError as error:
            raise ConfigurationError(
                ["database_url is PostgreSQL's: pip install 'antiphon[postgresql]'"]
            ) from error
        return parsed.set(drivername="postgresql+asyncpg")
    raise ConfigurationError(
        [f"database_url names {backend}; use sqlite:///file.db or postgresql://user@host/name"]
    )


async def open_engine(url: str) -> AsyncEngine:
    """An engine whose schema is at the newest migration.

    Raises:
        ConfigurationError: the database cannot be opened.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_async_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
        event.listen(engine.sync_engine, "connect", _pragmas)
        _make_directory(parsed)
    else:
        engine = create_async_engine(parsed, pool_pre_ping=True)
    try:
        async with engine.begin() as connection:
            if parsed.get_backend_name() != "sqlite":
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK}
                )
            await connection.run_sync(_migrate)
    except (SQLAlchemyError, OSError, sqlite3.Error) as error:
        await engine.dispose()
        shown = parsed.render_as_string(hide_password=True)
        raise ConfigurationError(
            [f"database_url: cannot open {shown}: {_first_line(error)}"]
        ) from error
    return engine


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _make_directory(url: URL) -> None:
    if not url.database or url.database == ":memory:":
        return
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            [f"database_url: cannot make the directory of {url.database}: {error}"]
        ) from error


def _pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    # A killed process loses nothing that was committed; only a power cut may cost the last commits.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("antiphon.records") / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
