"""The record store: sessions, their events and API keys; each query a named method."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from antiphon.clock import Clock
from antiphon.domain.events import Event, EventType
from antiphon.domain.session import SessionState
from antiphon.errors import ConfigurationError
from antiphon.records import keys, statistics
from antiphon.records.database import open_engine, shown, writing
from antiphon.records.keys import KeyRecord
from antiphon.records.nodes import NodeRegistry
from antiphon.records.orphans import close_orphans
from antiphon.records.rows import clean, event_from, event_row, fold, session_values
from antiphon.records.schema import events, sessions
from antiphon.records.statistics import Percentiles

__all__ = ["KeyRecord", "Page", "RecordStore", "SessionRecord"]

_KNOWN_TYPES = [kind.value for kind in EventType]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as stored."""

    id: str
    agent: str
    transport: str
    room: str
    remote: str
    state: str
    language: str
    services: Mapping[str, str]
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    duration_ms: int | None
    turns: int
    interruptions: int
    errors: int


@dataclass(frozen=True, slots=True)
class Page:
    """Sessions, newest first, and the cursor of the next page."""

    items: list[SessionRecord]
    next_cursor: str | None


_RECORD_COLUMNS = [sessions.c[field.name] for field in fields(SessionRecord)]


class RecordStore:
    """Durable records in SQLite or PostgreSQL.

    `open` is for a process that runs sessions; the constructor suffices for one that only reads
    and writes records, such as a command.

    Args:
        engine: From `antiphon.records.database.open_engine`.
        clock: Source of time.
        node_id: Of this process among those of the database.
    """

    def __init__(self, engine: AsyncEngine, *, clock: Clock, node_id: str):
        self.engine = engine
        self.node_id = node_id
        self.clock = clock
        self._nodes = NodeRegistry(engine, node_id)
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    @classmethod
    async def open(cls, url: str, *, clock: Clock, node_id: str) -> Self:
        """Open the database, bring its schema up to date, and sign in as a node.

        Args:
            url: `sqlite:///file.db` or `postgresql://user@host/name`.
            clock: Source of time.
            node_id: Name of this process, e.g. `host:pid`; a random part is added, so that no two
                lives of a process are taken for one.

        Raises:
            ConfigurationError: the database cannot be opened.
        """
        engine = await open_engine(url)
        unique = f"{clean(node_id)[:180]}/{secrets.token_hex(4)}"
        store = cls(engine, clock=clock, node_id=unique)
        try:
            await store._nodes.sign_in(clock.utc_now())
        except BaseException as error:
            await store.close()
            if isinstance(error, SQLAlchemyError | OSError):
                raise ConfigurationError(
                    [f"database_url: cannot write {store.url}: {str(error) or 'it is locked'}"]
                ) from error
            raise
        return store

    @property
    def url(self) -> str:
        """The database's URL, its password hidden."""
        return shown(self.engine.url)

    async def close(self) -> None:
        """Sign out and close all connections."""
        await self._nodes.sign_out()
        await self.engine.dispose()

    # Writing.

    async def write(
        self, new_events: Sequence[Event], changes: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Store events and what they change in their sessions' rows, in one transaction.

        Args:
            new_events: In order; those stored already are skipped.
            changes: Session id to columns; a session with `agent` among them is new.
        """
        async with writing(self.engine).begin() as connection:
            for session_id, change in changes.items():
                values = session_values(change)
                if "agent" in values:
                    row = {"id": session_id, "node": self.node_id, **values}
                    await connection.execute(
                        self._insert(sessions).values(row).on_conflict_do_nothing()
                    )
                else:
                    await connection.execute(
                        sa.update(sessions).where(sessions.c.id == session_id).values(values)
                    )
            if new_events:
                await connection.execute(
                    self._insert(events).on_conflict_do_nothing(),
                    [event_row(event) for event in new_events],
                )

    # Nodes.

    async def heartbeat(self) -> None:
        """Say that this node lives; it fails when the database takes no writes."""
        await self._nodes.seen(self.clock.utc_now())

    async def renew(self) -> None:
        """Say that this node lives, and make sure that it is known to: every 20 s or so."""
        await self._nodes.renew(self.clock.utc_now())

    async def close_orphans(self) -> list[str]:
        """End, with reason `crashed`, the sessions of nodes that died; returns their ids.

        At start it finds those of the process that was killed, later those of siblings.
        """
        now = self.clock.utc_now()
        async with writing(self.engine).begin() as connection:
            await self._nodes.remove_dead(connection, now)
            return await close_orphans(connection, self.node_id, now)

    # Sessions.

    async def list_sessions(
        self,
        *,
        state: str | None = None,
        agent: str | None = None,
        transport: str | None = None,
        room: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        end_reason: str | None = None,
        text: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page:
        """Sessions that fit all filters, newest first.

        Args:
            state: A `SessionState`.
            agent: Its name.
            transport: Its name.
            room: Its name.
            since: Started at or after, with a time zone.
            until: Started before, with a time zone.
            end_reason: An `EndReason`.
            text: Said by either side, in any case.
            limit: Most items of the page.
            before: Cursor of the page.
        """
        equal = {
            "state": state,
            "agent": agent,
            "transport": transport,
            "room": room,
            "end_reason": end_reason,
        }
        query = sa.select(*_RECORD_COLUMNS).order_by(sessions.c.id.desc()).limit(limit + 1)
        for name, value in equal.items():
            if value is not None:
                query = query.where(sessions.c[name] == clean(value))
        if since is not None:
            query = query.where(sessions.c.started_at >= since)
        if until is not None:
            query = query.where(sessions.c.started_at < until)
        if before is not None:
            query = query.where(sessions.c.id < clean(before))
        if text:
            query = query.where(_said(text))
        async with self.engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        items = [SessionRecord(*row) for row in rows[:limit]]
        return Page(items, items[-1].id if len(rows) > limit else None)

    async def get_session(self, session_id: str) -> SessionRecord | None:
        """One session, or None."""
        return await self._first(
            sa.select(*_RECORD_COLUMNS).where(sessions.c.id == clean(session_id))
        )

    async def find_active_by_room(self, room: str) -> SessionRecord | None:
        """The newest session of a room that has not ended, in whatever process, or None."""
        return await self._first(
            sa.select(*_RECORD_COLUMNS)
            .where(sessions.c.room == clean(room), sessions.c.state != SessionState.ENDED.value)
            .order_by(sessions.c.id.desc())
            .limit(1)
        )

    async def _first(self, query: sa.Select[Any]) -> SessionRecord | None:
        async with self.engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return SessionRecord(*row) if row else None

    async def exists(self, session_id: str) -> bool:
        """Whether there is such a session."""
        query = sa.select(sa.exists().where(sessions.c.id == clean(session_id)))
        async with self.engine.connect() as connection:
            return bool(await connection.scalar(query))

    async def get_events(
        self,
        session_id: str,
        *,
        after_seq: int = 0,
        types: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> list[Event]:
        """Events of a session in order, after number `after_seq`.

        Events of kinds that a newer version stored and this one does not know are left out.
        """
        known = _KNOWN_TYPES if not types else [kind for kind in types if kind in _KNOWN_TYPES]
        query = (
            sa.select(events)
            .where(
                events.c.session_id == clean(session_id),
                events.c.seq > after_seq,
                events.c.type.in_(known),
            )
            .order_by(events.c.seq)
            .limit(limit)
        )
        async with self.engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [event_from(row) for row in rows]

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session and its events; False when there was none.

        Of a session that still runs, events that come later have no place and are refused.
        """
        key = clean(session_id)
        async with writing(self.engine).begin() as connection:
            await connection.execute(sa.delete(events).where(events.c.session_id == key))
            result = await connection.execute(sa.delete(sessions).where(sessions.c.id == key))
        return bool(result.rowcount)

    # Figures.

    async def statistics(self, since: datetime) -> dict[str, Any]:
        """Totals and latency of the sessions started since a time."""
        return await statistics.statistics(self.engine, since)

    async def latency(self, since: datetime) -> dict[str, Percentiles]:
        """Percentiles of each part of an answer's latency since a time, by `TurnLatency` field."""
        return await statistics.latency(self.engine, since)

    # API keys.

    async def create_key(self, name: str) -> tuple[str, str]:
        """Make a key; returns its id and its text, which is not kept."""
        return await keys.create_key(self.engine, name, self.clock.utc_now())

    async def list_keys(self) -> list[KeyRecord]:
        """All keys, oldest first, revoked ones too."""
        return await keys.list_keys(self.engine)

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke a key; False when there is no such valid key."""
        return await keys.revoke_key(self.engine, key_id, self.clock.utc_now())

    async def find_key(self, plaintext: str) -> KeyRecord | None:
        """The valid key with this text, its use noted; None when there is none."""
        return await keys.find_key(self.engine, plaintext, self.clock.utc_now())


def _said(text: str) -> sa.ColumnElement[bool]:
    """Whether `text` was said in the session at hand."""
    return (
        sa.exists()
        .where(
            events.c.session_id == sessions.c.id,
            events.c.said.contains(fold(text), autoescape=True),
        )
        .correlate(sessions)
    )
