"""Events and sessions as rows, and back; a row is always one that both databases take."""

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Integer, String

from antiphon.domain import events as facts
from antiphon.domain.events import Event, EventBody, body_from
from antiphon.protocols.framing import encode, plain, scrub
from antiphon.records.schema import sessions

_MAX_INT = {Integer: 2**31 - 1, BigInteger: 2**63 - 1}


def event_row(event: Event) -> dict[str, Any]:
    """An event as a row of the `events` table.

    Numbers that JSON has no form for (NaN) are stored as null, lone surrogates as U+FFFD.
    """
    return {
        "session_id": event.session_id,
        "seq": event.seq,
        "type": event.type.value,
        "at": event.at,
        "offset_ms": _bounded(event.offset_ms, BigInteger),
        "data": encode(event.data()),
        "said": said(event.body),
    }


def event_from(row: Any) -> Event:
    """The event in a row.

    Raises:
        ValueError: this version does not know the event.
    """
    return Event(
        session_id=row.session_id,
        seq=row.seq,
        at=row.at,
        offset_ms=row.offset_ms,
        body=body_from(row.type, json.loads(row.data)),
    )


def session_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of columns of `sessions`, cut to what the columns hold.

    The events keep the whole text; PostgreSQL refuses a row with a longer one.
    """
    return {name: _fit(name, value) for name, value in values.items()}


def said(body: EventBody) -> str | None:
    """What was said, folded for search; None for other events."""
    if isinstance(body, facts.TranscriptFinal | facts.TurnEnded):
        return fold(body.text) or None
    return None


def fold(text: str) -> str:
    """Text without the differences that a search is to overlook: case, width, composition."""
    return unicodedata.normalize("NFKC", clean(text)).casefold()


def clean(text: str) -> str:
    """Text that both databases take: no NUL, no lone surrogates."""
    return scrub(text).replace("\0", "\N{REPLACEMENT CHARACTER}")


def _fit(name: str, value: Any) -> Any:
    kind = sessions.c[name].type
    if isinstance(value, str):
        limit = kind.length if isinstance(kind, String) else None
        return clean(value)[:limit]
    if isinstance(value, int):
        return _bounded(value, type(kind))
    if isinstance(value, Mapping):
        return plain(value)
    return value


def _bounded(value: int, kind: Any) -> int:
    limit = _MAX_INT[kind]
    return min(max(value, -limit), limit)
