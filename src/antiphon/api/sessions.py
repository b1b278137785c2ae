"""`/api/v1/sessions`: live and stored sessions, and what an operator can do to a live one."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AfterValidator, BaseModel, Field

from antiphon.api.auth import require_key
from antiphon.api.deps import Server, ServerDep
from antiphon.api.models import BAD_BODY, CONFLICT, FORBIDDEN, NOT_FOUND, UNAUTHORIZED, Done
from antiphon.domain.events import EventType
from antiphon.domain.session import EndReason, SessionState
from antiphon.errors import Conflict, NotFound
from antiphon.records.exports import transcript
from antiphon.records.store import SessionRecord
from antiphon.sessions.session import Session

log = logging.getLogger(__name__)

FLUSH_SECS = 2.0
"""Longest wait for pending records; readers get what there is when the database takes no writes."""

router = APIRouter(
    prefix="/api/v1/sessions",
    tags=["sessions"],
    dependencies=[Depends(require_key)],
    responses=UNAUTHORIZED,
)
SessionId = Annotated[str, Path(max_length=64, examples=["019a5f0e8c2b7d10a1b2c3d4e5f60718"])]
Text = Annotated[str, Field(min_length=1, max_length=2000)]


def _in_utc(at: datetime) -> datetime:
    """The instant in UTC, which a time without an offset is taken to be in already."""
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("is out of range in UTC") from None


Instant = Annotated[datetime, AfterValidator(_in_utc)]


class SessionView(BaseModel):
    """One session."""

    id: str
    agent: str
    transport: str
    room: str
    remote: str = ""
    state: SessionState
    language: str = ""
    services: dict[str, str] = Field(default_factory=dict, description="Kind to service.")
    started_at: datetime
    ended_at: datetime | None = None
    end_reason: str | None = None
    duration_ms: int | None = None
    turns: int = 0
    interruptions: int = 0
    errors: int = 0
    participants: int = Field(0, description="Connections now.")


class SessionPage(BaseModel):
    """Sessions, newest first."""

    items: list[SessionView]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page.")


class EventView(BaseModel):
    """One fact about a session."""

    session_id: str
    seq: int
    type: str
    at: datetime
    offset_ms: int
    data: dict[str, Any]


class EventPage(BaseModel):
    """Events in order."""

    items: list[EventView]
    next_after: int | None = Field(description="Give it as `after` for the next page.")


class Say(BaseModel):
    """What the agent is to say."""

    text: Text


class Prompt(BaseModel):
    """A system prompt."""

    system_prompt: Annotated[str, Field(min_length=1, max_length=100_000)]


class End(BaseModel):
    """How to end a session."""

    reason: Annotated[str, Field(max_length=200)] = ""
    last_words: Annotated[str, Field(max_length=500)] = ""


def _view(record: SessionRecord, live: Session | None) -> SessionView:
    view = SessionView(**{name: getattr(record, name) for name in record.__dataclass_fields__})
    return _with_live(view, live) if live else view


def _with_live(view: SessionView, live: Session) -> SessionView:
    return view.model_copy(
        update={
            "state": live.state,
            "participants": live.participants,
            "duration_ms": round(live.age_secs * 1000),
            "room": live.room,
        }
    )


def _unrecorded(live: Session) -> SessionView:
    """A live session that is not on record yet."""
    agent = live.runtime.definition
    view = SessionView(
        id=live.id,
        agent=agent.name,
        transport=live.plan.transport,
        room=live.room,
        state=live.state,
        language=agent.language,
        services=live.runtime.service_names,
        started_at=live.started_at,
    )
    return _with_live(view, live)


async def _flush(server: Server) -> None:
    """Wait, but not for ever, until what has happened is on record."""
    try:
        async with asyncio.timeout(FLUSH_SECS):
            await server.writer.flush()
    except TimeoutError:
        log.warning("%d events wait to be written; a reply may lack them", server.writer.pending)


async def _stored(server: Server, session_id: str) -> SessionRecord:
    record = await server.store.get_session(session_id)
    if record is None:
        await _flush(server)
        record = await server.store.get_session(session_id)
    if record is None:
        raise NotFound(f"no session {session_id}", code="no_session")
    return record


async def _live(server: Server, session_id: str) -> Session:
    """The live session; 409 when it has ended, 404 when it never was."""
    try:
        return server.manager.get(session_id)
    except NotFound:
        await _stored(server, session_id)
        raise Conflict(f"session {session_id} has ended", code="ended") from None


def _live_by_id(server: Server) -> dict[str, Session]:
    # One that has just ended is left to its record, which knows the reason.
    return {s.id: s for s in server.manager.live if s.state is not SessionState.ENDED}


@router.get("", summary="List sessions")
async def list_sessions(
    server: ServerDep,
    state: SessionState | None = None,
    agent: Annotated[str | None, Query(max_length=64)] = None,
    transport: Annotated[str | None, Query(max_length=32)] = None,
    room: Annotated[str | None, Query(max_length=300)] = None,
    since: Annotated[Instant | None, Query(description="Started then or later.")] = None,
    until: Annotated[Instant | None, Query(description="Started before.")] = None,
    end_reason: EndReason | None = None,
    text: Annotated[str | None, Query(max_length=200, description="Said by either side.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> SessionPage:
    """Live and stored sessions that fit all filters, newest first.

    Live ones are judged as they are now: the record may be a commit behind, and keeps the room by
    which a session began. Ids sort by time, which says what page a live session belongs to.
    """
    await _flush(server)
    page = await server.store.list_sessions(
        state=state.value if state else None,
        agent=_clean(agent),
        transport=_clean(transport),
        room=_clean(room),
        since=since,
        until=until,
        end_reason=end_reason.value if end_reason else None,
        text=_clean(text),
        limit=limit,
        before=_clean(cursor),
    )
    live = _live_by_id(server)
    views = {record.id: _view(record, live.get(record.id)) for record in page.items}
    if not text:  # only the record knows what was said
        for session in live.values():
            if (page.next_cursor or "") < session.id and (not cursor or session.id < cursor):
                views.setdefault(session.id, _unrecorded(session))
    wanted = {"state": state, "agent": agent, "transport": transport, "room": room}
    items = [
        view
        for _, view in sorted(views.items(), reverse=True)
        if view.id not in live or _fits(view, wanted, since, until, end_reason)
    ]
    if len(items) > limit:
        return SessionPage(items=items[:limit], next_cursor=items[limit - 1].id)
    return SessionPage(items=items, next_cursor=page.next_cursor)


def _fits(
    view: SessionView,
    wanted: Mapping[str, str | None],
    since: datetime | None,
    until: datetime | None,
    end_reason: EndReason | None,
) -> bool:
    """Whether a live session fits the filters, except by what was said."""
    return (
        end_reason is None
        and all(value in (None, "", getattr(view, name)) for name, value in wanted.items())
        and (since is None or view.started_at >= since)
        and (until is None or view.started_at < until)
    )


def _clean(value: str | None) -> str | None:
    """PostgreSQL takes no NUL in a text; none of ours holds one, so nothing is found anyway."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if value else None


@router.get("/{session_id}", summary="One session", responses=NOT_FOUND)
async def read_session(server: ServerDep, session_id: SessionId) -> SessionView:
    """A live or stored session."""
    clean = _clean(session_id) or ""
    live = _live_by_id(server).get(session_id)
    if live is not None:
        record = await server.store.get_session(clean)
        return _view(record, live) if record else _unrecorded(live)
    record = await _stored(server, clean)
    if record.state != SessionState.ENDED.value:
        await _flush(server)  # its end is on its way to the record
        record = await _stored(server, clean)
    return _view(record, None)


@router.delete(
    "/{session_id}",
    summary="Delete an ended session",
    responses={**NOT_FOUND, **CONFLICT, **FORBIDDEN},
)
async def delete_session(server: ServerDep, session_id: SessionId) -> Done:
    """Delete a session that has ended, with all its events."""
    if session_id in _live_by_id(server):
        raise Conflict(f"session {session_id} is live; end it first", code="live")
    # Events that still wait would fail for ever without their session's row, and stop the writer.
    await server.writer.flush()
    record = await _stored(server, _clean(session_id) or "")
    if record.state != SessionState.ENDED.value:
        raise Conflict(f"session {session_id} lives in another process; end it there", code="live")
    await server.store.delete_session(session_id)
    return Done()


@router.get("/{session_id}/events", summary="Events of a session", responses=NOT_FOUND)
async def read_events(
    server: ServerDep,
    session_id: SessionId,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    types: Annotated[
        list[EventType] | None, Query(description="Repeat for several; all by default.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> EventPage:
    """The stored events in order; those of the last moment are stored first."""
    await _flush(server)
    await _stored(server, _clean(session_id) or "")
    wanted = [kind.value for kind in types] if types else None
    events = await server.store.get_events(
        session_id, after_seq=after, types=wanted, limit=limit + 1
    )
    return EventPage(
        items=[EventView(**event.as_dict()) for event in events[:limit]],
        next_after=events[limit - 1].seq if len(events) > limit else None,
    )


_MEDIA = {"json": "application/json", "text": "text/plain", "vtt": "text/vtt"}


@router.get(
    "/{session_id}/transcript",
    summary="Transcript of a session",
    response_class=Response,
    responses={
        200: {"content": {media: {} for media in _MEDIA.values()}},
        **NOT_FOUND,
    },
)
async def read_transcript(
    server: ServerDep,
    session_id: SessionId,
    format: Literal["json", "text", "vtt"] = "json",
) -> Response:
    """What was said and heard, as JSON, text or WebVTT."""
    await _flush(server)
    content = await transcript(server.store, _clean(session_id) or "", format)
    return Response(content, media_type=_MEDIA[format])


_ACTION = {**NOT_FOUND, **CONFLICT, **FORBIDDEN}
_WITH_BODY = {**BAD_BODY, **_ACTION}


@router.post("/{session_id}/say", summary="Have the agent speak", responses=_WITH_BODY)
async def say(server: ServerDep, session_id: SessionId, body: Say) -> Done:
    """Speak a text after what is being said now."""
    await (await _live(server, _clean(session_id) or "")).say(body.text)
    return Done()


@router.post("/{session_id}/interrupt", summary="Stop the agent's speech", responses=_ACTION)
async def interrupt(server: ServerDep, session_id: SessionId) -> Done:
    """Stop what the agent is saying."""
    await (await _live(server, _clean(session_id) or "")).interrupt()
    return Done()


@router.put("/{session_id}/prompt", summary="Replace the system prompt", responses=_WITH_BODY)
@router.post(
    "/{session_id}/prompt",
    summary="Replace the system prompt (as PUT)",
    responses=_WITH_BODY,
)
async def set_prompt(server: ServerDep, session_id: SessionId, body: Prompt) -> Done:
    """The next answer follows the new prompt."""
    session = await _live(server, _clean(session_id) or "")
    session.set_prompt(body.system_prompt, by="operator")
    return Done()


@router.post("/{session_id}/end", summary="End a session", responses=_WITH_BODY)
async def end(server: ServerDep, session_id: SessionId, body: End | None = None) -> Done:
    """End a live session, after last words if there are any."""
    session = await _live(server, _clean(session_id) or "")
    asked = body or End()
    await session.end(EndReason.OPERATOR, detail=asked.reason, last_words=asked.last_words)
    return Done()
