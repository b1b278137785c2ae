"""What is asked of the store: lists, search, figures, keys, round trips."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.clock import SystemClock
from antiphon.domain import events as facts
from antiphon.domain.events import EventBody
from antiphon.event_log import EventLog
from antiphon.protocols.framing import encode
from antiphon.records import keys
from antiphon.records.database import writing
from antiphon.records.exports import transcript
from antiphon.records.schema import api_keys, events, sessions
from antiphon.records.statistics import nearest_rank
from antiphon.records.store import RecordStore
from support.facts import any_body
from support.records import SetClock, begin_session, started_writer

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


async def _said(store: RecordStore, *texts: str) -> list[EventLog]:
    """A session for each text, in which the caller said it."""
    writer = await started_writer(store)
    logs = []
    for number, text in enumerate(texts, 1):
        log = begin_session(writer, number)
        log.append(facts.LlmEnded(turn=1, text="thought, not said"))
        log.append(facts.TranscriptFinal(turn=1, text=text, language="en"))
        logs.append(log)
    await writer.close()
    return logs


async def _found(store: RecordStore, text: str) -> list[int]:
    return sorted(int(item.id, 16) for item in (await store.list_sessions(text=text)).items)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("CAFÉ", [1]),
        ("cafe\N{COMBINING ACUTE ACCENT}", [1]),
        ("strasse", [2]),
        ("50%", [3]),
        ("50_", []),
        ('"quoted"', [4]),
        ("back\\slash", [4]),
        ("咖啡", [5]),
        ("\N{FULLWIDTH DIGIT FIVE}0%", [3]),
        ("привет", [6]),
        ("a\0b", []),
        # What the events' JSON has beside what was said:
        ("text", []),
        ("turn", []),
        ("language", []),
        ("thought", []),
    ],
)
async def test_search_finds_what_was_said_in_any_case_and_nothing_else(
    store: RecordStore, asked: str, found: list[int]
) -> None:
    await _said(
        store, "Un café, s'il vous plaît", "Hauptstraße", "50% off", '"Quoted" back\\slash',
        "我要咖啡", "ПРИВЕТ",
    )  # fmt: skip
    assert await _found(store, asked) == found


async def test_what_the_agent_was_heard_to_say_is_found(store: RecordStore) -> None:
    writer = await started_writer(store)
    log = begin_session(writer, 1)
    log.append(facts.TurnEnded(turn=1, role="agent", text="Your order is confirmed"))
    await writer.close()
    assert await _found(store, "ORDER IS") == [1]


async def test_the_session_that_lives_in_a_room_is_found(store: RecordStore) -> None:
    writer = await started_writer(store)
    ended = begin_session(writer, 1, room="lobby")
    ended.append(facts.SessionEnded(reason="idle", duration_ms=1))
    begin_session(writer, 2, room="lobby")
    newest = begin_session(writer, 3, room="lobby")
    begin_session(writer, 4, room="elsewhere")
    await writer.close()
    found = await store.find_active_by_room("lobby")
    assert found is not None
    assert found.id == newest.session_id
    assert await store.find_active_by_room("nowhere") is None
    assert await store.exists(ended.session_id)
    assert not await store.exists("nothing")
    assert await store.delete_session(ended.session_id)
    assert not await store.delete_session(ended.session_id)
    assert not await store.exists(ended.session_id)


async def test_events_are_read_in_pages_and_by_kind(store: RecordStore) -> None:
    writer = await started_writer(store)
    log = begin_session(writer, 1)
    for turn in range(1, 11):
        log.append(facts.TurnStarted(turn=turn, role="user"))
        log.append(facts.LlmText(turn=turn, text="live readers only"))
        log.append(facts.Dtmf(digit="1"))
    await writer.close()
    kept = [event for event in log.history if not event.body.transient]
    pages: list[facts.Event] = []
    while page := await store.get_events(
        log.session_id, after_seq=pages[-1].seq if pages else 0, limit=4
    ):
        assert len(page) <= 4
        pages += page
    assert pages == kept
    keys_pressed = await store.get_events(log.session_id, types=["dtmf", "session_started"])
    assert [event.type.value for event in keys_pressed] == ["session_started", *["dtmf"] * 10]
    assert await store.get_events(log.session_id, types=["no such kind"]) == []
    assert await store.get_events("nothing") == []


async def test_an_event_of_a_newer_version_is_left_out(store: RecordStore) -> None:
    writer = await started_writer(store)
    log = begin_session(writer, 1)
    last = log.append(facts.Dtmf(digit="1"))
    await writer.close()
    unknown = {"session_id": log.session_id, "seq": 9, "type": "from_the_future", "at": last.at}
    async with writing(store.engine).begin() as connection:
        await connection.execute(sa.insert(events).values(**unknown, offset_ms=1, data="{}"))
        await connection.execute(
            sa.update(events)
            .where(events.c.seq == last.seq)
            .values(data=json.dumps({"digit": "1", "a field of the future": True}))
        )
    assert await store.get_events(log.session_id) == log.history


async def test_times_come_back_in_utc_whatever_zone_they_went_in(store: RecordStore) -> None:
    clock = SetClock(datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=3))))
    writer = await started_writer(store)
    log = begin_session(writer, 1, clock=clock)
    await writer.close()
    utc = datetime(2026, 2, 28, 22, 30, tzinfo=UTC)
    record = await store.get_session(log.session_id)
    [event] = await store.get_events(log.session_id)
    assert record is not None
    assert (record.started_at, record.started_at.utcoffset()) == (utc, timedelta(0))
    assert (event.at, event.at.utcoffset()) == (utc, timedelta(0))
    tokyo = timezone(timedelta(hours=9))
    second = timedelta(seconds=1)
    at = utc.astimezone(tokyo)
    assert len((await store.list_sessions(since=at, until=at + second)).items) == 1
    assert (await store.list_sessions(until=at)).items == []
    assert (await store.list_sessions(since=at + second)).items == []
    first_moment = datetime.min.replace(tzinfo=tokyo)
    assert len((await store.list_sessions(since=first_moment)).items) == 1


async def test_figures_are_of_the_period_and_percentiles_of_measured_answers(
    store: RecordStore,
) -> None:
    writer = await started_writer(store)
    old = SetClock(LONG_AGO - timedelta(days=1))
    before = begin_session(writer, 1, clock=old)
    before.append(facts.TurnLatency(turn=1, voice_to_voice_ms=99_999))
    before.append(facts.SessionEnded(reason="idle", duration_ms=1))
    log = begin_session(writer, 2, agent="other")
    for ms in range(100, 0, -1):
        log.append(
            facts.TurnLatency(
                turn=1, voice_to_voice_ms=ms * 10, llm_first_token_ms=ms if ms > 90 else None
            )
        )
    log.append(facts.Interrupted(turn=1))
    log.append(facts.ErrorOccurred(code="c", message="m"))
    log.append(facts.SessionEnded(reason="caller_hangup", duration_ms=1))
    begin_session(writer, 3, transport="pcm")
    await writer.close()
    assert await store.statistics(LONG_AGO) == {
        "sessions": 2,
        "active": 1,
        "interruptions": 1,
        "errors": 1,
        "by_end_reason": {"caller_hangup": 1},
        "by_transport": {"browser": 1, "pcm": 1},
        "by_agent": {"other": 1, "shop": 1},
        "voice_to_voice_ms": {"count": 100, "p50": 500, "p95": 950, "p99": 990},
    }
    parts = await store.latency(LONG_AGO)
    assert (parts["llm_first_token_ms"].count, parts["llm_first_token_ms"].p50) == (10, 95)
    assert parts["end_of_turn_ms"].p99 is None


@pytest.mark.parametrize(
    ("count", "percent", "index"),
    [(1, 50, 0), (1, 99, 0), (2, 50, 0), (3, 50, 1), (100, 95, 94), (101, 95, 95), (1000, 99, 989)],
)
def test_percentiles_are_by_nearest_rank(count: int, percent: int, index: int) -> None:
    assert nearest_rank(count, percent) == index


async def test_a_keys_text_is_nowhere_in_the_database(store: RecordStore) -> None:
    _, text = await store.create_key("pbx")
    async with store.engine.connect() as connection:
        rows = (await connection.execute(sa.select(api_keys))).all()
    [row] = rows
    assert len(text) == len(keys.KEY_PREFIX) + 43
    assert not any(text in str(value) for value in row)
    assert row.prefix == text[: keys.SHOWN_CHARS]
    assert len(row.hash) == 64


async def test_a_keys_use_is_noted_at_most_once_a_minute(store_url: str) -> None:
    clock = SetClock()
    store = await RecordStore.open(store_url, clock=clock, node_id="n")
    _, text = await store.create_key("pbx")
    first = clock.now
    await store.find_key(text)
    clock.pass_secs(59)
    await store.find_key(text)
    assert (await store.list_keys())[0].last_used_at == first
    clock.pass_secs(1)
    await store.find_key(text)
    assert (await store.list_keys())[0].last_used_at == clock.now
    await store.close()


@pytest.mark.parametrize("text", ["", "antiphon_", "antiphon_\0", "antiphon_\ud800", "bearer"])
async def test_rubbish_is_no_key(store: RecordStore, text: str) -> None:
    await store.create_key("pbx")
    assert await store.find_key(text) is None


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(bodies=st.lists(any_body, min_size=1, max_size=10))
async def test_any_facts_come_back_as_they_went_in(
    store: RecordStore, bodies: list[EventBody]
) -> None:
    """As far as JSON can hold them: see `antiphon.protocols.framing.encode`."""
    writer = await started_writer(store, commit_interval_s=0)
    log = begin_session(writer, 1)
    for body in bodies:
        log.append(body)
    await writer.close()
    found = await store.get_events(log.session_id)
    for form in ("text", "json", "vtt"):
        (await transcript(store, log.session_id, form)).encode()  # type: ignore[arg-type]
    await store.delete_session(log.session_id)
    kept = [event for event in log.history if not event.body.transient]
    assert (writer.rejected, writer.dropped, writer.failures) == (0, 0, 0)
    assert [(e.seq, e.at, e.offset_ms) for e in found] == [(e.seq, e.at, e.offset_ms) for e in kept]
    for event, stored in zip(kept, found, strict=True):
        assert type(stored.body) is type(event.body)
        assert _json(stored.data()) == _json(json.loads(encode(event.data())))


def _json(data: dict[str, Any]) -> str:
    # Python shows an object that is nothing else by where a copy of it happens to be.
    return re.sub(r" at 0x[0-9a-f]+", "", json.dumps(data, sort_keys=True))


async def test_transcripts_longer_than_a_page_are_whole(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.records.exports.PAGE", 7)
    writer = await started_writer(store)
    log = EventLog("1" * 32, SystemClock())
    writer.attach(log)
    log.append(facts.SessionStarted(agent="a", transport="t", room="r", language="en"))
    for turn in range(1, 31):
        log.append(facts.TurnStarted(turn=turn, role="user"))
        log.append(facts.TurnEnded(turn=turn, role="user", text=f"line {turn}"))
    await writer.close()
    entries = json.loads(await transcript(store, log.session_id, "json"))
    assert [entry["text"] for entry in entries] == [f"line {turn}" for turn in range(1, 31)]
    assert (await transcript(store, log.session_id, "text")).count("\n") == 30
    assert (await transcript(store, log.session_id, "vtt")).count(" --> ") == 30
    async with store.engine.connect() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(sessions)) == 1
