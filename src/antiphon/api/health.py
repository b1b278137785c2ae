"""Health: for people, for load balancers, and as the RustPBX media server gave it."""

import asyncio
import logging
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from antiphon.api.deps import ServerDep
from antiphon.api.models import ErrorReply
from antiphon.errors import Unavailable

log = logging.getLogger(__name__)

DATABASE_SECS = 2.0
"""A database that takes longer to answer counts as failing."""

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Health as the RustPBX media server gave it."""

    status: Literal["healthy", "draining"]
    timestamp: str
    version: str
    active_rooms: int
    active_connections: int


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """The server takes calls."""

    status: Literal["ready"] = "ready"
    sessions: int
    max_sessions: int
    events_pending: int


@router.get("/health", summary="Health and load")
async def health(server: ServerDep) -> Health:
    """Always 200 while the process answers."""
    live = server.manager.live
    return Health(
        status="healthy" if server.manager.accepting else "draining",
        timestamp=server.clock.utc_now().isoformat(),
        version=server.version,
        active_rooms=len(live),
        active_connections=sum(session.participants for session in live),
    )


@router.get("/api/v1/health/live", summary="Liveness")
async def alive() -> Alive:
    """200 while the event loop turns."""
    return Alive()


@router.get(
    "/api/v1/health/ready",
    summary="Readiness",
    responses={503: {"model": ErrorReply, "description": "Draining, or the database fails"}},
)
async def ready(server: ServerDep) -> Ready:
    """503 while draining or when the database does not answer."""
    if not server.manager.accepting:
        raise Unavailable("the server is shutting down", code="draining")
    try:
        async with asyncio.timeout(DATABASE_SECS):
            await server.store.heartbeat()
    except (SQLAlchemyError, OSError) as error:  # TimeoutError is an OSError
        # The route is open to all: the reason goes to the log only.
        log.warning("not ready: the database does not answer: %r", error)
        raise Unavailable("the database does not answer", code="database") from error
    return Ready(
        sessions=len(server.manager.live),
        max_sessions=server.settings.max_sessions,
        events_pending=server.writer.pending,
    )
