"""The event log: numbering, readers that never hold up the call, and its end."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from antiphon import event_log
from antiphon.domain.events import Dtmf, Event
from antiphon.event_log import EventLog, EventReader, ReaderOverflow

START = datetime(2025, 12, 3, 13, tzinfo=UTC)


class HandClock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.secs = 1000.0

    def utc_now(self) -> datetime:
        return START + timedelta(seconds=self.secs - 1000.0)

    def monotonic(self) -> float:
        return self.secs


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def log(clock: HandClock) -> EventLog:
    return EventLog("s", clock)


def press(log: EventLog, *digits: str) -> list[Event]:
    return [log.append(Dtmf(digit=digit)) for digit in digits]


def digits(events: list[Event]) -> str:
    return "".join(event.body.digit for event in events if isinstance(event.body, Dtmf))


async def rest_of(reader: EventReader) -> list[Event]:
    with anyio.fail_after(5):
        return [event async for event in reader]


def test_events_are_numbered_from_one_and_stamped(log: EventLog, clock: HandClock) -> None:
    press(log, "1")
    clock.secs += 1.25
    (event,) = press(log, "2")
    assert (event.session_id, event.seq, event.offset_ms) == ("s", 2, 1250)
    assert event.at == START + timedelta(seconds=1.25)


async def test_a_reader_gets_what_is_appended_from_now_on(log: EventLog) -> None:
    press(log, "1")
    reader = log.read()
    press(log, "2", "3")
    log.close()
    assert digits(await rest_of(reader)) == "23"


async def test_a_reader_from_the_start_gets_history_and_future_in_order(log: EventLog) -> None:
    press(log, "1", "2")
    reader = log.read(from_start=True)
    press(log, "3")
    log.close()
    events = await rest_of(reader)
    assert [event.seq for event in events] == [1, 2, 3]


async def test_a_waiting_reader_wakes(log: EventLog) -> None:
    got: list[Event] = []

    async def follow() -> None:
        got.extend([event async for event in log.read()])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            press(log, "1")
            await anyio.wait_all_tasks_blocked()
            assert digits(got) == ""  # still collecting: the log is open
            press(log, "2")
            log.close()
    assert digits(got) == "12"


async def test_a_reader_that_falls_behind_is_closed_and_no_other_notices(log: EventLog) -> None:
    slow, quick = log.read(limit=2), log.read()
    press(log, "1", "2", "3", "4")
    log.close()
    with anyio.fail_after(5):
        assert (await anext(slow)).seq == 1
        assert (await anext(slow)).seq == 2
        with pytest.raises(ReaderOverflow, match="2 events"):
            await anext(slow)
    assert digits(await rest_of(quick)) == "1234"


async def test_history_does_not_count_against_a_readers_limit(log: EventLog) -> None:
    press(log, *"12345")
    reader = log.read(from_start=True, limit=2)
    log.close()
    assert digits(await rest_of(reader)) == "12345"


async def test_reading_a_closed_log_gives_its_history_and_ends(log: EventLog) -> None:
    press(log, "1")
    log.close()
    assert log.closed
    assert digits(await rest_of(log.read(from_start=True))) == "1"
    assert await rest_of(log.read()) == []


async def test_a_closed_reader_keeps_what_it_had_and_takes_no_more(log: EventLog) -> None:
    with log.read() as reader:
        press(log, "1")
    press(log, "2")
    assert digits(await rest_of(reader)) == "1"


def test_a_batch_reader_drains_without_waiting(log: EventLog) -> None:
    reader = log.read()
    assert reader.drain() == []
    press(log, "1", "2")
    assert digits(reader.drain()) == "12"
    assert reader.drain() == []


async def test_draining_does_not_lose_the_next_event(log: EventLog) -> None:
    reader = log.read()
    press(log, "1")
    reader.drain()
    press(log, "2")
    with anyio.fail_after(5):
        assert digits([await anext(reader)]) == "2"


def test_sinks_are_called_at_once_in_order(log: EventLog) -> None:
    seen: list[Event] = []
    log.add_sink(seen.append)
    press(log, "1", "2")
    assert digits(seen) == "12"


def test_after_the_end_nothing_is_appended(log: EventLog) -> None:
    seen: list[Event] = []
    log.add_sink(seen.append)
    press(log, "1")
    log.close()
    press(log, "2")
    log.close()
    assert digits(seen) == digits(log.history) == "1"


def test_history_is_bounded(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "HISTORY_EVENTS", 3)
    log = EventLog("s", clock)
    press(log, *"12345")
    assert digits(log.history) == "345"
    assert [event.seq for event in log.history] == [3, 4, 5]
