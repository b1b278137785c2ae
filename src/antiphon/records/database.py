"""Opening the database: URL, driver, SQLite's pragmas, migrations.

On SQLite a killed process loses nothing that was committed: the write-ahead log is in the kernel's
hands by then. With `synchronous=NORMAL` a power cut may cost the last commits, never consistency
(https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import asyncio
import importlib.util
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.url import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from antiphon.errors import ConfigurationError
from antiphon.records.upgrade import upgrade

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 5_000
"""How long a statement waits for another process's transaction on SQLite."""

CONNECT_SECS = 10.0
COMMAND_SECS = 60.0
"""Of PostgreSQL: an answer that takes longer will not come."""

_WRITING = "antiphon_writing"

_POSTGRESQL_OPTIONS = frozenset(
    {"host", "port", "ssl", "application_name", "prepared_statement_cache_size"}
)


def parse_url(url: str) -> URL:
    """The URL with its asynchronous driver.

    Libpq's `sslmode` becomes asyncpg's `ssl`; `channel_binding` and `connect_timeout`, which
    hosted databases print into their URLs, are left out.

    Raises:
        ConfigurationError: it is no URL, or of a database that is not supported.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(
            [
                "database_url is not a database URL; use sqlite:///file.db or postgresql://user@host/name"
            ]
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite_url(parsed)
    if backend in ("postgresql", "postgres"):
        return _postgresql_url(parsed)
    raise ConfigurationError(
        [f"database_url names {backend}; use sqlite:///file.db or postgresql://user@host/name"]
    )


def _sqlite_url(url: URL) -> URL:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigurationError(
            ["database_url must name a file, since records are to last: sqlite:///file.db"]
        )
    return url.set(drivername="sqlite+aiosqlite")


def _postgresql_url(url: URL) -> URL:
    if importlib.util.find_spec("asyncpg") is None:
        problem = "database_url is PostgreSQL's, whose driver is missing"
        raise ConfigurationError([f"{problem}: pip install antiphon[postgresql]"])
    options = dict(url.query)
    if "sslmode" in options:
        options["ssl"] = options.pop("sslmode")
    for name in ("channel_binding", "connect_timeout"):
        options.pop(name, None)
    unknown = sorted(options.keys() - _POSTGRESQL_OPTIONS)
    if unknown:
        known = ", ".join(sorted(_POSTGRESQL_OPTIONS | {"sslmode"}))
        raise ConfigurationError(
            [f"database_url has options that are not known: {', '.join(unknown)}; known: {known}"]
        )
    return url.set(drivername="postgresql+asyncpg", query=options)


def shown(url: URL) -> str:
    """The URL without driver and password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


async def open_engine(url: str) -> AsyncEngine:
    """An engine whose schema is at the newest migration.

    Raises:
        ConfigurationError: the database cannot be opened.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        await asyncio.to_thread(_make_file, parsed)
    try:
        await asyncio.to_thread(upgrade, lambda: writing(_engine(parsed, brief=True)))
    except CommandError as error:
        newer = f"{shown(parsed)} was made by a newer version of Antiphon ({error})"
        raise ConfigurationError([f"database_url: {newer}; upgrade this one"]) from error
    except (SQLAlchemyError, OSError, sqlite3.Error, ValueError) as error:
        hint = (
            "check that it is a database file and that it and its directory are writable"
            if parsed.get_backend_name() == "sqlite"
            else "check that the server runs and that host, name, user and password are right"
        )
        raise ConfigurationError(
            [f"database_url: cannot open {shown(parsed)}: {_first_line(error)}; {hint}"]
        ) from error
    return _engine(parsed)


def writing(engine: AsyncEngine) -> AsyncEngine:
    """The engine for transactions that write.

    SQLite's then take the write lock at once: one that reads first and writes later fails without
    waiting when another process has written in between.
    """
    return engine.execution_options(**{_WRITING: True})


def _engine(url: URL, *, brief: bool = False) -> AsyncEngine:
    """An engine; a `brief` one keeps no connections and lets statements take their time."""
    pool: dict[str, Any] = {"poolclass": NullPool} if brief else {"pool_pre_ping": True}
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, **pool)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    query = dict(url.query)
    name = str(query.pop("application_name", "antiphon"))
    settings: dict[str, Any] = {"server_settings": {"application_name": name}}
    settings |= {"timeout": CONNECT_SECS, "command_timeout": None if brief else COMMAND_SECS}
    return create_async_engine(url.set(query=query), connect_args=settings, **pool)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Transactions are begun by `_begin_sqlite`, not by the driver's guesses.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    mode = cursor.fetchone()[0]
    if mode != "wal":
        log.warning("SQLite keeps no write-ahead log on this file system (mode %s)", mode)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_file(url: URL) -> None:
    """Make the file, for its owner alone: it holds what callers said."""
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        problem = f"database_url: cannot write {path}: {error.strerror or error}"
        raise ConfigurationError(
            [f"{problem}; name a file in a directory that is writable"]
        ) from error


def _first_line(error: BaseException) -> str:
    """What the driver itself said."""
    orig = getattr(error, "orig", None)
    cause = orig.__cause__ or orig if orig is not None else error
    text = str(cause) or type(cause).__name__
    return text.splitlines()[0]
