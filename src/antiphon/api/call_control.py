"""`/api/v1/calls` and the telephone side of a session: place, transfer, hold, tones.

Without ARI configured each of these answers 409 `ari_not_configured`; while Asterisk's event socket
is not connected, 503 `ari_unreachable`.
"""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Path, Response
from pydantic import BaseModel, Field, StringConstraints

from antiphon.api.auth import require_key
from antiphon.api.deps import ServerDep
from antiphon.api.models import (
    BAD_BODY,
    CONFLICT,
    FORBIDDEN,
    LIMITED,
    NOT_FOUND,
    UNAUTHORIZED,
    Done,
    ErrorReply,
)
from antiphon.domain.calls import CallDirection, CallState, TransferMode
from antiphon.sessions.manager import Caller
from antiphon.telephony.ari import AriCallControl
from antiphon.telephony.ari.errors import not_configured

router = APIRouter(
    prefix="/api/v1", tags=["calls"], dependencies=[Depends(require_key)], responses=UNAUTHORIZED
)

_EXCHANGE: dict[int | str, dict[str, object]] = {
    502: {"model": ErrorReply, "description": "Asterisk refused"},
    503: {"model": ErrorReply, "description": "Asterisk cannot be reached"},
}
_ACTION = {**NOT_FOUND, **CONFLICT, **FORBIDDEN, **_EXCHANGE}
_WITH_BODY = {**BAD_BODY, **_ACTION}

SessionId = Annotated[str, Path(max_length=64, examples=["019a5f0e8c2b7d10a1b2c3d4e5f60718"])]
CallId = Annotated[str, Path(max_length=64, examples=["9f86d081884c7d65"])]


def call_control(server: ServerDep) -> AriCallControl:
    """The exchange.

    Raises:
        Conflict: none is configured (`ari_not_configured`).
    """
    if server.call_control is None:
        raise not_configured()
    return server.call_control


Control = Annotated[AriCallControl, Depends(call_control)]


class NewCall(BaseModel):
    """A call to place."""

    to: str = Field(
        min_length=1, max_length=64, description="Number or extension.", examples=["+49301234567"]
    )
    agent: str | None = Field(
        None, max_length=64, description="Who talks; the default agent if not given."
    )
    transport: Literal["asterisk"] = "asterisk"
    ring_timeout_secs: int | None = Field(
        None, ge=1, le=300, description="How long it may ring, s; the setting if not given."
    )
    variables: dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=500)],
    ] = Field(
        default_factory=dict,
        max_length=20,
        description="Given to the agent's prompt, as `v(…)` does for inbound calls.",
        examples=[{"customer": "Anna", "order": "10045"}],
    )


class CallView(BaseModel):
    """One call at the exchange."""

    id: str
    direction: CallDirection
    number: str = Field(description="The other side's number.")
    agent: str
    state: CallState
    reason: str = Field(
        description="Why it ended: busy, no_answer, rejected, unreachable, failed, caller_hung_up, "
        "agent_left, agent_unavailable, target_left, shutdown; empty until then."
    )
    session_id: str = Field(description="The conversation; empty until the agent is there.")
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None


class Transfer(BaseModel):
    """Where the caller is to go."""

    target: str = Field(
        min_length=1,
        max_length=64,
        description="A name of transfer_targets, or a number.",
        examples=["sales"],
    )
    mode: TransferMode = TransferMode.BLIND
    announcement: str = Field(
        "", max_length=1000, description="Attended: what the agent tells the target first."
    )


class TransferView(BaseModel):
    """How it went; when it failed, the caller is back with the agent."""

    connected: bool
    target: str
    mode: TransferMode
    reason: str = Field(
        description="Empty when connected; else busy, no_answer, rejected, unreachable, failed, "
        "cancelled, caller_left or agent_left."
    )
    caller_is_with_agent: bool


class Tones(BaseModel):
    """Keys to press."""

    digits: str = Field(
        min_length=1, max_length=64, description="0-9 A-D * # and w (500 ms).", examples=["1w42#"]
    )


_TRANSFERS = {
    "blind": {"summary": "Connect at once", "value": {"target": "sales", "mode": "blind"}},
    "attended": {
        "summary": "Tell the person first",
        "value": {
            "target": "sales",
            "mode": "attended",
            "announcement": "Anna Berg is on the line about order 10045.",
        },
    },
}


@router.post(
    "/calls", status_code=202, summary="Call somebody", responses={**_WITH_BODY, **LIMITED}
)
async def place_call(
    server: ServerDep,
    control: Control,
    body: NewCall,
    response: Response,
    caller: Annotated[Caller, Depends(require_key)],
) -> CallView:
    """Begin to call somebody; `GET /api/v1/calls/{id}` tells how it goes.

    The agent's session begins once the far end has answered.
    """
    server.manager.admit(caller)
    agent = server.manager.runtime(body.agent).definition.name
    call = control.originate(
        body.to,
        agent=agent,
        ring_timeout_secs=body.ring_timeout_secs,
        variables=body.variables,
    )
    response.headers["Location"] = f"/api/v1/calls/{call.id}"
    return CallView.model_validate(call.describe())


@router.get("/calls", summary="Calls under way", responses=CONFLICT)
async def list_calls(control: Control) -> list[CallView]:
    """The calls of this process that have not ended, oldest first."""
    return [CallView.model_validate(call.describe()) for call in control.book.live]


@router.get("/calls/{call_id}", summary="One call", responses={**NOT_FOUND, **CONFLICT})
async def read_call(control: Control, call_id: CallId) -> CallView:
    """A call of this process, inbound or outbound; ended ones are kept for a while."""
    return CallView.model_validate(control.book.get(call_id).describe())


@router.post("/sessions/{session_id}/transfer", summary="Transfer", responses=_WITH_BODY)
async def transfer(
    server: ServerDep,
    control: Control,
    session_id: SessionId,
    body: Annotated[Transfer, Body(openapi_examples=_TRANSFERS)],
) -> TransferView:
    """Hand the caller to somebody else; answers once that is decided, after ringing.

    A target that does not answer is no error of the request: `connected` is false, and the caller
    is back with the agent.
    """
    server.manager.get(session_id)
    result = await control.transfer(
        session_id, body.target, body.mode, announcement=body.announcement, any_number=True
    )
    return TransferView(
        connected=result.connected,
        target=result.target,
        mode=result.mode,
        reason=result.reason,
        caller_is_with_agent=result.caller_is_with_agent,
    )


@router.post("/sessions/{session_id}/hold", summary="Hold the caller", responses=_ACTION)
async def hold(server: ServerDep, control: Control, session_id: SessionId) -> Done:
    """Let the caller hear music."""
    server.manager.get(session_id)
    await control.hold(session_id)
    return Done()


@router.post("/sessions/{session_id}/unhold", summary="Take the caller back", responses=_ACTION)
async def unhold(server: ServerDep, control: Control, session_id: SessionId) -> Done:
    """Let the caller and the agent hear each other again."""
    server.manager.get(session_id)
    await control.unhold(session_id)
    return Done()


@router.post("/sessions/{session_id}/dtmf", summary="Send tones", responses=_WITH_BODY)
async def send_dtmf(
    server: ServerDep, control: Control, session_id: SessionId, body: Tones
) -> Done:
    """Press keys towards the caller's side."""
    server.manager.get(session_id)
    await control.send_dtmf(session_id, body.digits)
    return Done()
