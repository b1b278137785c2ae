"""`/ws/pcm`: headerless PCM16 both ways."""

from fastapi import APIRouter
from starlette.websockets import WebSocket

from antiphon.api.calls.call import Call
from antiphon.protocols.pcm import PcmCodec, PcmOptions
from antiphon.sessions.manager import Caller
from antiphon.sessions.request import CallRequest

router = APIRouter()


class PcmCall(Call):
    """A call that brings nothing but audio and key presses."""

    transport = "pcm"

    def __init__(self, websocket: WebSocket):
        super().__init__(websocket, PcmCodec())

    async def answer(self, caller: Caller) -> None:
        """Enter the room of the query; an orderly close is the only goodbye there is."""
        options = PcmOptions.from_query(self.websocket.query_params.multi_items())
        self.codec = PcmCodec(sample_rate=options.sample_rate)
        session = self.enter(
            caller,
            CallRequest(
                agent=options.agent,
                room=options.room or "",
                input_rate=options.sample_rate,
                output_rate=options.sample_rate,
            ),
        )
        peer = self.peer(sample_rate=options.sample_rate, frame_ms=options.frame_ms)
        peer.close_is_goodbye = True
        await session.join(peer)
        await self.talk(peer)


@router.websocket("/ws/pcm")
async def pcm(websocket: WebSocket) -> None:
    """Headerless PCM16 both ways, key presses as text."""
    await PcmCall(websocket).run()
