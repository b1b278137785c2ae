"""The live event log of one session: appended by the session, read by any number of readers.

Appending never waits. Each reader has a bounded queue of its own; one that falls behind is closed
(`ReaderOverflow`), so that a slow reader loses its feed and never the call's audio. One event loop
only: neither class is thread-safe.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Self

from antiphon.clock import Clock
from antiphon.domain.events import Event, EventBody

DEFAULT_READER_QUEUE = 2_000
"""Events a reader may fall behind by before it is closed."""

HISTORY_EVENTS = 10_000
"""Events kept in memory for readers that join a live session late."""


class ReaderOverflow(Exception):
    """The reader fell too far behind and was closed."""


class EventReader:
    """One reader's place in the log: an async iterator that ends when the log is closed."""

    def __init__(self, log: "EventLog", limit: int):
        self._log = log
        self._limit = limit
        self._queue: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._overflow = False

    def offer(self, event: Event) -> None:
        """Queue an event; called by the log."""
        if self._closed:
            return
        if len(self._queue) >= self._limit:
            self._overflow = True
            self.close()
            return
        self._queue.append(event)
        self._wake.set()

    def drain(self) -> list[Event]:
        """Everything queued now, without waiting (for batch readers)."""
        batch = list(self._queue)
        self._queue.clear()
        self._wake.clear()
        return batch

    def close(self) -> None:
        """Stop reading; what is queued can still be read."""
        self._closed = True
        self._wake.set()
        self._log.detach(self)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._overflow:
                raise ReaderOverflow(f"reader fell more than {self._limit} events behind")
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EventLog:
    """Numbers, stamps and fans out the events of one session."""

    def __init__(self, session_id: str, clock: Clock):
        self.session_id = session_id
        self._clock = clock
        self._started = clock.monotonic()
        self._seq = 0
        self._readers: list[EventReader] = []
        self._sinks: list[Callable[[Event], None]] = []
        self._history: deque[Event] = deque(maxlen=HISTORY_EVENTS)
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the session's last event has been appended."""
        return self._closed

    @property
    def history(self) -> list[Event]:
        """The newest events, at most `HISTORY_EVENTS`, oldest first."""
        return list(self._history)

    def add_sink(self, sink: Callable[[Event], None]) -> None:
        """Call `sink` for each event as it is appended; it must return at once and not raise."""
        self._sinks.append(sink)

    def remove_sink(self, sink: Callable[[Event], None]) -> None:
        """Call `sink` no more."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    def append(self, body: EventBody) -> Event:
        """Append a fact; returns the numbered event. After `close` it is dropped unnumbered."""
        event = Event(
            session_id=self.session_id,
            seq=self._seq + 1,
            at=self._clock.utc_now(),
            offset_ms=round((self._clock.monotonic() - self._started) * 1000),
            body=body,
        )
        if self._closed:
            return event
        self._seq += 1
        self._history.append(event)
        for sink in tuple(self._sinks):
            sink(event)
        for reader in tuple(self._readers):
            reader.offer(event)
        return event

    def read(self, *, from_start: bool = False, limit: int = DEFAULT_READER_QUEUE) -> EventReader:
        """Begin to read: from now, or from the oldest event still in memory.

        Args:
            from_start: Deliver the history first.
            limit: Events the reader may fall behind by before it is closed.
        """
        reader = EventReader(self, max(limit, len(self._history) + 1 if from_start else 0))
        if from_start:
            for event in self._history:
                reader.offer(event)
        if self._closed:
            reader.close()
        else:
            self._readers.append(reader)
        return reader

    def detach(self, reader: EventReader) -> None:
        """Forget a reader; called by `EventReader.close`."""
        if reader in self._readers:
            self._readers.remove(reader)

    def close(self) -> None:
        """No more events: every reader ends once it has read what is queued."""
        self._closed = True
        for reader in tuple(self._readers):
            reader.close()
