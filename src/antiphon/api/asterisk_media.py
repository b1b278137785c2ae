"""`/api/v1/asterisk/connections`: connect to a channel that waits for us.

With `Dial(WebSocket/INCOMING/…)` Asterisk does not dial: it waits at its own HTTP server, under
`/media/` and the channel variable MEDIA_WEBSOCKET_CONNECTION_ID. The dialplan, or whoever knows the
id, tells it here.
"""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, StringConstraints

from antiphon.api.auth import require_key
from antiphon.api.calls.asterisk import open_line
from antiphon.api.deps import ServerDep
from antiphon.api.models import (
    BAD_BODY,
    CONFLICT,
    FORBIDDEN,
    LIMITED,
    NOT_FOUND,
    UNAUTHORIZED,
    ErrorReply,
)
from antiphon.errors import Unavailable
from antiphon.sessions.manager import Caller
from antiphon.transports.asterisk import ConnectionEnded, DialledConnection

router = APIRouter(prefix="/api/v1/asterisk", tags=["calls"])


class WaitingChannel(BaseModel):
    """A channel that waits."""

    connection_id: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,150}$",
        description="The channel variable MEDIA_WEBSOCKET_CONNECTION_ID.",
        examples=["0d2e6f0c-5a3b-4c1e-9d57-1b7f4f5b1c11"],
    )
    agent: str | None = Field(None, max_length=64, description="Who talks; None: the default.")
    language: str | None = Field(None, max_length=16, description="Chooses an agent by language.")
    uniqueid: str = Field(
        "", max_length=150, description="`${UNIQUEID}` of the caller's channel, for call control."
    )
    variables: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")],
        Annotated[str, StringConstraints(max_length=500)],
    ] = Field(
        default_factory=dict, max_length=20, description="For the placeholders of the prompt."
    )


class Connected(BaseModel):
    """The agent is on the line."""

    session_id: str
    format: str = Field(description="The channel's media format.", examples=["slin16"])


@router.post(
    "/connections",
    status_code=201,
    summary="Connect to a waiting channel",
    responses={
        **BAD_BODY,
        **UNAUTHORIZED,
        **FORBIDDEN,
        **NOT_FOUND,
        **CONFLICT,
        **LIMITED,
        503: {"model": ErrorReply, "description": "Asterisk cannot be reached, or has no such id"},
    },
)
async def connect(
    waiting: WaitingChannel, server: ServerDep, caller: Caller = Depends(require_key)
) -> Connected:
    """Returns when the agent is on the line; the call then goes on by itself."""
    base = server.settings.asterisk_media_url.rstrip("/")
    connection = DialledConnection(f"{base}/{quote(waiting.connection_id, safe='')}")
    chosen = {
        "agent": waiting.agent,
        "language": waiting.language,
        "uniqueid": waiting.uniqueid or None,
    }
    query = {**waiting.variables, **{name: one for name, one in chosen.items() if one}}
    try:
        line = await open_line(server, caller, connection, query.items())
    except (ConnectionError, ConnectionEnded) as error:
        raise Unavailable(
            f"the channel does not wait at {base}: {error}", code="asterisk_unreachable"
        ) from error
    except BaseException:
        await connection.close()
        raise
    server.lines.carry(line.carry())
    started = line.participant.transport.started
    assert started is not None
    return Connected(session_id=line.session.id, format=started.format.name)
