"""Opening a database: URLs, files, migrations, and what is said when it cannot be."""

import asyncio
import importlib.util
import json
import os
import re
import sqlite3
import stat
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from antiphon.clock import SystemClock
from antiphon.errors import ConfigurationError
from antiphon.records.database import _engine, open_engine, parse_url, shown, writing
from antiphon.records.schema import metadata
from antiphon.records.store import RecordStore
from antiphon.records.upgrade import config, upgrade


@pytest.mark.parametrize(
    ("url", "becomes"),
    [
        ("sqlite:////data/a.db", "sqlite+aiosqlite:////data/a.db"),
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:***@h/d"),
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+asyncpg://u@h/d"),
        (
            "postgresql://u@h/d?sslmode=require&channel_binding=require&connect_timeout=5",
            "postgresql+asyncpg://u@h/d?ssl=require",
        ),
        ("postgresql://u@/d?host=/run/pg", "postgresql+asyncpg://u@/d?host=%2Frun%2Fpg"),
    ],
)
def test_urls_get_the_asynchronous_driver_and_its_spelling(url: str, becomes: str) -> None:
    assert parse_url(url).render_as_string(hide_password=True) == becomes


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "not a database URL"),
        ("nonsense", "not a database URL"),
        ("postgresql://u@h:notaport/d", "not a database URL"),
        ("mysql://h/d", "names mysql; use sqlite:///file.db or postgresql://"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("postgresql://u@h/d?sslmod=require", "not known: sslmod; known: .*sslmode"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_fix(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_url(url)


def test_postgresql_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "asyncpg" else find(name)
    )
    with pytest.raises(ConfigurationError, match=re.escape("pip install antiphon[postgresql]")):
        parse_url("postgresql://u@h/d")


def test_a_shown_url_has_no_password() -> None:
    assert shown(parse_url("postgresql://u:secret@h/d")) == "postgresql://u:***@h/d"


async def test_a_server_that_refuses_is_named_without_the_password(postgres_url: str) -> None:
    url = postgres_url.replace("antiphon@", "antiphon:secret@") + "_missing"
    with pytest.raises(ConfigurationError, match="does not exist; check that the server") as caught:
        await open_engine(url)
    assert "secret" not in caught.value.message


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 100, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="file is not a database; check that it is"):
        await open_engine(f"sqlite:///{path}")
    assert path.read_text(encoding="utf-8").startswith("no database")


async def test_a_directory_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot write .*/file/r.db: .*directory"):
        await open_engine(f"sqlite:///{tmp_path}/file/r.db")


async def test_the_database_is_the_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        url = f"sqlite:///{tmp_path}/new/r.db"
        store = await RecordStore.open(url, clock=SystemClock(), node_id="n")
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("new/*")}
        await store.close()
    finally:
        os.umask(before)
    assert {"r.db", "r.db-wal", "r.db.lock"} <= found.keys()
    assert set(found.values()) == {0o600}


async def test_sqlite_runs_with_a_write_ahead_log_and_foreign_keys(tmp_path: Path) -> None:
    engine = await open_engine(f"sqlite:///{tmp_path}/r.db")
    async with engine.connect() as connection:
        values = {
            name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    await engine.dispose()
    assert values == {
        "journal_mode": "wal",
        "synchronous": 1,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


async def test_a_writing_transaction_on_sqlite_is_alone_from_its_first_read(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    engine = await open_engine(f"sqlite:///{path}")
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    async with writing(engine).begin() as connection:
        await connection.execute(sa.text("SELECT count(*) FROM sessions"))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    async with engine.begin() as connection:
        await connection.execute(sa.text("SELECT count(*) FROM sessions"))
        other.execute("BEGIN IMMEDIATE")
    other.close()
    await engine.dispose()


async def test_the_migrations_make_the_tables_that_the_queries_use(store: RecordStore) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with store.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_text_said_before_search_came_is_found_after_the_upgrade(store_url: str) -> None:
    url = parse_url(store_url)
    if url.get_backend_name() == "sqlite":
        Path(url.database or "").touch()
    await asyncio.to_thread(upgrade, lambda: writing(_engine(url, brief=True)), "0001")
    old = _engine(url)
    count, at = 2500, "'2026-01-01 00:00:00.000000'"
    async with writing(old).begin() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO sessions (id, agent, transport, room, services, state, started_at)"
                f" VALUES ('s', 'a', 't', 'r', '{{}}', 'ended', {at})"
            )
        )
        await connection.execute(
            sa.text(
                "INSERT INTO events (session_id, seq, type, at, offset_ms, data)"
                f" VALUES ('s', :seq, :type, {at}, 0, :data)"
            ),
            [
                {
                    "seq": seq,
                    "type": "transcript_final" if seq % 2 else "dtmf",
                    "data": json.dumps({"turn": 1, "text": f"WÜNSCHE {seq}.", "digit": "x"}),
                }
                for seq in range(1, count + 1)
            ],
        )
    await old.dispose()
    store = await RecordStore.open(store_url, clock=SystemClock(), node_id="n")
    assert [s.id for s in (await store.list_sessions(text="wünsche 2499.")).items] == ["s"]
    assert (await store.list_sessions(text="wünsche 2498.")).items == []
    await store.close()


async def test_a_database_of_a_newer_version_is_left_alone(store_url: str) -> None:
    store = await RecordStore.open(store_url, clock=SystemClock(), node_id="n")
    async with writing(store.engine).begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    await store.close()
    with pytest.raises(ConfigurationError, match=r"newer version of Antiphon .*; upgrade this one"):
        await open_engine(store_url)


async def test_a_migration_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE api_keys (id TEXT)")
    other.commit()
    with pytest.raises(ConfigurationError, match="api_keys already exists"):
        await open_engine(f"sqlite:///{path}")
    tables = other.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    other.close()
    assert tables == [("api_keys",)]


async def test_the_migrations_are_one_line_and_can_be_taken_back(store: RecordStore) -> None:
    from alembic import command

    def there_and_back(connection: Connection) -> list[str]:
        alembic = config(connection)
        script = ScriptDirectory.from_config(alembic)
        assert len(script.get_heads()) == 1
        command.downgrade(alembic, "base")
        return [name for name in sa.inspect(connection).get_table_names() if name in metadata]

    async with writing(store.engine).begin() as connection:
        assert await connection.run_sync(there_and_back) == []
        await connection.rollback()


async def test_what_postgresql_shows_of_its_clients_names_this_one(postgres_url: str) -> None:
    store = await RecordStore.open(
        f"{postgres_url}?application_name=my-antiphon", clock=SystemClock(), node_id="n"
    )
    probe = await asyncpg.connect(postgres_url)
    names = await probe.fetch(
        "SELECT DISTINCT application_name AS name FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await probe.close()
    await store.close()
    assert [row["name"] for row in names] == ["my-antiphon"]
