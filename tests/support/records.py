"""What the record store's tests share: sessions on a log, a clock to set, a connection to cut."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from antiphon.clock import Clock, SystemClock
from antiphon.domain import events as facts
from antiphon.event_log import EventLog
from antiphon.records.store import RecordStore
from antiphon.records.writer import EventWriter


class SetClock:
    """A wall clock that is set."""

    def __init__(self, at: datetime | None = None) -> None:
        self.now = at or datetime.now(UTC)

    def utc_now(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def pass_secs(self, secs: float) -> None:
        self.now += timedelta(seconds=secs)


class TcpRelay:
    """Carries connections to a port of this machine, until it is cut."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ends = {writer, far_writer}
        self._writers |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        finally:
            self._writers -= ends
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def started_writer(store: RecordStore, **options: Any) -> EventWriter:
    writer = EventWriter(store, **{"commit_interval_s": 0.01, **options})
    await writer.start()
    return writer


def begin_session(
    writer: EventWriter, number: int, *, clock: Clock | None = None, **started: Any
) -> EventLog:
    """The log of a session that has started; its id is the number."""
    log = EventLog(f"{number:032x}", clock or SystemClock())
    writer.attach(log)
    given = {"agent": "shop", "transport": "browser", "room": f"room-{number}", "language": "en"}
    log.append(facts.SessionStarted(**{**given, **started}))
    return log
