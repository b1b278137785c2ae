"""A PostgreSQL server that is there and has no connection to spare."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from antiphon.clock import SystemClock
from antiphon.domain import events as facts
from antiphon.errors import ConfigurationError
from antiphon.records.store import RecordStore
from support.records import begin_session, started_writer

ROLE = "no_spare"


@dataclass
class Turnstile:
    """The role that the store connects as: shut, it ends all connections."""

    admin: asyncpg.Connection
    url: str

    async def shut(self) -> None:
        await self.admin.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
        await self.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", ROLE
        )

    async def open(self) -> None:
        await self.admin.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


@pytest.fixture
async def turnstile(postgres_url: str) -> AsyncIterator[Turnstile]:
    url = make_url(postgres_url)
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f"CREATE ROLE {ROLE} LOGIN")
    await admin.execute(f"GRANT ALL ON SCHEMA public TO {ROLE}")
    await admin.execute(f"GRANT CREATE ON DATABASE {url.database} TO {ROLE}")
    yield Turnstile(admin, url.set(username=ROLE).render_as_string())
    await admin.execute(f"DROP OWNED BY {ROLE}")
    await admin.execute(f"DROP ROLE {ROLE}")
    await admin.close()


async def test_events_wait_for_a_connection_and_none_is_refused(turnstile: Turnstile) -> None:
    # "too many connections" is SQLSTATE 53300: the server answers, yet it has refused no event.
    store = await RecordStore.open(turnstile.url, clock=SystemClock(), node_id="n")
    writer = await started_writer(store)
    log = begin_session(writer, 1)
    await writer.flush()
    await turnstile.shut()
    for _ in range(20):
        log.append(facts.Dtmf(digit="1"))
    async with asyncio.timeout(20):
        while writer.failures < 2:
            await asyncio.sleep(0.01)
    assert (writer.pending, writer.rejected, writer.dropped) == (20, 0, 0)
    await turnstile.open()
    async with asyncio.timeout(20):
        await writer.flush()
    assert [event.seq for event in await store.get_events(log.session_id)] == list(range(1, 22))
    await writer.close()
    await store.close()


async def test_opening_says_that_there_is_no_connection(turnstile: Turnstile) -> None:
    await turnstile.shut()
    with pytest.raises(ConfigurationError, match="too many connections"):
        await RecordStore.open(turnstile.url, clock=SystemClock(), node_id="n")
