"""`/ws/rustpbx`, and `/` for the newest RustPBX: its media-server protocol."""

import asyncio

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from antiphon.api.calls.call import Call
from antiphon.errors import AntiphonError
from antiphon.protocols.framing import Configure, Message
from antiphon.protocols.rustpbx import INPUT_SAMPLE_RATE_HZ, RustpbxCodec, RustpbxOptions
from antiphon.sessions.manager import Caller
from antiphon.sessions.request import CallRequest
from antiphon.transports.websocket import WebsocketPeer

router = APIRouter()


class RustpbxCall(Call):
    """A call from RustPBX; its first message may name the room.

    Args:
        websocket: The socket, not yet accepted.
        path_is_root: It came in at `/`, which only the newest client dials.
    """

    transport = "rustpbx"

    def __init__(self, websocket: WebSocket, *, path_is_root: bool):
        super().__init__(websocket, RustpbxCodec())
        self._path_is_root = path_is_root

    async def answer(self, caller: Caller) -> None:
        """Greet, wait a moment for `configure`, enter the room and talk."""
        settings = self.server.settings
        options = RustpbxOptions.from_query(
            self.websocket.query_params.multi_items(),
            output=settings.rustpbx_output,
            sample_rate=settings.rustpbx_sample_rate,
            frame_ms=settings.rustpbx_frame_ms,
        )
        codec = RustpbxCodec(
            output=options.output,
            path_is_root=self._path_is_root,
            sample_rate=options.sample_rate,
        )
        self.codec = codec
        await self.websocket.send_text(codec.connected(self.now_ms))
        first = await self._first_messages(codec)
        configure = next((m for m in first if isinstance(m, Configure)), None)
        room = (configure.room if configure else None) or options.room or ""
        session = self.enter(
            caller,
            CallRequest(
                agent=options.agent,
                room=room,
                prompt=configure.system_prompt if configure else None,
                input_rate=INPUT_SAMPLE_RATE_HZ,
                output_rate=options.sample_rate,
            ),
        )
        codec.room = room or session.id
        peer = self.peer(sample_rate=options.sample_rate, frame_ms=options.frame_ms)
        await session.join(peer)
        for message in first:
            await peer.handle(message, self.on_message)
        await self.talk(peer)

    async def _first_messages(self, codec: RustpbxCodec) -> list[Message]:
        """What the peer says first, within the configured wait; `configure` names the room."""
        try:
            async with asyncio.timeout(self.server.settings.rustpbx_configure_wait_ms / 1000):
                raw = await self.websocket.receive()
        except TimeoutError:
            return []
        if raw["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(raw.get("code", 1006))
        if raw.get("bytes") is not None:
            return list(codec.receive_bytes(raw["bytes"]))
        return list(codec.receive_text(raw.get("text") or ""))

    async def on_message(self, peer: WebsocketPeer, message: Message) -> None:
        """A `configure` may come late, twice or not at all."""
        if isinstance(message, Configure):
            await self._configure(peer, message)
        else:
            await super().on_message(peer, message)

    async def _configure(self, peer: WebsocketPeer, message: Configure) -> None:
        await self._move(peer, message.room)
        try:
            await self.joined.configure(
                system_prompt=message.system_prompt,
                stt=message.stt,
                llm=message.llm,
                tts=message.tts,
            )
        except AntiphonError as error:
            peer.send_error(error)

    async def _move(self, peer: WebsocketPeer, room: str | None) -> None:
        """A late `configure` named the room of another live session: the call belongs there."""
        other = self.server.manager.find_room(room) if room else None
        if other is not None and other is not self.session:
            fresh, self.session = self.joined, other
            await fresh.hand_over(peer)
            await other.join(peer)
        elif room and other is None:
            self.server.manager.rename(self.joined, room)


@router.websocket("/ws/rustpbx")
async def rustpbx(websocket: WebSocket) -> None:
    """RustPBX's media-server protocol, all client generations."""
    await RustpbxCall(websocket, path_is_root=False).run()


@router.websocket("/")
async def rustpbx_root(websocket: WebSocket) -> None:
    """The same at the path that the newest RustPBX dials by default."""
    await RustpbxCall(websocket, path_is_root=True).run()
