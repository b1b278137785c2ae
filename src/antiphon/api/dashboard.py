"""Live statistics: `/ws/dashboard` of the RustPBX media server, and `/api/v1/statistics`."""

import asyncio
import logging
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from starlette.websockets import WebSocket, WebSocketDisconnect

from antiphon.api.auth import require_key, websocket_caller
from antiphon.api.deps import Server, ServerDep, server
from antiphon.api.models import UNAUTHORIZED
from antiphon.errors import AntiphonError
from antiphon.protocols.framing import epoch_ms

log = logging.getLogger(__name__)
router = APIRouter(tags=["statistics"])

PERIOD_SECS = 1.0


class Latency(BaseModel):
    """End of the caller's speech to the agent's first audio, ms."""

    count: int
    p50: int | None
    p95: int | None
    p99: int | None


class Statistics(BaseModel):
    """Sessions of a period."""

    sessions: int
    active: int
    interruptions: int
    errors: int
    by_end_reason: dict[str, int]
    by_transport: dict[str, int]
    by_agent: dict[str, int]
    voice_to_voice_ms: Latency


@router.get(
    "/api/v1/statistics",
    summary="Totals and latency",
    dependencies=[Depends(require_key)],
    responses=UNAUTHORIZED,
)
async def statistics(
    server: ServerDep, minutes: Annotated[int, Query(ge=1, le=525_600)] = 60
) -> Statistics:
    """Of the sessions started in the last `minutes`."""
    since = server.clock.utc_now() - timedelta(minutes=minutes)
    return Statistics(**await server.store.statistics(since))


def _snapshot(running: Server) -> dict[str, Any]:
    live = running.manager.live
    totals = running.manager.totals
    return {
        "type": "statistics",
        "timestamp": epoch_ms(running.clock.utc_now()),
        "version": running.version,
        "active_sessions": len(live),
        "active_rooms": len(live),
        "active_connections": sum(session.participants for session in live),
        "accepting": running.manager.accepting,
        "sessions": [session.describe() for session in live],
        "totals": {
            "started": totals.started,
            "ended": totals.ended,
            "refused": totals.refused,
            "by_reason": totals.by_reason,
        },
        "events": {"committed": running.writer.committed, "pending": running.writer.pending},
    }


@router.websocket("/ws/dashboard")
async def dashboard(websocket: WebSocket) -> None:
    """A snapshot a second until the client goes."""
    await websocket.accept()
    try:
        await websocket_caller(websocket)
    except AntiphonError as error:
        await websocket.close(error.close_code, error.message[:120])
        return
    running = server(websocket)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_until_gone(websocket))
            while True:
                await websocket.send_json(_snapshot(running))
                await asyncio.sleep(PERIOD_SECS)
    except* (WebSocketDisconnect, RuntimeError):
        log.debug("a dashboard has gone")


async def _until_gone(websocket: WebSocket) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
