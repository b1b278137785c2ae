"""What was said, folded, so that a search finds words and not field names."""

import json
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SPOKEN = ("transcript_final", "turn_ended")
BATCH = 1000

events = sa.table(
    "events",
    sa.column("session_id", sa.String),
    sa.column("seq", sa.Integer),
    sa.column("type", sa.String),
    sa.column("data", sa.Text),
    sa.column("said", sa.Text),
)


def _fold(data: str) -> str | None:
    text = json.loads(data).get("text") or ""
    text = "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text)
    return unicodedata.normalize("NFKC", text).casefold() or None


def upgrade() -> None:
    """Add the column and fill it from the events' data."""
    op.add_column("events", sa.Column("said", sa.Text))
    connection = op.get_bind()
    place = sa.tuple_(events.c.session_id, events.c.seq)
    after = ("", 0)
    while True:
        rows = connection.execute(
            sa.select(events.c.session_id, events.c.seq, events.c.data)
            .where(events.c.type.in_(SPOKEN), place > sa.tuple_(*map(sa.literal, after)))
            .order_by(events.c.session_id, events.c.seq)
            .limit(BATCH)
        ).all()
        if not rows:
            return
        connection.execute(
            sa.update(events)
            .where(events.c.session_id == sa.bindparam("key"), events.c.seq == sa.bindparam("at"))
            .values(said=sa.bindparam("folded")),
            [{"key": row.session_id, "at": row.seq, "folded": _fold(row.data)} for row in rows],
        )
        after = (rows[-1].session_id, rows[-1].seq)


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("events", "said")
