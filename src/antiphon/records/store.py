"""The record store: sessions, their events and API keys; each query a named method."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from antiphon.clock import Clock
from antiphon.domain.events import Event, EventType, SessionEnded, body_from
from antiphon.domain.session import EndReason, SessionState
from antiphon.protocols.framing import encode, scrub
from antiphon.records.database import open_engine
from antiphon.records.schema import api_keys, events, nodes, sessions

STALE_NODE = timedelta(seconds=60)
"""A node that has not been seen for this long is dead; its sessions have crashed."""

KEY_PREFIX = "antiphon_"


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


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key without its secret."""

    id: str
    name: str
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


_RECORD_COLUMNS = [sessions.c[name] for name in SessionRecord.__dataclass_fields__]
_KEY_COLUMNS = [api_keys.c[name] for name in KeyRecord.__dataclass_fields__]


def _utc(value: datetime | None) -> datetime | None:
    """SQLite forgets the time zone; everything stored is UTC."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _record(row: Any) -> SessionRecord:
    data = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented accessor
    data["started_at"], data["ended_at"] = _utc(data["started_at"]), _utc(data["ended_at"])
    return SessionRecord(**data)


def _key(row: Any) -> KeyRecord:
    data: dict[str, Any] = dict(row._mapping)  # noqa: SLF001
    for name in ("created_at", "last_used_at", "revoked_at"):
        data[name] = _utc(data[name])
    return KeyRecord(**data)


def _event(row: Any) -> Event:
    return Event(
        session_id=row.session_id,
        seq=row.seq,
        at=_utc(row.at) or row.at,
        offset_ms=row.offset_ms,
        body=body_from(row.type, json.loads(row.data)),
    )


def event_row(event: Event) -> dict[str, Any]:
    """An event as a row of the `events` table."""
    return {
        "session_id": event.session_id,
        "seq": event.seq,
        "type": event.type.value,
        "at": event.at,
        "offset_ms": event.offset_ms,
        "data": encode(event.data()),
    }


class RecordStore:
    """Durable records in SQLite or PostgreSQL. Open with `open`."""

    def __init__(self, engine: AsyncEngine, *, clock: Clock, node_id: str):
        self.engine = engine
        self.node_id = node_id
        self._clock = clock
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    @classmethod
    async def open(cls, url: str, *, clock: Clock, node_id: str) -> Self:
        """Open the database, bring its schema up to date, and sign in as a node.

        Raises:
            ConfigurationError: the database cannot be opened.
        """
        store = cls(await open_engine(url), clock=clock, node_id=node_id)
        await store.heartbeat()
        return store

    @property
    def url(self) -> str:
        """The database's URL, its password hidden."""
        return self.engine.url.render_as_string(hide_password=True)

    def now(self) -> datetime:
        """The store's clock, UTC."""
        return self._clock.utc_now()

    async def close(self) -> None:
        """Close all connections."""
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
        async with self.engine.begin() as connection:
            for session_id, values in changes.items():
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

    async def heartbeat(self) -> None:
        """Say that this node lives."""
        now = self._clock.utc_now()
        statement = self._insert(nodes).values(id=self.node_id, seen_at=now)
        async with self.engine.begin() as connection:
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now})
            )

    async def close_orphans(self) -> list[str]:
        """End, with reason `crashed`, the sessions of nodes that died; returns their ids.

        On SQLite no other process can own a session of this file, so all unended ones are orphans.
        """
        now = self._clock.utc_now()
        orphaned = sessions.c.state != SessionState.ENDED.value
        if self.engine.dialect.name != "sqlite":
            alive = sa.select(nodes.c.id).where(
                nodes.c.seen_at > now - STALE_NODE, nodes.c.id != self.node_id
            )
            orphaned = sa.and_(orphaned, sessions.c.node.not_in(alive))
        closed: list[str] = []
        async with self.engine.begin() as connection:
            rows = (await connection.execute(sa.select(sessions.c.id).where(orphaned))).all()
            for (session_id,) in rows:
                await self._close_orphan(connection, session_id)
                closed.append(session_id)
        return closed

    async def _close_orphan(self, connection: Any, session_id: str) -> None:
        last = (
            await connection.execute(
                sa.select(events.c.seq, events.c.at, events.c.offset_ms)
                .where(events.c.session_id == session_id)
                .order_by(events.c.seq.desc())
                .limit(1)
            )
        ).first()
        seq, at, offset = (last.seq, _utc(last.at), last.offset_ms) if last else (0, None, 0)
        ended = at or self._clock.utc_now()
        body = SessionEnded(
            reason=EndReason.CRASHED.value, duration_ms=offset, detail="the process died"
        )
        row = event_row(Event(session_id, seq + 1, ended, offset, body))
        await connection.execute(self._insert(events).values(row).on_conflict_do_nothing())
        await connection.execute(
            sa.update(sessions)
            .where(sessions.c.id == session_id)
            .values(
                state=SessionState.ENDED.value,
                ended_at=ended,
                end_reason=EndReason.CRASHED.value,
                duration_ms=offset,
            )
        )

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
            since: Started at or after, UTC.
            until: Started before, UTC.
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
                query = query.where(sessions.c[name] == value)
        if since is not None:
            query = query.where(sessions.c.started_at >= since)
        if until is not None:
            query = query.where(sessions.c.started_at < until)
        if before is not None:
            query = query.where(sessions.c.id < before)
        if text:
            query = query.where(sessions.c.id.in_(_said(text)))
        async with self.engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        items = [_record(row) for row in rows[:limit]]
        return Page(items, items[-1].id if len(rows) > limit else None)

    async def get_session(self, session_id: str) -> SessionRecord | None:
        """One session, or None."""
        query = sa.select(*_RECORD_COLUMNS).where(sessions.c.id == session_id)
        async with self.engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return _record(row) if row else None

    async def get_events(
        self,
        session_id: str,
        *,
        after_seq: int = 0,
        types: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> list[Event]:
        """Events of a session in order, after number `after_seq`."""
        query = (
            sa.select(events)
            .where(events.c.session_id == session_id, events.c.seq > after_seq)
            .order_by(events.c.seq)
            .limit(limit)
        )
        if types:
            query = query.where(events.c.type.in_(list(types)))
        async with self.engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [_event(row) for row in rows]

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session and its events; False when there was none."""
        async with self.engine.begin() as connection:
            await connection.execute(sa.delete(events).where(events.c.session_id == session_id))
            result = await connection.execute(
                sa.delete(sessions).where(sessions.c.id == session_id)
            )
        return bool(result.rowcount)

    async def statistics(self, since: datetime) -> dict[str, Any]:
        """Totals and latency of the sessions started since a time."""
        within = sessions.c.started_at >= since
        async with self.engine.connect() as connection:
            totals = (
                await connection.execute(
                    sa.select(
                        sa.func.count(),
                        sa.func.coalesce(sa.func.sum(sessions.c.interruptions), 0),
                        sa.func.coalesce(sa.func.sum(sessions.c.errors), 0),
                    ).where(within)
                )
            ).one()
            active = await connection.scalar(
                sa.select(sa.func.count()).where(sessions.c.state != SessionState.ENDED.value)
            )
            by: dict[str, dict[str, int]] = {}
            for name in ("end_reason", "transport", "agent"):
                column = sessions.c[name]
                rows = await connection.execute(
                    sa.select(column, sa.func.count())
                    .where(within, column.is_not(None))
                    .group_by(column)
                )
                by[name] = {str(row[0]): int(row[1]) for row in rows}
            latencies = await connection.execute(
                sa.select(events.c.data).where(
                    events.c.type == EventType.TURN_LATENCY.value, events.c.at >= since
                )
            )
            voice = sorted(json.loads(data)["voice_to_voice_ms"] for (data,) in latencies)
        return {
            "sessions": totals[0],
            "active": active or 0,
            "interruptions": int(totals[1]),
            "errors": int(totals[2]),
            "by_end_reason": by["end_reason"],
            "by_transport": by["transport"],
            "by_agent": by["agent"],
            "voice_to_voice_ms": {
                "count": len(voice),
                "p50": _percentile(voice, 50),
                "p95": _percentile(voice, 95),
                "p99": _percentile(voice, 99),
            },
        }

    # API keys.

    async def create_key(self, name: str) -> tuple[str, str]:
        """Make a key; returns its id and its text, which is not kept.

        The text holds 256 random bits, so a plain SHA-256 cannot be searched: slow hashes are for
        passwords that people choose.
        """
        key_id, secret = secrets.token_hex(8), KEY_PREFIX + secrets.token_urlsafe(32)
        async with self.engine.begin() as connection:
            await connection.execute(
                sa.insert(api_keys).values(
                    id=key_id,
                    name=name,
                    prefix=secret[:14],
                    hash=_hash(secret),
                    created_at=self._clock.utc_now(),
                )
            )
        return key_id, secret

    async def list_keys(self) -> list[KeyRecord]:
        """All keys, oldest first, revoked ones too."""
        query = sa.select(*_KEY_COLUMNS).order_by(api_keys.c.created_at)
        async with self.engine.connect() as connection:
            return [_key(row) for row in await connection.execute(query)]

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke a key; False when there is no such valid key."""
        async with self.engine.begin() as connection:
            result = await connection.execute(
                sa.update(api_keys)
                .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=self._clock.utc_now())
            )
        return bool(result.rowcount)

    async def find_key(self, plaintext: str) -> KeyRecord | None:
        """The valid key with this text, its use noted; None when there is none."""
        if not plaintext.startswith(KEY_PREFIX):
            return None
        valid = sa.and_(api_keys.c.hash == _hash(plaintext), api_keys.c.revoked_at.is_(None))
        async with self.engine.begin() as connection:
            row = (await connection.execute(sa.select(*_KEY_COLUMNS).where(valid))).first()
            if row is not None:
                await connection.execute(
                    sa.update(api_keys).where(valid).values(last_used_at=self._clock.utc_now())
                )
        return _key(row) if row else None


def _said(text: str) -> Any:
    """Ids of sessions in which `text` was said."""
    kinds = (EventType.TRANSCRIPT_FINAL.value, EventType.TURN_ENDED.value)
    # The data column is JSON: look for the text as JSON spells it.
    spelled = json.dumps(scrub(text), ensure_ascii=False)[1:-1]
    return sa.select(events.c.session_id).where(
        events.c.type.in_(kinds), events.c.data.icontains(spelled, autoescape=True)
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _percentile(ordered: Sequence[int], percent: int) -> int | None:
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]
