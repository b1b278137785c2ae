"""The REST interface of the RustPBX media server: `/rooms`, with its exact shapes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from antiphon.api.auth import require_key
from antiphon.api.deps import Server, ServerDep
from antiphon.api.models import BAD_BODY, FORBIDDEN, LIMITED, NOT_FOUND, UNAUTHORIZED, Message
from antiphon.errors import NotFound
from antiphon.sessions.rooms import Room
from antiphon.sessions.session import Session

router = APIRouter(
    prefix="/rooms", tags=["rustpbx"], dependencies=[Depends(require_key)], responses=UNAUTHORIZED
)
RoomId = Annotated[str, Path(max_length=300)]


class RoomRequest(BaseModel):
    """A room to make."""

    name: str = Field(min_length=1, max_length=255, examples=["support"])
    system_prompt: str = Field("", max_length=2048, examples=["You are a helpful assistant."])


class PromptRequest(BaseModel):
    """A new prompt."""

    system_prompt: str = Field(max_length=2048)


class RoomReply(BaseModel):
    """A room, as the media server shows it."""

    id: str
    name: str
    system_prompt: str
    created_at: str
    active: bool = Field(description="Whether a session lives there.")
    metadata: dict[str, Any]


def _reply(server: Server, room: Room) -> RoomReply:
    live = server.manager.find_room(room.id) or server.manager.find_room(room.name)
    return RoomReply(
        id=room.id,
        name=room.name,
        system_prompt=live.prompt if live else room.system_prompt,
        created_at=room.created_at.isoformat(),
        active=live is not None,
        metadata={**room.metadata, **({"session_id": live.id} if live else {})},
    )


def _live_reply(session: Session) -> RoomReply:
    return RoomReply(
        id=session.room,
        name=session.room,
        system_prompt=session.prompt,
        created_at=session.started_at.isoformat(),
        active=True,
        metadata={"session_id": session.id},
    )


@router.post("", summary="Make a room", responses={**BAD_BODY, **LIMITED, **FORBIDDEN})
async def create_room(server: ServerDep, body: RoomRequest) -> RoomReply:
    """A call whose `room_id` is the room's id or name gets its prompt."""
    return _reply(server, server.manager.rooms.create(body.name, body.system_prompt))


@router.get("", summary="List rooms")
async def list_rooms(server: ServerDep) -> list[RoomReply]:
    """Rooms made ahead, and those that live sessions have."""
    made = [_reply(server, room) for room in server.manager.rooms.all()]
    known = {reply.metadata.get("session_id") for reply in made}
    return made + [_live_reply(s) for s in server.manager.live if s.id not in known]


@router.get("/{room_id}", summary="One room", responses=NOT_FOUND)
async def read_room(server: ServerDep, room_id: RoomId) -> RoomReply:
    """A room by id, or by the name that a live call gave it."""
    try:
        return _reply(server, server.manager.rooms.get(room_id))
    except NotFound:
        live = server.manager.find_room(room_id)
        if live is None:
            raise
        return _live_reply(live)


@router.delete("/{room_id}", summary="Delete a room", responses={**NOT_FOUND, **FORBIDDEN})
async def delete_room(server: ServerDep, room_id: RoomId) -> Message:
    """Forget a room made ahead; a call that lives there goes on."""
    server.manager.rooms.delete(room_id)
    return Message(message="Room deleted successfully")


@router.post(
    "/{room_id}/prompt",
    summary="Set a room's prompt",
    responses={**BAD_BODY, **NOT_FOUND, **FORBIDDEN},
)
async def set_prompt(server: ServerDep, room_id: RoomId, body: PromptRequest) -> Message:
    """Set the prompt of a room, and of the call that lives there."""
    live = server.manager.find_room(room_id)
    room = server.manager.rooms.find(room_id)
    if room is not None:
        server.manager.rooms.set_prompt(room.id, body.system_prompt)
        live = live or server.manager.find_room(room.name)
    elif live is None:
        server.manager.rooms.get(room_id)
    if live is not None and body.system_prompt:
        live.set_prompt(body.system_prompt, by="operator")
    return Message(message="Prompt updated successfully")
