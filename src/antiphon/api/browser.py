"""REST routes of the browser assistant: its tools and its sessions."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from antiphon.api.auth import require_key
from antiphon.api.deps import ServerDep
from antiphon.api.models import NOT_FOUND, UNAUTHORIZED
from antiphon.tools.base import ToolContext

router = APIRouter(tags=["browser"], dependencies=[Depends(require_key)], responses=UNAUTHORIZED)


class ToolView(BaseModel):
    """A tool of an agent."""

    name: str
    description: str
    parameters: dict[str, Any]


class LiveSession(BaseModel):
    """A live session of the browser transport."""

    conversation_id: str
    session_id: str
    agent_name: str
    state: str
    started_at: datetime
    duration_ms: int


async def _no_end(_context: ToolContext, _reason: str) -> None:
    """Stands where only the tools' descriptions are wanted."""


@router.get("/api/tools", summary="Tools of an agent", responses=NOT_FOUND)
async def tools(
    server: ServerDep, agent: Annotated[str | None, Query(max_length=64)] = None
) -> list[ToolView]:
    """Name, description and JSON schema of each tool the agent may call."""
    return [
        ToolView(name=tool.name, description=tool.description, parameters=dict(tool.parameters))
        for tool in server.manager.runtime(agent).tools(_no_end)
    ]


@router.get("/api/realtime/pipecat/sessions", summary="Live browser sessions")
async def sessions(server: ServerDep) -> list[LiveSession]:
    """Live sessions that came by the browser WebSocket."""
    return [
        LiveSession(
            conversation_id=session.room,
            session_id=session.id,
            agent_name=session.runtime.definition.name,
            state=session.state.value,
            started_at=session.started_at,
            duration_ms=round(session.age_secs * 1000),
        )
        for session in server.manager.live
        if session.plan.transport == "browser"
    ]
