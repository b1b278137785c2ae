"""Stores to test with: SQLite, and a real PostgreSQL server."""

import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from antiphon.clock import SystemClock
from antiphon.records.store import RecordStore
from support.records import TcpRelay


def _postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _as_postgres(command: list[str]) -> None:
    # PostgreSQL refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/tmp", timeout=60)


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """A server of these tests' own."""
    binaries = _postgres_binaries()
    if binaries is None:
        message = "no PostgreSQL server here: apt-get install postgresql (make test does)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    # Not below pytest's own directory: that is closed to other users.
    home = Path("/tmp") / f"antiphon-postgres-{os.getpid()}"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(home / "data")
    control = [str(binaries / "pg_ctl"), "-D", data, "-w"]
    encoding = ["-E", "UTF8", "--locale", "C"]
    try:
        _as_postgres(
            [str(binaries / "initdb"), "-D", data, "-U", "antiphon", "-A", "trust", "-N", *encoding]
        )
        options = f"-p {port} -k {home} -c fsync=off -c listen_addresses=127.0.0.1"
        _as_postgres([*control, "-o", options, "-l", f"{home}/log", "start"])
        yield port
        _as_postgres([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def postgres_url(postgres_port: int) -> str:
    """An empty database: the server's one, emptied."""
    url = f"postgresql://antiphon@127.0.0.1:{postgres_port}/postgres"
    server = await asyncpg.connect(url)
    try:
        # A test that failed may have left connections behind, and locks with them.
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await server.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await server.close()
    return url


@pytest.fixture
async def postgres_relay(postgres_url: str, postgres_port: int) -> AsyncIterator[TcpRelay]:
    """A way to the empty database that can be cut."""
    relay = TcpRelay(postgres_port)
    await relay.open()
    yield relay
    await relay.cut()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[RecordStore]:
    opened = await RecordStore.open(store_url, clock=SystemClock(), node_id="test-node")
    yield opened
    await opened.close()
