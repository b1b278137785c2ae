"""Where calls come in: one WebSocket endpoint a protocol."""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from antiphon.api.auth import websocket_caller
from antiphon.api.deps import Server, server
from antiphon.clock import epoch_ms
from antiphon.domain.audio import AudioFormat
from antiphon.domain.session import EndReason
from antiphon.errors import AntiphonError, InvalidRequest, NotFound, Unauthorized
from antiphon.protocols.browser import BrowserCodec, BrowserOptions
from antiphon.protocols.framing import (
    Configure,
    Disconnect,
    Dtmf,
    Interrupt,
    Message,
    Ping,
    UserText,
)
from antiphon.protocols.pcm import PcmCodec, PcmOptions
from antiphon.protocols.query import MAX_NAME_CHARS
from antiphon.protocols.rustpbx import INPUT_SAMPLE_RATE_HZ, RustpbxCodec, RustpbxOptions
from antiphon.sessions.manager import Caller
from antiphon.sessions.session import Session
from antiphon.transports.websocket import Codec, WebsocketPeer

log = logging.getLogger(__name__)

router = APIRouter()

CLOSE_REASON_BYTES = 120
"""A WebSocket close frame has room for 123 bytes of reason."""


class _Call:
    """One connection on its way into a session."""

    def __init__(self, websocket: WebSocket, codec: Codec):
        self.websocket = websocket
        self.server: Server = server(websocket)
        self.codec = codec
        self.session: Session | None = None

    @property
    def now_ms(self) -> int:
        return epoch_ms(self.server.clock.utc_now())

    async def refuse(self, error: AntiphonError) -> None:
        """Say why, then close; browsers cannot read an HTTP status of a refused WebSocket."""
        log.log(error.log_level, "call refused: %s", error.message)
        try:
            await self.websocket.send_text(self.codec.error(error, self.now_ms))
            reason = error.message.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")
            await self.websocket.close(error.close_code, reason)
        except (RuntimeError, WebSocketDisconnect):
            log.debug("the refused peer had gone already")

    def enter(
        self,
        caller: Caller,
        *,
        transport: str,
        agent: str | None,
        room: str,
        prompt: str | None,
        input_rate: int,
        output_rate: int,
    ) -> Session:
        """The session of the room, or a new one.

        Raises:
            AntiphonError: a limit, or an agent that does not exist.
        """
        manager = self.server.manager
        session = manager.find_room(room)
        if session is None:
            runtime = manager.runtime(agent)
            manager.admit(caller)
            session = manager.start(
                runtime,
                manager.plan(
                    runtime,
                    transport=transport,
                    room=room,
                    prompt=prompt,
                    source_sample_rate=input_rate,
                    output_sample_rate=output_rate,
                ),
            )
        self.session = session
        return session

    async def hang_up(self, message: Disconnect) -> None:
        """The peer said goodbye: end the session, which tells the peer and closes the socket."""
        assert self.session is not None
        await self.session.end(EndReason.CALLER_HANGUP, detail=message.reason)

    async def talk(
        self, peer: WebsocketPeer, on_message: Callable[[WebsocketPeer, Message], Awaitable[None]]
    ) -> None:
        """Be in the session until the connection ends."""
        assert self.session is not None
        try:
            departure = await peer.run(on_message)
        finally:
            session = self.session
        await session.leave(peer, departure)

    def peer(self, *, transport: str, sample_rate: int, frame_ms: int) -> WebsocketPeer:
        """This connection as a participant."""
        return WebsocketPeer(
            participant=secrets.token_hex(4),
            transport_name=transport,
            socket=self.websocket,
            codec=self.codec,
            wire=AudioFormat(sample_rate),
            frame_ms=frame_ms,
            clock=self.server.clock,
        )


# RustPBX


class _RustpbxCall(_Call):
    """A call from RustPBX; its first message may name the room."""

    codec: RustpbxCodec

    def __init__(self, websocket: WebSocket, codec: RustpbxCodec, options: RustpbxOptions):
        super().__init__(websocket, codec)
        self.codec = codec
        self.options = options

    async def first_messages(self) -> list[Message]:
        """What the peer says first, within the configured wait; `configure` names the room."""
        wait = self.server.settings.rustpbx_configure_wait_ms / 1000
        try:
            async with asyncio.timeout(wait):
                raw = await self.websocket.receive()
        except TimeoutError:
            return []
        if raw["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(raw.get("code", 1006))
        if raw.get("bytes") is not None:
            return list(self.codec.receive_bytes(raw["bytes"]))
        return list(self.codec.receive_text(raw.get("text") or ""))

    async def run(self, caller: Caller) -> None:
        first = await self.first_messages()
        configure = next((m for m in first if isinstance(m, Configure)), None)
        room = (configure.room if configure else None) or self.options.room or ""
        options = self.options
        session = self.enter(
            caller,
            transport="rustpbx",
            agent=options.agent,
            room=room,
            prompt=configure.system_prompt if configure else None,
            input_rate=INPUT_SAMPLE_RATE_HZ,
            output_rate=options.sample_rate,
        )
        self.codec.room = room or session.id
        peer = self.peer(
            transport="rustpbx", sample_rate=options.sample_rate, frame_ms=options.frame_ms
        )
        await session.join(peer)
        for message in first:
            await peer.handle(message, self.on_message)
        await self.talk(peer, self.on_message)

    async def on_message(self, peer: WebsocketPeer, message: Message) -> None:
        if isinstance(message, Ping):
            peer.send_text(self.codec.pong(message, self.now_ms))
        elif isinstance(message, Disconnect):
            await self.hang_up(message)
        elif isinstance(message, Configure):
            await self.configure(peer, message)

    async def configure(self, peer: WebsocketPeer, message: Configure) -> None:
        assert self.session is not None
        await self.move(peer, message.room)
        try:
            await self.session.configure(
                system_prompt=message.system_prompt,
                stt=message.stt,
                llm=message.llm,
                tts=message.tts,
            )
        except AntiphonError as error:
            peer.send_error(error)

    async def move(self, peer: WebsocketPeer, room: str | None) -> None:
        """A late `configure` named the room of another live session: the call belongs there."""
        assert self.session is not None
        other = self.server.manager.find_room(room) if room else None
        if other is not None and other is not self.session:
            fresh, self.session = self.session, other
            await fresh.hand_over(peer)
            await other.join(peer)
        elif room and other is None:
            self.server.manager.rename(self.session, room)


@router.websocket("/ws/rustpbx")
async def rustpbx(websocket: WebSocket) -> None:
    """RustPBX's media-server protocol, all client generations."""
    await _rustpbx(websocket, path_is_root=False)


@router.websocket("/")
async def rustpbx_root(websocket: WebSocket) -> None:
    """The same at the path that the newest RustPBX dials by default."""
    await _rustpbx(websocket, path_is_root=True)


async def _rustpbx(websocket: WebSocket, *, path_is_root: bool) -> None:
    settings = server(websocket).settings
    await websocket.accept()
    fallback = RustpbxCodec()
    try:
        caller = await websocket_caller(websocket)
        options = RustpbxOptions.from_query(
            websocket.query_params.multi_items(),
            output=settings.rustpbx_output,
            sample_rate=settings.rustpbx_sample_rate,
            frame_ms=settings.rustpbx_frame_ms,
        )
    except AntiphonError as error:
        await _Call(websocket, fallback).refuse(error)
        return
    codec = RustpbxCodec(
        output=options.output, path_is_root=path_is_root, sample_rate=options.sample_rate
    )
    call = _RustpbxCall(websocket, codec, options)
    try:
        await websocket.send_text(codec.connected(call.now_ms))
        await call.run(caller)
    except AntiphonError as error:
        await call.refuse(error)
    except WebSocketDisconnect:
        log.debug("the peer left before its call began")


# Raw PCM


class _PcmCall(_Call):
    codec: PcmCodec

    def __init__(self, websocket: WebSocket, codec: PcmCodec):
        super().__init__(websocket, codec)
        self.codec = codec

    async def on_message(self, peer: WebsocketPeer, message: Message) -> None:
        assert self.session is not None
        if isinstance(message, Ping):
            peer.send_text(self.codec.pong(message, self.now_ms))
        elif isinstance(message, Disconnect):
            await self.hang_up(message)
        elif isinstance(message, Dtmf):
            await self.session.press(message.digit)


@router.websocket("/ws/pcm")
async def pcm(websocket: WebSocket) -> None:
    """Headerless PCM16 both ways, key presses as text."""
    await websocket.accept()
    try:
        caller = await websocket_caller(websocket)
        options = PcmOptions.from_query(websocket.query_params.multi_items())
    except AntiphonError as error:
        await _Call(websocket, PcmCodec()).refuse(error)
        return
    call = _PcmCall(websocket, PcmCodec(sample_rate=options.sample_rate))
    try:
        session = call.enter(
            caller,
            transport="pcm",
            agent=options.agent,
            room=options.room or "",
            prompt=None,
            input_rate=options.sample_rate,
            output_rate=options.sample_rate,
        )
        peer = call.peer(
            transport="pcm", sample_rate=options.sample_rate, frame_ms=options.frame_ms
        )
        peer.close_is_goodbye = True
        await session.join(peer)
        await call.talk(peer, call.on_message)
    except AntiphonError as error:
        await call.refuse(error)


# Browser


class _BrowserCall(_Call):
    codec: BrowserCodec

    def __init__(self, websocket: WebSocket, codec: BrowserCodec):
        super().__init__(websocket, codec)
        self.codec = codec

    async def on_message(self, peer: WebsocketPeer, message: Message) -> None:
        assert self.session is not None
        if isinstance(message, Ping):
            peer.send_text(self.codec.pong(message, self.now_ms))
        elif isinstance(message, Disconnect):
            await self.hang_up(message)
        elif isinstance(message, UserText):
            await self.session.type(message.text)
        elif isinstance(message, Interrupt):
            await self.session.interrupt(by="user")
        elif isinstance(message, Dtmf):
            await self.session.press(message.digit)


def _resumed(call: _Call, token: str) -> Session:
    """The session that a resume token is for.

    Raises:
        Unauthorized: the token was not made by this server.
        NotFound: the session has ended.
    """
    session_id, _, signature = token.partition(".")
    expected = call.server.authenticator.sign(f"resume:{session_id}")
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Unauthorized("the resume token is not valid", field="resume")
    try:
        return call.server.manager.get(session_id)
    except NotFound as error:
        raise NotFound(
            "the session has ended; connect without a resume token", field="resume", code="ended"
        ) from error


@router.websocket("/api/realtime/pipecat/ws/{conversation_id}")
async def browser(websocket: WebSocket, conversation_id: str) -> None:
    """The browser assistant: PCM16 both ways, events as JSON."""
    await websocket.accept()
    try:
        _check_room(conversation_id)
        caller = await websocket_caller(websocket)
        options = BrowserOptions.from_query(websocket.query_params.multi_items())
    except AntiphonError as error:
        await _Call(websocket, BrowserCodec()).refuse(error)
        return
    call = _BrowserCall(websocket, BrowserCodec(sample_rate=options.sample_rate))
    try:
        session = _browser_session(call, caller, conversation_id, options)
        peer = call.peer(
            transport="browser", sample_rate=options.sample_rate, frame_ms=options.frame_ms
        )
        signature = call.server.authenticator.sign(f"resume:{session.id}")
        peer.send_text(
            call.codec.session(
                session_id=session.id,
                resume_token=f"{session.id}.{signature}",
                agent=session.runtime.definition.name,
                room=session.room,
            )
        )
        await session.join(peer)
        await call.talk(peer, call.on_message)
    except AntiphonError as error:
        await call.refuse(error)


def _check_room(name: str) -> None:
    if len(name) > MAX_NAME_CHARS:
        raise InvalidRequest(
            f"conversation_id has {len(name)} characters; use at most {MAX_NAME_CHARS}",
            field="conversation_id",
        )


def _browser_session(
    call: _BrowserCall, caller: Caller, room: str, options: BrowserOptions
) -> Session:
    if options.resume:
        call.session = _resumed(call, options.resume)
        return call.session
    agent = options.agent_name
    # The original's default agent name is not one of ours: it means "the default agent".
    if agent not in call.server.manager.runtimes:
        agent = None
    return call.enter(
        caller,
        transport="browser",
        agent=agent,
        room=room,
        prompt=options.system_prompt,
        input_rate=options.sample_rate,
        output_rate=options.sample_rate,
    )
