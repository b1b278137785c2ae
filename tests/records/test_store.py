"""What the store keeps, and what it finds again; on SQLite and on PostgreSQL."""

import json
import os
import signal
import sys
from asyncio import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from antiphon.clock import SystemClock
from antiphon.domain import events as facts
from antiphon.domain.events import Event, EventBody, body_from
from antiphon.errors import ConfigurationError, NotFound
from antiphon.event_log import EventLog
from antiphon.records.exports import transcript
from antiphon.records.store import RecordStore, event_row
from antiphon.records.writer import EventWriter
from support.facts import any_body

CLOCK = SystemClock()


def _session(store: RecordStore, writer: EventWriter, number: int, **started: str) -> EventLog:
    log = EventLog(f"{number:032x}", CLOCK)
    writer.attach(log)
    given_ = {"agent": "shop", "transport": "browser", "room": f"room-{number}", "language": "en"}
    log.append(facts.SessionStarted(**{**given_, **started}))
    return log


async def _writer(store: RecordStore) -> EventWriter:
    writer = EventWriter(store, commit_interval_s=0.01)
    await writer.start()
    return writer


async def test_a_session_is_found_again_with_all_that_happened(store: RecordStore) -> None:
    writer = await _writer(store)
    log = _session(store, writer, 1)
    log.append(facts.ParticipantJoined(participant="p", transport="browser", remote="1.2.3.4:5"))
    log.append(facts.TurnStarted(turn=1, role="user"))
    log.append(facts.TranscriptInterim(turn=1, text="what", language="en"))
    log.append(facts.TranscriptFinal(turn=1, text="what is in my cart", language="en"))
    log.append(facts.TurnEnded(turn=1, role="user", text="what is in my cart"))
    log.append(facts.SessionEnded(reason="caller_hangup", duration_ms=1234))
    await writer.close()

    record = await store.get_session(log.session_id)
    assert record is not None
    assert (record.state, record.end_reason, record.duration_ms) == ("ended", "caller_hangup", 1234)
    assert (record.remote, record.turns) == ("1.2.3.4:5", 1)
    assert record.started_at.tzinfo is not None
    stored = await store.get_events(log.session_id)
    kept = [event for event in log.history if not event.body.transient]
    assert [(e.seq, e.body) for e in stored] == [(e.seq, e.body) for e in kept]
    assert "what is in my cart" in await transcript(store, log.session_id, "text")
    assert (await transcript(store, log.session_id, "vtt")).startswith("WEBVTT")
    assert json.loads(await transcript(store, log.session_id, "json"))


async def test_lists_are_filtered_and_paged_newest_first(store: RecordStore) -> None:
    writer = await _writer(store)
    for number in range(1, 8):
        log = _session(store, writer, number, transport="pcm" if number % 2 else "browser")
        if number == 4:
            log.append(facts.TranscriptFinal(turn=1, text="Grüße, 100% sicher", language="de"))
            log.append(facts.SessionEnded(reason="idle", duration_ms=1))
    await writer.close()

    first = await store.list_sessions(limit=3)
    second = await store.list_sessions(limit=3, before=first.next_cursor)
    third = await store.list_sessions(limit=3, before=second.next_cursor)
    ids = [item.id for page in (first, second, third) for item in page.items]
    assert ids == [f"{n:032x}" for n in range(7, 0, -1)]
    assert third.next_cursor is None
    assert len((await store.list_sessions(transport="pcm")).items) == 4
    assert [s.room for s in (await store.list_sessions(end_reason="idle")).items] == ["room-4"]
    assert [s.room for s in (await store.list_sessions(text="grüße, 100%")).items] == ["room-4"]
    assert (await store.list_sessions(text="_")).items == []
    later = datetime.now(UTC) + timedelta(hours=1)
    assert (await store.list_sessions(since=later)).items == []
    figures = await store.statistics(datetime.now(UTC) - timedelta(hours=1))
    assert (figures["sessions"], figures["active"]) == (7, 6)
    assert figures["by_transport"] == {"pcm": 4, "browser": 3}


async def test_events_written_twice_are_stored_once(store: RecordStore) -> None:
    writer = await _writer(store)
    log = _session(store, writer, 1)
    await writer.flush()
    event = log.append(facts.Dtmf(digit="5"))
    await writer.flush()
    await store.write([event], {})
    await writer.close()
    assert len(await store.get_events(log.session_id)) == 2


async def test_orphans_of_dead_nodes_are_closed_as_crashed(store_url: str) -> None:
    dead = await RecordStore.open(store_url, clock=CLOCK, node_id="node-a")
    writer = await _writer(dead)
    log = _session(dead, writer, 77)
    log.append(facts.Dtmf(digit="1"))
    await writer.flush()
    await writer.close()
    await dead.close()

    again = await RecordStore.open(store_url, clock=CLOCK, node_id="node-a")
    try:
        assert await again.close_orphans() == [log.session_id]
        assert await again.close_orphans() == []
        record = await again.get_session(log.session_id)
        assert record is not None
        assert (record.state, record.end_reason) == ("ended", "crashed")
        last = (await again.get_events(log.session_id))[-1]
        assert isinstance(last.body, facts.SessionEnded)
        assert last.seq == 3
    finally:
        await again.delete_session(log.session_id)
        await again.close()


async def test_a_live_siblings_sessions_are_left_alone(postgres_url: str) -> None:
    sibling = await RecordStore.open(postgres_url, clock=CLOCK, node_id="sibling")
    writer = await _writer(sibling)
    log = _session(sibling, writer, 78)
    await writer.flush()
    own = await RecordStore.open(postgres_url, clock=CLOCK, node_id="own")
    assert await own.close_orphans() == []
    await own.close()
    await writer.close()
    await sibling.delete_session(log.session_id)
    await sibling.close()


async def test_keys_are_found_by_their_text_until_they_are_revoked(store: RecordStore) -> None:
    key_id, text = await store.create_key("console")
    found = await store.find_key(text)
    assert found is not None
    assert (found.id, found.name) == (key_id, "console")
    assert text.startswith(found.prefix)
    assert await store.find_key(text + "x") is None
    listed = [key for key in await store.list_keys() if key.id == key_id]
    assert listed[0].last_used_at is not None
    assert await store.revoke_key(key_id)
    assert not await store.revoke_key(key_id)
    assert await store.find_key(text) is None


async def test_a_transcript_of_nothing_is_not_found(store: RecordStore) -> None:
    with pytest.raises(NotFound):
        await transcript(store, "nothing", "json")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("not a url", "not a database URL"),
        ("mysql://host/name", "use sqlite"),
        ("sqlite:////proc/nowhere/x.db", "/proc/nowhere"),
        ("postgresql://nobody@127.0.0.1:1/none", "127.0.0.1"),
    ],
)
async def test_a_database_that_cannot_be_opened_is_said_plainly(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        await RecordStore.open(url, clock=CLOCK, node_id="n")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(body=any_body)
def test_any_body_survives_being_a_row(body: EventBody) -> None:
    event = Event("s", 1, datetime.now(UTC), 5, body)
    row = event_row(event)
    again = Event("s", 1, event.at, 5, body_from(row["type"], json.loads(row["data"])))
    # What JSON cannot hold (NaN, objects, lone surrogates) is replaced once, then stays.
    assert event_row(again) == row
    assert again.type is event.type


_CHILD = """
import asyncio, sys
from antiphon.clock import SystemClock
from antiphon.domain import events as facts
from antiphon.event_log import EventLog
from antiphon.records.store import RecordStore
from antiphon.records.writer import EventWriter
async def main():
    store = await RecordStore.open(sys.argv[1], clock=SystemClock(), node_id="child")
    writer = EventWriter(store, commit_interval_s=0.01)
    await writer.start()
    log = EventLog("f" * 32, SystemClock())
    writer.attach(log)
    log.append(facts.SessionStarted(agent="a", transport="t", room="r", language="en"))
    while True:
        event = log.append(facts.Dtmf(digit="1"))
        await writer.flush()
        print(event.seq, flush=True)
asyncio.run(main())
"""


async def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    child = await subprocess.create_subprocess_exec(
        sys.executable, "-c", _CHILD, url, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    for _ in range(20):
        committed = int(await child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    rest = await child.stdout.read()
    await child.wait()
    committed = max([committed, *(int(line) for line in rest.split())])
    store = await RecordStore.open(url, clock=CLOCK, node_id="parent")
    assert await store.close_orphans() == ["f" * 32]
    seqs = [event.seq for event in await store.get_events("f" * 32)]
    await store.close()
    assert seqs[:committed] == list(range(1, committed + 1))
