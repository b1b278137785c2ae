"""Totals and latency percentiles over a period, counted by the database."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from antiphon.domain.events import EventType
from antiphon.domain.session import SessionState
from antiphon.records.schema import events, sessions

VOICE_TO_VOICE = "voice_to_voice_ms"
LATENCY_PARTS = (
    VOICE_TO_VOICE,
    "end_of_speech_to_transcript_ms",
    "end_of_turn_ms",
    "llm_first_token_ms",
    "tts_first_audio_ms",
)
"""Fields of `TurnLatency`."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a number of measurements, ms; nearest rank."""

    count: int
    p50: int | None
    p95: int | None
    p99: int | None


async def statistics(engine: AsyncEngine, since: datetime) -> dict[str, Any]:
    """Totals and latency of the sessions started since a time."""
    within = sessions.c.started_at >= since
    async with engine.connect() as connection:
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
        voice = await _percentiles(connection, VOICE_TO_VOICE, since)
        by = {
            name: await _count_by(connection, sessions.c[name], within)
            for name in ("end_reason", "transport", "agent")
        }
    return {
        "sessions": totals[0],
        "active": active or 0,
        "interruptions": int(totals[1]),
        "errors": int(totals[2]),
        "by_end_reason": by["end_reason"],
        "by_transport": by["transport"],
        "by_agent": by["agent"],
        VOICE_TO_VOICE: asdict(voice),
    }


async def latency(engine: AsyncEngine, since: datetime) -> dict[str, Percentiles]:
    """Percentiles of each part of an answer's latency, of answers since a time."""
    async with engine.connect() as connection:
        return {part: await _percentiles(connection, part, since) for part in LATENCY_PARTS}


async def _count_by(
    connection: AsyncConnection, column: sa.Column[Any], within: sa.ColumnElement[bool]
) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(within, column.is_not(None)).group_by(column)
    return {str(value): count for value, count in (await connection.execute(query)).all()}


async def _percentiles(connection: AsyncConnection, part: str, since: datetime) -> Percentiles:
    value = _number(connection.dialect.name, part)
    measured = (
        events.c.type == EventType.TURN_LATENCY.value,
        events.c.at >= since,
        value.is_not(None),
    )
    count = await connection.scalar(sa.select(sa.func.count()).where(*measured)) or 0
    ordered = sa.select(value).where(*measured).order_by(value).limit(1)
    ranks: Sequence[int | None] = (None, None, None)
    if count:
        ranks = [
            await connection.scalar(ordered.offset(nearest_rank(count, percent)))
            for percent in (50, 95, 99)
        ]
    return Percentiles(count, *ranks)


def _number(dialect: str, name: str) -> sa.ColumnElement[int]:
    """A whole number out of an event's JSON."""
    if dialect == "sqlite":
        return sa.func.json_extract(events.c.data, f"$.{name}", type_=sa.Integer)
    data = sa.cast(events.c.data, postgresql.JSON)
    return sa.cast(data[name].astext, sa.BigInteger)


def nearest_rank(count: int, percent: int) -> int:
    """Index, from 0, of a percentile among `count` ordered values: the nearest-rank method."""
    return -(-count * percent // 100) - 1
