"""`/api/realtime/pipecat/ws/{conversation_id}`: the browser assistant."""

import hmac

from fastapi import APIRouter
from starlette.websockets import WebSocket

from antiphon.api.calls.call import Call
from antiphon.errors import InvalidRequest, NotFound, Unauthorized
from antiphon.protocols.browser import BrowserCodec, BrowserOptions
from antiphon.protocols.framing import Interrupt, Message, UserText
from antiphon.protocols.query import MAX_NAME_CHARS
from antiphon.sessions.manager import Caller
from antiphon.sessions.request import CallRequest
from antiphon.sessions.session import Session
from antiphon.transports.websocket import WebsocketPeer

router = APIRouter()


class BrowserCall(Call):
    """A call from a web page."""

    transport = "browser"

    def __init__(self, websocket: WebSocket, room: str):
        super().__init__(websocket, BrowserCodec())
        self.room = room

    async def answer(self, caller: Caller) -> None:
        """Enter the conversation, or rejoin the one that the resume token is for."""
        if len(self.room) > MAX_NAME_CHARS:
            raise InvalidRequest(
                f"conversation_id has {len(self.room)} characters; use at most {MAX_NAME_CHARS}",
                field="conversation_id",
            )
        options = BrowserOptions.from_query(self.websocket.query_params.multi_items())
        codec = BrowserCodec(sample_rate=options.sample_rate)
        self.codec = codec
        session = self._resumed(options.resume) if options.resume else self._new(caller, options)
        peer = self.peer(sample_rate=options.sample_rate, frame_ms=options.frame_ms)
        signature = self.server.authenticator.sign(f"resume:{session.id}")
        peer.send_text(
            codec.session(
                session_id=session.id,
                resume_token=f"{session.id}.{signature}",
                agent=session.runtime.definition.name,
                room=session.room,
            )
        )
        await session.join(peer)
        await self.talk(peer)

    def _resumed(self, token: str) -> Session:
        """The session that a resume token is for.

        Raises:
            Unauthorized: the token was not made by this server.
            NotFound: the session has ended.
        """
        session_id, _, signature = token.partition(".")
        expected = self.server.authenticator.sign(f"resume:{session_id}")
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise Unauthorized("the resume token is not valid", field="resume")
        try:
            self.session = self.server.manager.get(session_id)
        except NotFound as error:
            raise NotFound(
                "the session has ended; connect without a resume token",
                field="resume",
                code="ended",
            ) from error
        return self.session

    def _new(self, caller: Caller, options: BrowserOptions) -> Session:
        agent = options.agent_name
        # The original's default agent name is not one of ours: it means "the default agent".
        if agent not in self.server.manager.runtimes:
            agent = None
        return self.enter(
            caller,
            CallRequest(
                agent=agent,
                room=self.room,
                prompt=options.system_prompt,
                input_rate=options.sample_rate,
                output_rate=options.sample_rate,
            ),
        )

    async def on_message(self, peer: WebsocketPeer, message: Message) -> None:
        """Typed turns and the stop button, beside what every call can say."""
        if isinstance(message, UserText):
            await self.joined.type(message.text)
        elif isinstance(message, Interrupt):
            await self.joined.interrupt(by="user")
        else:
            await super().on_message(peer, message)


@router.websocket("/api/realtime/pipecat/ws/{conversation_id}")
async def browser(websocket: WebSocket, conversation_id: str) -> None:
    """The browser assistant: PCM16 both ways, events as JSON."""
    await BrowserCall(websocket, conversation_id).run()
