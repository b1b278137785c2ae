"""Events from live sessions to the store, batched, off the audio path."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from antiphon.domain import events as facts
from antiphon.domain.events import Event, EventBody
from antiphon.domain.session import SessionState
from antiphon.event_log import EventLog
from antiphon.protocols.framing import scrub
from antiphon.records.store import RecordStore

log = logging.getLogger(__name__)

MAX_PENDING = 200_000
"""Events kept while the database cannot be reached; beyond it the newest are dropped and counted,
since a session's beginning says more than its end."""

RETRY_SECS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
HEARTBEAT_SECS = 20.0

MAX_COLUMN_CHARS = 300

Changes = dict[str, Any]


def _column(text: str) -> str:
    """A peer's text as every database takes it: no NUL, no lone surrogate, of bounded length."""
    return scrub(text).replace("\0", "")[:MAX_COLUMN_CHARS]


def _started(event: Event, body: facts.SessionStarted) -> Changes:
    return {
        "agent": _column(body.agent),
        "transport": body.transport,
        "room": _column(body.room),
        "language": body.language,
        "services": dict(body.services),
        "state": SessionState.ACTIVE.value,
        "started_at": event.at,
    }


def _ended(event: Event, body: facts.SessionEnded) -> Changes:
    return {
        "state": SessionState.ENDED.value,
        "ended_at": event.at,
        "end_reason": body.reason,
        "duration_ms": body.duration_ms,
    }


_CHANGES: Mapping[type[EventBody], Callable[[Event, Any], Changes]] = {
    facts.SessionStarted: _started,
    facts.ParticipantJoined: lambda _, body: {"remote": _column(body.remote)},
    facts.SessionParked: lambda *_: {"state": SessionState.PARKED.value},
    facts.SessionResumed: lambda *_: {"state": SessionState.ACTIVE.value},
    facts.SessionEnded: _ended,
}


class EventWriter:
    """Commits the events of all sessions of the process.

    Args:
        store: Where to.
        commit_interval_s: Longest wait of an event before its commit begins, s.
        max_batch: Events of one transaction.
    """

    def __init__(self, store: RecordStore, *, commit_interval_s: float, max_batch: int = 500):
        self._store = store
        self._interval = commit_interval_s
        self._max_batch = max_batch
        self._queue: deque[Event] = deque()
        self._counts: dict[str, dict[str, int]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self.committed = 0
        self.dropped = 0
        self.failures = 0
        self.last_commit_lag_ms = 0.0

    @property
    def pending(self) -> int:
        """Events not yet committed."""
        return len(self._queue)

    def attach(self, event_log: EventLog) -> None:
        """Store a session's events from now on."""
        event_log.add_sink(self._take)

    def _take(self, event: Event) -> None:
        if event.body.transient:
            return
        if len(self._queue) >= MAX_PENDING:
            self.dropped += 1
            return
        self._queue.append(event)
        self._idle.clear()
        self._wake.set()

    async def start(self) -> None:
        """Begin to commit."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run(), name="event-writer"),
            loop.create_task(self._beat(), name="node-heartbeat"),
        ]

    async def flush(self) -> None:
        """Wait until everything taken so far is committed."""
        if self._tasks:
            self._hurry.set()
            await self._idle.wait()
            self._hurry.clear()

    async def close(self) -> None:
        """Commit what is left, then stop."""
        await self.flush()
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await self._pause()
            while self._queue:
                await self._commit([self._queue[i] for i in range(self._batch_size())])
            self._wake.clear()
            self._idle.set()

    def _batch_size(self) -> int:
        return min(len(self._queue), self._max_batch)

    async def _pause(self) -> None:
        """Let a batch gather, unless somebody waits for it."""
        try:
            async with asyncio.timeout(self._interval):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _commit(self, batch: list[Event]) -> None:
        changes = self._changes(batch)
        try:
            await self._write(batch, changes)
            self.committed += len(batch)
        except SQLAlchemyError as error:
            # The database is there and refuses something of the batch: keep all but that.
            log.warning("a batch was refused, writing its events one by one: %s", error)
            await self._salvage(batch, changes)
        for _ in batch:
            self._queue.popleft()
        self.last_commit_lag_ms = (self._store.now() - batch[0].at).total_seconds() * 1000
        for event in batch:
            if isinstance(event.body, facts.SessionEnded):
                self._counts.pop(event.session_id, None)

    async def _write(self, batch: list[Event], changes: Mapping[str, Changes]) -> None:
        """Write, for as long as the database cannot be reached.

        Raises:
            SQLAlchemyError: it was reached, and refused.
        """
        attempt = 0
        while True:
            try:
                return await self._store.write(batch, changes)
            except (OperationalError, InterfaceError, OSError) as error:
                self.failures += 1
                wait = RETRY_SECS[min(attempt, len(RETRY_SECS) - 1)]
                attempt += 1
                log.warning("events not committed, trying again in %.2f s: %s", wait, error)
                await asyncio.sleep(wait)

    async def _salvage(self, batch: list[Event], changes: Mapping[str, Changes]) -> None:
        for session_id, row in changes.items():
            await self._try([], {session_id: row})
        for event in batch:
            await self._try([event], {})

    async def _try(self, batch: list[Event], changes: Mapping[str, Changes]) -> None:
        try:
            await self._write(batch, changes)
            self.committed += len(batch)
        except SQLAlchemyError:
            self.dropped += len(batch)
            log.exception("not stored: %s", batch or list(changes))

    def _changes(self, batch: list[Event]) -> dict[str, Changes]:
        changes: dict[str, Changes] = {}
        for event in batch:
            row = changes.setdefault(event.session_id, {})
            change = _CHANGES.get(type(event.body))
            if change is not None:
                row.update(change(event, event.body))
            row.update(self._count(event))
        return {session_id: row for session_id, row in changes.items() if row}

    def _count(self, event: Event) -> Changes:
        counts = self._counts.setdefault(event.session_id, {})
        name = _COUNTED.get(type(event.body))
        if name is None:
            return {}
        counts[name] = counts.get(name, 0) + 1
        return {name: counts[name]}

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECS)
            try:
                await self._store.heartbeat()
            except (SQLAlchemyError, OSError) as error:
                log.warning("heartbeat not written: %s", error)


_COUNTED: Mapping[type[EventBody], str] = {
    facts.TurnStarted: "turns",
    facts.Interrupted: "interruptions",
    facts.ErrorOccurred: "errors",
}
