"""Tables of the record store. Times are UTC; JSON is text, so SQLite and PostgreSQL agree."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

nodes = Table(
    "nodes",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("node", String(200), nullable=False, server_default=""),
    Column("agent", String(64), nullable=False),
    Column("transport", String(32), nullable=False),
    Column("room", String(300), nullable=False),
    Column("remote", String(200), nullable=False, server_default=""),
    Column("language", String(32), nullable=False, server_default=""),
    Column("services", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
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
    Column("at", DateTime(timezone=True), nullable=False),
    Column("offset_ms", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    Index("events_type_at", "type", "at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_used_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)
