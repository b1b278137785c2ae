"""Sessions whose process died: found by their node, ended with reason `crashed`."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from antiphon.domain.events import Event, SessionEnded
from antiphon.domain.session import EndReason, SessionState
from antiphon.records.rows import event_row
from antiphon.records.schema import events, nodes, sessions

DETAIL = "the process died"


async def close_orphans(connection: AsyncConnection, own_node: str, now: datetime) -> list[str]:
    """End the sessions of nodes without a row; returns their ids, oldest first.

    A session ends where its last stored event left it. `now` serves for one without events.
    """
    alive = sa.select(nodes.c.id)
    orphaned = (
        sa.select(sessions.c.id)
        .where(
            sessions.c.state != SessionState.ENDED.value,
            sessions.c.node != own_node,
            sessions.c.node.not_in(alive),
        )
        .order_by(sessions.c.id)
        # Another process may be closing the same ones.
        .with_for_update(skip_locked=True)
    )
    closed = list((await connection.execute(orphaned)).scalars())
    for session_id in closed:
        await _close(connection, session_id, now)
    return closed


async def _close(connection: AsyncConnection, session_id: str, now: datetime) -> None:
    query = (
        sa.select(events.c.seq, events.c.at, events.c.offset_ms)
        .where(events.c.session_id == session_id)
        .order_by(events.c.seq.desc())
        .limit(1)
    )
    last = (await connection.execute(query)).first()
    seq, ended, offset = (last.seq, last.at, last.offset_ms) if last else (0, now, 0)
    reason = EndReason.CRASHED.value
    body = SessionEnded(reason=reason, duration_ms=offset, detail=DETAIL)
    row: dict[str, Any] = event_row(Event(session_id, seq + 1, ended, offset, body))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    await connection.execute(insert(events).values(row).on_conflict_do_nothing())
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == session_id)
        .values(
            state=SessionState.ENDED.value, ended_at=ended, end_reason=reason, duration_ms=offset
        )
    )
