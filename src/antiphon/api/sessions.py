"""`/api/v1/sessions`: live and stored sessions, and what an operator can do to a live one."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from antiphon.api.auth import require_key
from antiphon.api.deps import Server, ServerDep
from antiphon.api.models import CONFLICT, FORBIDDEN, NOT_FOUND, UNAUTHORIZED, Done
from antiphon.domain.session import EndReason, SessionState
from antiphon.errors import Conflict, NotFound
from antiphon.records.exports import transcript
from antiphon.records.store import SessionRecord
from antiphon.sessions.session import Session

router = APIRouter(
    prefix="/api/v1/sessions",
    tags=["sessions"],
    dependencies=[Depends(require_key)],
    responses=UNAUTHORIZED,
)
SessionId = Annotated[str, Path(max_length=64, examples=["019a5f0e8c2b7d10a1b2c3d4e5f60718"])]
Text = Annotated[str, Field(min_length=1, max_length=2000)]


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


async def _stored(server: Server, session_id: str) -> SessionRecord:
    record = await server.store.get_session(session_id)
    if record is None:
        await server.writer.flush()
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
    return {session.id: session for session in server.manager.live}


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


@router.get("", summary="List sessions")
async def list_sessions(
    server: ServerDep,
    state: SessionState | None = None,
    agent: Annotated[str | None, Query(max_length=64)] = None,
    transport: Annotated[str | None, Query(max_length=32)] = None,
    room: Annotated[str | None, Query(max_length=300)] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    end_reason: EndReason | None = None,
    text: Annotated[str | None, Query(max_length=200, description="Said by either side.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> SessionPage:
    """Live and stored sessions that fit all filters, newest first."""
    await server.writer.flush()
    page = await server.store.list_sessions(
        state=state.value if state else None,
        agent=_clean(agent),
        transport=_clean(transport),
        room=_clean(room),
        since=_aware(since),
        until=_aware(until),
        end_reason=end_reason.value if end_reason else None,
        text=_clean(text),
        limit=limit,
        before=_clean(cursor),
    )
    live = _live_by_id(server)
    return SessionPage(
        items=[_view(record, live.get(record.id)) for record in page.items],
        next_cursor=page.next_cursor,
    )


def _clean(value: str | None) -> str | None:
    """PostgreSQL takes no NUL in a text; none of ours holds one, so nothing is found anyway."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if value else None


@router.get("/{session_id}", summary="One session", responses=NOT_FOUND)
async def read_session(server: ServerDep, session_id: SessionId) -> SessionView:
    """A live or stored session."""
    record = await _stored(server, _clean(session_id) or "")
    return _view(record, _live_by_id(server).get(record.id))


@router.delete(
    "/{session_id}",
    summary="Delete an ended session",
    responses={**NOT_FOUND, **CONFLICT, **FORBIDDEN},
)
async def delete_session(server: ServerDep, session_id: SessionId) -> Done:
    """Delete a session that has ended, with all its events."""
    if session_id in _live_by_id(server):
        raise Conflict(f"session {session_id} is live; end it first", code="live")
    await _stored(server, _clean(session_id) or "")
    await server.store.delete_session(session_id)
    return Done()


@router.get("/{session_id}/events", summary="Events of a session", responses=NOT_FOUND)
async def read_events(
    server: ServerDep,
    session_id: SessionId,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    types: Annotated[list[str] | None, Query(description="Event types; all by default.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> EventPage:
    """The stored events in order; those of the last moment are stored first."""
    await server.writer.flush()
    await _stored(server, _clean(session_id) or "")
    wanted = [_clean(kind) or "" for kind in types] if types else None
    events = await server.store.get_events(session_id, after_seq=after, types=wanted, limit=limit)
    return EventPage(
        items=[EventView(**event.as_dict()) for event in events],
        next_after=events[-1].seq if len(events) == limit else None,
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
    await server.writer.flush()
    content = await transcript(server.store, _clean(session_id) or "", format)
    return Response(content, media_type=_MEDIA[format])


_ACTION = {**NOT_FOUND, **CONFLICT, **FORBIDDEN}


@router.post("/{session_id}/say", summary="Have the agent speak", responses=_ACTION)
async def say(server: ServerDep, session_id: SessionId, body: Say) -> Done:
    """Speak a text after what is being said now."""
    await (await _live(server, _clean(session_id) or "")).say(body.text)
    return Done()


@router.post("/{session_id}/interrupt", summary="Stop the agent's speech", responses=_ACTION)
async def interrupt(server: ServerDep, session_id: SessionId) -> Done:
    """Stop what the agent is saying."""
    await (await _live(server, _clean(session_id) or "")).interrupt()
    return Done()


@router.post("/{session_id}/prompt", summary="Replace the system prompt", responses=_ACTION)
async def set_prompt(server: ServerDep, session_id: SessionId, body: Prompt) -> Done:
    """The next answer follows the new prompt."""
    session = await _live(server, _clean(session_id) or "")
    session.set_prompt(body.system_prompt, by="operator")
    return Done()


@router.post("/{session_id}/end", summary="End a session", responses=_ACTION)
async def end(server: ServerDep, session_id: SessionId, body: End | None = None) -> Done:
    """End a live session, after last words if there are any."""
    session = await _live(server, _clean(session_id) or "")
    asked = body or End()
    await session.end(EndReason.OPERATOR, detail=asked.reason, last_words=asked.last_words)
    return Done()
