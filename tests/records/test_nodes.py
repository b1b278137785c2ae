"""Which sessions are orphans: those of processes that died, and no others."""

import asyncio
import fcntl
import os
import signal
import sys
import threading
from asyncio import subprocess
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from antiphon.clock import SystemClock
from antiphon.domain import events as facts
from antiphon.records.schema import nodes
from antiphon.records.store import RecordStore
from support.records import SetClock, TcpRelay, begin_session, started_writer

_CHILD = """
import asyncio, os, sys
from antiphon.clock import SystemClock
from antiphon.domain import events as facts
from antiphon.event_log import EventLog
from antiphon.records.store import RecordStore
from antiphon.records.writer import EventWriter
async def main():
    store = await RecordStore.open(sys.argv[1], clock=SystemClock(), node_id="same-name")
    writer = EventWriter(store, commit_interval_s=0.01)
    await writer.start()
    log = EventLog(sys.argv[2], SystemClock())
    writer.attach(log)
    log.append(facts.SessionStarted(agent="a", transport="t", room="r", language="en"))
    log.append(facts.ParticipantJoined(participant="p", transport="t"))
    while True:
        events = [log.append(facts.Dtmf(digit="1")) for _ in range(7)]
        await writer.flush()
        print(events[-1].seq, flush=True)
asyncio.run(main())
"""


async def _run_until_killed(url: str, session_id: str) -> int:
    """Run a process that writes without end, kill it, and return the last number it committed."""
    child = await subprocess.create_subprocess_exec(
        sys.executable, "-c", _CHILD, url, session_id, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    for _ in range(5):
        assert await child.stdout.readline(), "the child died by itself"
    os.kill(child.pid, signal.SIGKILL)
    rest = await child.stdout.read()
    await child.wait()
    lines = [line for line in rest.split(b"\n")[:-1] if line]
    return int(lines[-1]) if lines else 2 + 5 * 7


async def test_what_was_committed_survives_kill_9_and_the_next_start_ends_the_session(
    store_url: str,
) -> None:
    session_id = "a" * 32
    committed = await _run_until_killed(store_url, session_id)
    store = await RecordStore.open(store_url, clock=SystemClock(), node_id="same-name")
    try:
        await _orphan_closed(store, session_id)
        events = await store.get_events(session_id, limit=1_000_000)
        record = await store.get_session(session_id)
    finally:
        await store.close()
    *kept, end = events
    assert len(kept) >= committed
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(end.body, facts.SessionEnded)
    assert end.body.reason == "crashed"
    assert end.body.duration_ms == kept[-1].offset_ms
    assert record is not None
    assert (record.state, record.end_reason) == ("ended", "crashed")
    assert (record.duration_ms, record.ended_at) == (kept[-1].offset_ms, kept[-1].at)


async def _orphan_closed(store: RecordStore, session_id: str) -> None:
    """The kernel tells PostgreSQL of the death, which may take it a moment to notice."""
    while True:
        closed = await store.close_orphans()
        if closed:
            break
        await asyncio.sleep(0.01)
    assert closed == [session_id]


async def test_a_process_that_ends_in_good_order_leaves_no_node(store_url: str) -> None:
    first = await RecordStore.open(store_url, clock=SystemClock(), node_id="n")
    second = await RecordStore.open(store_url, clock=SystemClock(), node_id="n")
    assert first.node_id != second.node_id
    await first.close()
    assert await _node_ids(second) == {second.node_id}
    await second.close()


async def test_a_live_sibling_keeps_its_sessions_however_often_others_start(store_url: str) -> None:
    sibling = await RecordStore.open(store_url, clock=SystemClock(), node_id="sibling")
    writer = await started_writer(sibling)
    log = begin_session(writer, 1)
    await writer.flush()
    for _ in range(2):
        other = await RecordStore.open(store_url, clock=SystemClock(), node_id="other")
        assert await other.close_orphans() == []
        await other.close()
    record = await sibling.get_session(log.session_id)
    assert record is not None
    assert record.state == "connecting"
    await writer.close()
    await sibling.close()


async def _die(store: RecordStore) -> None:
    """What the kernel does for a process that is killed."""
    await store._nodes._lock.release()
    await store.engine.dispose()


async def _node_ids(store: RecordStore) -> set[str]:
    async with store.engine.connect() as connection:
        return set((await connection.execute(sa.select(nodes.c.id))).scalars())


async def test_a_sibling_that_died_is_found_by_those_that_live(store_url: str) -> None:
    clock = SetClock()
    dead = await RecordStore.open(store_url, clock=clock, node_id="dead")
    living = await RecordStore.open(store_url, clock=clock, node_id="living")
    writer = await started_writer(dead)
    log = begin_session(writer, 2, clock=clock)
    await writer.close()
    await _die(dead)
    if living.engine.dialect.name == "sqlite":
        # A lock that `living` holds too says nothing of `dead`; that it is not seen any more does.
        assert await living.close_orphans() == []
        clock.pass_secs(61)
    assert await living.close_orphans() == [log.session_id]
    assert await living.close_orphans() == []
    assert await _node_ids(living) == {living.node_id}
    await living.close()


async def test_only_one_of_two_siblings_ends_an_orphan(store_url: str) -> None:
    clock = SetClock()
    dead = await RecordStore.open(store_url, clock=clock, node_id="dead")
    siblings = [await RecordStore.open(store_url, clock=clock, node_id=f"n{n}") for n in range(2)]
    writer = await started_writer(dead)
    ids = [begin_session(writer, number, clock=clock).session_id for number in range(3, 9)]
    await writer.close()
    await _die(dead)
    clock.pass_secs(61)
    for sibling in siblings:
        await sibling.renew()
    found = await asyncio.gather(*(sibling.close_orphans() for sibling in siblings))
    assert sorted(id for closed in found for id in closed) == ids
    for sibling in siblings:
        await sibling.close()


def _row_of(node: str, store: RecordStore) -> dict[str, Any]:
    """A session of a node, alive as far as its row says."""
    return {
        "agent": "a",
        "transport": "t",
        "room": "r",
        "services": {},
        "state": "connecting",
        "started_at": store.clock.utc_now(),
        "node": node,
    }


async def test_a_session_without_events_is_ended_too(store: RecordStore) -> None:
    await store.write([], {"f" * 32: _row_of("somebody/else", store)})
    assert await store.close_orphans() == ["f" * 32]
    [end] = await store.get_events("f" * 32)
    assert (end.seq, end.offset_ms) == (1, 0)


async def test_a_node_from_before_the_servers_start_is_not_judged_by_its_lock(
    postgres_url: str,
) -> None:
    probe = await asyncpg.connect(postgres_url)
    started = await probe.fetchval("SELECT pg_postmaster_start_time()")
    await probe.close()
    clock = SetClock(started.astimezone(UTC) - timedelta(seconds=30))
    sibling = await RecordStore.open(postgres_url, clock=clock, node_id="not-yet-locked-again")
    writer = await started_writer(sibling)
    log = begin_session(writer, 4, clock=clock)
    await writer.flush()
    own = await RecordStore.open(postgres_url, clock=clock, node_id="own")
    # The restart took the lock away from a process that lives.
    await sibling._nodes._lock.release()
    assert await own.close_orphans() == []
    clock.pass_secs(61)
    assert await own.close_orphans() == [log.session_id]
    await writer.close()
    await sibling.close()
    await own.close()


async def test_a_node_takes_its_lock_again_after_the_connection_broke(
    postgres_url: str, postgres_relay: TcpRelay
) -> None:
    direct = await RecordStore.open(postgres_url, clock=SystemClock(), node_id="direct")
    port = postgres_url.split(":")[-1].split("/")[0]
    through = postgres_url.replace(port, str(postgres_relay.port))
    relayed = await RecordStore.open(through, clock=SystemClock(), node_id="relayed")
    writer = await started_writer(relayed)
    begin_session(writer, 5)
    await writer.flush()
    await postgres_relay.cut()
    await postgres_relay.open()
    await relayed.renew()
    assert await direct.close_orphans() == []
    await writer.close()
    await relayed.close()
    await direct.close()


async def test_an_orphan_that_another_process_is_closing_is_left_to_it(postgres_url: str) -> None:
    store = await RecordStore.open(postgres_url, clock=SystemClock(), node_id="n")
    await store.write([], {"e" * 32: _row_of("somebody/else", store)})
    other = await asyncpg.connect(postgres_url)
    async with other.transaction():
        await other.execute("SELECT 1 FROM sessions FOR UPDATE")
        async with asyncio.timeout(10):
            assert await store.close_orphans() == []
    await other.close()
    assert await store.close_orphans() == ["e" * 32]
    await store.close()


@pytest.mark.parametrize("processes", [3])
async def test_processes_that_start_together_all_find_the_schema(
    store_url: str, processes: int
) -> None:
    script = """
import asyncio, sys
from antiphon.clock import SystemClock
from antiphon.records.store import RecordStore
async def main():
    store = await RecordStore.open(sys.argv[1], clock=SystemClock(), node_id="n")
    print(await store.close_orphans())
    await store.close()
asyncio.run(main())
"""
    children = [
        await subprocess.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", script, store_url,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(processes)
    ]  # fmt: skip
    for child in children:
        out, errors = await child.communicate()
        assert (out.decode(), errors.decode()) == ("[]\n", "")


async def test_no_thread_and_no_lock_is_left_after_closing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'r.db'}"
    before = set(threading.enumerate())
    store = await RecordStore.open(url, clock=SystemClock(), node_id="n")
    await asyncio.gather(*(store.list_sessions() for _ in range(8)))
    await store.close()
    left = [thread for thread in threading.enumerate() if thread not in before]
    # asyncio's own pool of worker threads stays for the next `to_thread`.
    own = [thread for thread in left if not thread.name.startswith("asyncio")]
    await asyncio.to_thread(lambda: [thread.join(10) for thread in own])
    assert [thread.name for thread in own if thread.is_alive()] == []
    with (tmp_path / "r.db.lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
