"""The writer: what it does when the database is slow, away, or refuses something."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from antiphon.clock import SystemClock
from antiphon.domain import events as facts
from antiphon.domain.events import Event
from antiphon.records import database
from antiphon.records.store import RecordStore
from antiphon.records.writer import EventWriter
from support.records import SetClock, TcpRelay, begin_session, started_writer


class ScriptedStore:
    """A store that answers each write as its script says, and then as it should."""

    def __init__(self, *script: Exception | None) -> None:
        self.clock = SetClock()
        self.script = list(script)
        self.written: list[Event] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.transactions = 0
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.poison = -1
        """Number of an event that is always refused."""

    async def write(self, new_events: list[Event], changes: dict[str, dict[str, Any]]) -> None:
        self.asked.set()
        await self.open.wait()
        answer = self.script.pop(0) if self.script else None
        if answer is not None:
            raise answer
        if any(event.seq == self.poison for event in new_events):
            raise IntegrityError("INSERT", {}, Exception("refused"))
        self.transactions += 1
        self.written += new_events
        for session_id, values in changes.items():
            self.rows.setdefault(session_id, {}).update(values)

    async def renew(self) -> None: ...

    async def close_orphans(self) -> list[str]:
        return []


def _seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


async def test_events_are_committed_by_themselves_and_in_batches() -> None:
    store = ScriptedStore()
    writer = await started_writer(store, commit_interval_s=0.05)  # type: ignore[arg-type]
    log = begin_session(writer, 1)
    for _ in range(20):
        log.append(facts.Dtmf(digit="1"))
    await store.asked.wait()
    await writer.flush()
    assert _seqs(store.written) == list(range(1, 22))
    assert store.transactions == 1
    assert (writer.committed, writer.pending, writer.failures) == (21, 0, 0)
    await writer.close()


async def test_a_full_batch_does_not_wait_for_the_interval() -> None:
    store = ScriptedStore()
    writer = await started_writer(store, commit_interval_s=3600, max_batch=10)  # type: ignore[arg-type]
    log = begin_session(writer, 1)
    for _ in range(9):
        log.append(facts.Dtmf(digit="1"))
    async with asyncio.timeout(10):
        await store.asked.wait()
    await writer.close()
    assert len(store.written) == 10


async def test_flushing_waits_for_what_was_taken_and_not_for_what_comes_after() -> None:
    store = ScriptedStore()
    writer = await started_writer(store, max_batch=4)  # type: ignore[arg-type]
    log = begin_session(writer, 1)
    stop = asyncio.Event()

    async def talk() -> None:
        while not stop.is_set():
            log.append(facts.Dtmf(digit="1"))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk())
        async with asyncio.timeout(10):
            for _ in range(5):
                last = log.history[-1].seq
                await writer.flush()
                assert store.written[-1].seq >= last
        stop.set()
    await writer.close()


async def test_a_flush_that_is_cancelled_harms_no_other() -> None:
    store = ScriptedStore()
    store.open.clear()
    writer = await started_writer(store)  # type: ignore[arg-type]
    begin_session(writer, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await writer.flush()
    store.open.set()
    await writer.flush()
    assert writer.pending == 0
    await writer.close()


async def test_nothing_is_lost_or_reordered_while_the_database_is_away() -> None:
    store = ScriptedStore(OSError("gone"), RuntimeError("a driver's surprise"))
    writer = await started_writer(store)  # type: ignore[arg-type]
    log = begin_session(writer, 1)
    await store.asked.wait()
    for _ in range(50):
        log.append(facts.Dtmf(digit="1"))
    await writer.flush()
    assert _seqs(store.written) == list(range(1, 52))
    assert writer.failures == 2
    await writer.close()


async def test_what_the_database_refuses_is_left_out_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = ScriptedStore()
    store.poison = 17
    writer = await started_writer(store)  # type: ignore[arg-type]
    log = begin_session(writer, 1)
    for _ in range(30):
        log.append(facts.Dtmf(digit="1"))
    await writer.close()
    assert _seqs(store.written) == [seq for seq in range(1, 32) if seq != 17]
    assert (writer.committed, writer.rejected) == (30, 1)
    assert "event 17 (dtmf) cannot be stored" in caplog.text


async def test_over_the_bound_lifecycle_is_kept_and_the_rest_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = ScriptedStore()
    writer = EventWriter(store, max_pending=5)  # type: ignore[arg-type]
    log = begin_session(writer, 1)
    for _ in range(10):
        log.append(facts.Dtmf(digit="1"))
    log.append(facts.SessionEnded(reason="idle", duration_ms=5))
    assert (writer.dropped, writer.pending) == (6, 6)
    await writer.start()
    await writer.close()
    assert store.rows[log.session_id]["state"] == "ended"
    assert _seqs(store.written) == [1, 2, 3, 4, 5, 12]
    assert caplog.text.count("are dropped") == 1


async def test_closing_gives_up_on_a_database_that_never_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = ScriptedStore()
    store.open.clear()
    writer = await started_writer(store)  # type: ignore[arg-type]
    begin_session(writer, 1)
    await writer.close(timeout_secs=0.01)
    assert "1 events are lost" in caplog.text


async def test_the_age_of_the_oldest_event_of_a_commit_is_its_lag() -> None:
    store = ScriptedStore()
    writer = EventWriter(store, commit_interval_s=0)  # type: ignore[arg-type]
    begin_session(writer, 1, clock=SetClock(store.clock.now))
    store.clock.pass_secs(0.125)
    await writer.start()
    await writer.flush()
    assert writer.last_commit_lag_ms == 125
    await writer.close()


async def test_a_sessions_row_follows_its_events(store: RecordStore) -> None:
    writer = await started_writer(store)
    log = begin_session(writer, 1)
    steps: list[tuple[facts.EventBody, dict[str, Any]]] = [
        (facts.Dtmf(digit="1"), {"state": "connecting", "room": "room-1"}),
        (
            facts.ParticipantJoined(participant="p", transport="t", remote="10.0.0.1:9"),
            {"state": "active", "remote": "10.0.0.1:9"},
        ),
        (facts.Configured(room="named later"), {"room": "named later"}),
        (facts.Configured(room=""), {"room": "named later"}),
        (facts.TurnStarted(turn=1, role="user"), {"turns": 1}),
        (facts.TurnStarted(turn=2, role="agent"), {"turns": 2}),
        (facts.Interrupted(turn=2), {"interruptions": 1}),
        (facts.ErrorOccurred(code="c", message="m"), {"errors": 1, "turns": 2}),
        (facts.SessionParked(wait_ms=1), {"state": "parked"}),
        (facts.SessionResumed(participant="p", parked_ms=1), {"state": "active"}),
        (
            facts.SessionEnded(reason="idle", duration_ms=99),
            {"state": "ended", "end_reason": "idle", "duration_ms": 99},
        ),
    ]
    for body, expected in steps:
        log.append(body)
        await writer.flush()
        record = await store.get_session(log.session_id)
        assert {name: getattr(record, name) for name in expected} == expected, body
    await writer.close()


async def test_a_peers_text_never_keeps_another_session_from_being_stored(
    store: RecordStore,
) -> None:
    writer = await started_writer(store)
    hostile = "\0\ud800" + "r" * 5000
    first = begin_session(writer, 1, room=hostile, agent=hostile, services={hostile: hostile})
    first.append(facts.ParticipantJoined(participant=hostile, transport="t", remote=hostile))
    first.append(facts.TranscriptFinal(turn=1, text=hostile, language=hostile))
    first.append(facts.SessionEnded(reason=hostile, duration_ms=2**70))
    second = begin_session(writer, 2)
    await writer.close()
    assert (writer.rejected, writer.failures) == (0, 0)
    record = await store.get_session(first.session_id)
    assert record is not None
    assert record.room == "\ufffd\ufffd" + "r" * 298
    assert record.duration_ms == 2**63 - 1
    found = await store.get_events(first.session_id)
    assert found[0].data()["room"] == "\0\ufffd" + "r" * 5000
    assert await store.exists(second.session_id)


async def test_events_of_a_deleted_session_are_refused_and_the_rest_goes_on(
    store: RecordStore,
) -> None:
    writer = await started_writer(store)
    deleted, other = begin_session(writer, 1), begin_session(writer, 2)
    await writer.flush()
    await store.delete_session(deleted.session_id)
    deleted.append(facts.Dtmf(digit="1"))
    other.append(facts.Dtmf(digit="2"))
    await writer.close()
    assert writer.rejected == 1
    assert _seqs(await store.get_events(other.session_id)) == [1, 2]
    assert not await store.exists(deleted.session_id)


async def test_a_locked_sqlite_file_only_delays_the_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 20)
    path = tmp_path / "records.db"
    store = await RecordStore.open(f"sqlite:///{path}", clock=SystemClock(), node_id="n")
    writer = await started_writer(store)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        log = begin_session(writer, 1)
        while not writer.failures:
            await asyncio.sleep(0.01)
        assert (await store.list_sessions()).items == []
        log.append(facts.Dtmf(digit="1"))
        other.execute("ROLLBACK")
    finally:
        other.close()
    await writer.close()
    assert _seqs(await store.get_events(log.session_id)) == [1, 2]
    await store.close()


async def test_a_lost_connection_to_postgresql_only_delays_the_events(
    postgres_url: str, postgres_port: int, postgres_relay: TcpRelay
) -> None:
    url = postgres_url.replace(str(postgres_port), str(postgres_relay.port))
    store = await RecordStore.open(url, clock=SystemClock(), node_id="n")
    writer = await started_writer(store)
    log = begin_session(writer, 1)
    await writer.flush()
    await postgres_relay.cut()
    for _ in range(20):
        log.append(facts.Dtmf(digit="1"))
    while not writer.failures:
        await asyncio.sleep(0.01)
    await postgres_relay.open()
    await writer.flush()
    assert _seqs(await store.get_events(log.session_id)) == list(range(1, 22))
    await writer.close()
    await store.close()
