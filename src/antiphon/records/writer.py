"""Events from live sessions to the store, batched, off the audio path.

Taking an event appends to a queue and never waits. One task commits the queue in order, in batches;
while the database cannot be reached it tries again and nothing is lost. What the database refuses
for good is left out by itself, so that one bad event never holds up another session's.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy.exc import DataError, IntegrityError

from antiphon.domain import events as facts
from antiphon.domain.events import Event, EventBody
from antiphon.domain.session import SessionState
from antiphon.event_log import EventLog
from antiphon.records.store import RecordStore

log = logging.getLogger(__name__)

MAX_PENDING = 200_000
"""Events kept while the database cannot be reached. Beyond it the newest are dropped and counted,
since a session's beginning says more than its middle; starts, ends and the like are always kept."""

RETRY_SECS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
RENEW_SECS = 20.0
CLOSE_SECS = 10.0
"""Longest wait for the last commit at the end of the process."""

Changes = dict[str, Any]


def _started(event: Event, body: facts.SessionStarted) -> Changes:
    return {
        "agent": body.agent,
        "transport": body.transport,
        "room": body.room,
        "language": body.language,
        "services": body.services,
        "state": SessionState.CONNECTING.value,
        "started_at": event.at,
    }


def _joined(_: Event, body: facts.ParticipantJoined) -> Changes:
    return {"remote": body.remote, "state": SessionState.ACTIVE.value}


def _ended(event: Event, body: facts.SessionEnded) -> Changes:
    return {
        "state": SessionState.ENDED.value,
        "ended_at": event.at,
        "end_reason": body.reason,
        "duration_ms": body.duration_ms,
    }


_CHANGES: Mapping[type[EventBody], Callable[[Event, Any], Changes]] = {
    facts.SessionStarted: _started,
    facts.ParticipantJoined: _joined,
    facts.SessionParked: lambda *_: {"state": SessionState.PARKED.value},
    facts.SessionResumed: lambda *_: {"state": SessionState.ACTIVE.value},
    facts.Configured: lambda _, body: {"room": body.room} if body.room else {},
    facts.SessionEnded: _ended,
}

_COUNTED: Mapping[type[EventBody], str] = {
    facts.TurnStarted: "turns",
    facts.Interrupted: "interruptions",
    facts.ErrorOccurred: "errors",
}


class _Pending(NamedTuple):
    event: Event
    change: Changes
    """Of the session's row; absolute values, so that writing twice does no harm."""


class EventWriter:
    """Commits the events of all sessions of the process. Call `start` before the first session.

    Figures of its own are plain attributes: `committed`, `dropped` (over `MAX_PENDING`), `rejected`
    (refused by the database), `failures` (of commits that were tried again) and
    `last_commit_lag_ms`, the age of the oldest event of the last commit.

    Args:
        store: Where to.
        commit_interval_s: Longest wait of an event before its commit begins, s.
        max_batch: Events of one transaction; as many begin one at once. Their rows are
            made on the event loop, so it bounds how long that is kept from audio.
        max_pending: Bound of the queue, see `MAX_PENDING`.
    """

    def __init__(
        self,
        store: RecordStore,
        *,
        commit_interval_s: float = 0.25,
        max_batch: int = 200,
        max_pending: int = MAX_PENDING,
    ):
        self._store = store
        self._interval = commit_interval_s
        self._max_batch = max_batch
        self._max_pending = max_pending
        self._queue: deque[_Pending] = deque()
        self._counts: dict[str, dict[str, int]] = {}
        self._taken = 0
        self._settled = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.committed = 0
        self.dropped = 0
        self.rejected = 0
        self.failures = 0
        self.last_commit_lag_ms = 0.0

    @property
    def pending(self) -> int:
        """Events not yet committed."""
        return len(self._queue)

    def attach(self, event_log: EventLog) -> None:
        """Store a session's events from now on; its first is to be `SessionStarted`."""
        event_log.add_sink(self._take)

    def _take(self, event: Event) -> None:
        if event.body.transient:
            return
        change = self._change(event)
        if len(self._queue) >= self._max_pending and type(event.body) not in _CHANGES:
            if not self.dropped:
                log.error(
                    "%d events wait for the database; more are dropped until it answers",
                    len(self._queue),
                )
            self.dropped += 1
            return
        self._queue.append(_Pending(event, change))
        self._taken += 1
        self._wake.set()
        if len(self._queue) >= self._max_batch:
            self._hurry.set()

    def _change(self, event: Event) -> Changes:
        """What an event changes in its session's row."""
        kind = type(event.body)
        made = _CHANGES.get(kind)
        change = made(event, event.body) if made else {}
        name = _COUNTED.get(kind)
        if name is not None:
            counts = self._counts.setdefault(event.session_id, {})
            change[name] = counts[name] = counts.get(name, 0) + 1
        if kind is facts.SessionEnded:
            self._counts.pop(event.session_id, None)
        return change

    async def start(self) -> None:
        """Begin to commit, and to renew this process's place among the nodes."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run(), name="event-writer"),
            loop.create_task(self._renew(), name="node-renewal"),
        ]

    async def flush(self) -> None:
        """Wait until everything taken so far is committed. Cancelling is safe.

        It waits as long as the database cannot be reached.
        """
        if not self._tasks or self._settled >= self._taken:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((self._taken, waiter))
        self._hurry.set()
        await waiter

    async def close(self, timeout_secs: float = CLOSE_SECS) -> None:
        """Commit what is left, then stop.

        Args:
            timeout_secs: Longest wait for the database; what is left then is lost, and logged.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_secs):
                await self.flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._queue:
            log.error("the database does not answer: %d events are lost", self.pending)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await self._pause()
            batch = [self._queue[at] for at in range(min(len(self._queue), self._max_batch))]
            await self._commit(batch)
            self.last_commit_lag_ms = _age_ms(batch, self._store)
            for _ in batch:
                self._queue.popleft()
            self._settled += len(batch)
            self._tell_waiters()
            if not self._queue:
                self._wake.clear()

    async def _pause(self) -> None:
        """Let a batch gather, unless it is full or somebody waits for it."""
        try:
            async with asyncio.timeout(self._interval):
                await self._hurry.wait()
        except TimeoutError:
            return

    def _tell_waiters(self) -> None:
        waiting = []
        for target, waiter in self._waiters:
            if target > self._settled:
                waiting.append((target, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = waiting
        if not waiting and len(self._queue) < self._max_batch:
            self._hurry.clear()

    async def _commit(self, batch: Sequence[_Pending]) -> None:
        """Commit a batch, however long it takes; halve it when a part of it is refused."""
        attempt = 0
        while True:
            try:
                await self._store.write([pending.event for pending in batch], _merged(batch))
            except Exception as error:  # noqa: BLE001 - the writer outlives whatever a driver raises
                if _is_refusal(error):
                    await self._commit_parts(batch, error)
                    return
                self.failures += 1
                if attempt == 0:
                    log.warning("events not committed, trying again: %r", error)
                await asyncio.sleep(RETRY_SECS[min(attempt, len(RETRY_SECS) - 1)])
                attempt += 1
            else:
                self.committed += len(batch)
                if attempt:
                    log.warning("the database takes events again, %d wait", self.pending)
                return

    async def _commit_parts(self, batch: Sequence[_Pending], error: Exception) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
            return
        self.rejected += 1
        event = batch[0].event
        log.error(
            "session %s: event %d (%s) cannot be stored: %r",
            event.session_id,
            event.seq,
            event.type.value,
            error,
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECS)
            try:
                await self._store.renew()
                crashed = await self._store.close_orphans()
            except Exception as error:  # noqa: BLE001 - a node that stops renewing counts as dead
                log.warning("this process's place among the nodes is not renewed: %r", error)
            else:
                if crashed:
                    log.warning("closed %d sessions of a process that died", len(crashed))


def _merged(batch: Sequence[_Pending]) -> dict[str, Changes]:
    changes: dict[str, Changes] = {}
    for event, change in batch:
        if change:
            changes.setdefault(event.session_id, {}).update(change)
    return changes


def _age_ms(batch: Sequence[_Pending], store: RecordStore) -> float:
    age = store.clock.utc_now() - batch[0].event.at
    return max(0.0, age.total_seconds() * 1000)


def _is_refusal(error: BaseException) -> bool:
    """Whether the database will never take this, however often it is asked.

    True of values that cannot be bound, of data exceptions and of broken constraints (SQLSTATE
    classes 22 and 23, https://www.postgresql.org/docs/current/errcodes-appendix.html).
    """
    orig = getattr(error, "orig", None)
    state = str(getattr(orig, "sqlstate", None) or "")
    if isinstance(error, IntegrityError | DataError) or state[:2] in ("22", "23"):
        return True
    causes = (error, orig, getattr(orig, "__cause__", None))
    return any(isinstance(cause, ValueError | TypeError | OverflowError) for cause in causes)
