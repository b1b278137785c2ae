"""Tables of the record store. Times are UTC; event data is JSON as text, the same everywhere."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware going in, UTC coming out, also on SQLite, which keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite's copy is naive, so that its text sorts by time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        try:
            value = value.astimezone(UTC)
        except OverflowError:  # within a day of the first or the last moment there is
            value = value.replace(tzinfo=UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware again."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

nodes = Table(
    "nodes",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
)
"""Processes that run sessions and are not known to have died."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("node", String(200), nullable=False, server_default=""),
    Column("agent", String(300), nullable=False),
    Column("transport", String(32), nullable=False),
    Column("room", String(300), nullable=False),
    Column("remote", String(300), nullable=False, server_default=""),
    Column("language", String(32), nullable=False, server_default=""),
    Column("services", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("end_reason", String(32)),
    Column("duration_ms", BigInteger),
    Column("turns", Integer, nullable=False, server_default="0"),
    Column("interruptions", Integer, nullable=False, server_default="0"),
    Column("errors", Integer, nullable=False, server_default="0"),
    Index("sessions_state", "state"),
    Index("sessions_room", "room"),
    Index("sessions_started", "started_at"),
)

events = Table(
    "events",
    metadata,
    Column(
        "session_id",
        String(64),
        ForeignKey("sessions.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("seq", Integer, primary_key=True),
    Column("type", String(40), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("offset_ms", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    # What was said, folded for search; derived from `data`, null where nothing was.
    Column("said", Text),
    Index("events_type_at", "type", "at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)
