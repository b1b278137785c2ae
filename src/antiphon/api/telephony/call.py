"""`/ws`: media streams of the telephony providers, told apart by their first message."""

import asyncio
import logging
import secrets

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from antiphon.api.auth import websocket_caller
from antiphon.api.calls.call import Call, close_refused
from antiphon.api.telephony.options import requested_url, telephony_options
from antiphon.errors import AntiphonError, ClientError, Forbidden
from antiphon.protocols.framing import Invalid
from antiphon.protocols.telephony import Provider, StreamOpening, StreamStart, TelephonyCodec
from antiphon.protocols.telephony_signatures import check_plivo, check_twilio
from antiphon.sessions.manager import Caller
from antiphon.sessions.request import CallRequest
from antiphon.transports.telephony import TelephonyPeer, make_serializer

log = logging.getLogger(__name__)

router = APIRouter()

START_SECS = 5.0
"""Longest wait for a provider's `start`; theirs for an answer is 10 s at least (Exotel's)."""


class TelephonyCall(Call):
    """A telephone call by a provider's media stream.

    Its `start` message comes before anything is decided: it says which agent to ask for, and for
    Twilio, which strips a URL's query, it also carries the ticket.
    """

    transport = "telephony"

    def __init__(self, websocket: WebSocket):
        super().__init__(websocket, TelephonyCodec())
        self.options = telephony_options(websocket)
        self.start: StreamStart | None = None

    async def run(self, *, subprotocol: str | None = None) -> None:
        """Accept the stream and carry it to its end; a refusal is the close's reason."""
        await self.websocket.accept(subprotocol)
        try:
            self.server.authenticator.check_origin(self.websocket.headers)
            self.start = await self._opening()
            self.transport = self.start.provider.value
            await self.answer(await self._caller(self.start))
        except AntiphonError as error:
            await self.refuse(error)
        except WebSocketDisconnect:
            log.debug("the provider left before its call began")

    async def refuse(self, error: AntiphonError) -> None:
        """Close with the reason; a text would only count as an error with the provider."""
        await close_refused(self.websocket, error)

    async def answer(self, caller: Caller) -> None:
        """Enter the room that was asked for, or one of the call's own, and talk."""
        start = self.start
        assert start is not None
        session = self.enter(
            caller,
            CallRequest(
                agent=start.agent,
                language=start.language,
                room=start.room or start.call_id,
                variables=prompt_variables(start),
                input_rate=start.sample_rate,
                output_rate=start.sample_rate,
                resumable=False,  # no provider opens a lost stream again
            ),
        )
        peer = TelephonyPeer(
            participant=secrets.token_hex(4),
            socket=self.websocket,
            start=start,
            serializer=make_serializer(start, self.options.credentials),
            clock=self.server.clock,
        )
        await session.join(peer)
        departure = await self.talk(peer)
        if departure.reason in ("lost", "slow_reader"):
            # The call itself may still be up, with nobody to speak to the caller.
            await peer.hang_up()

    async def _opening(self) -> StreamStart:
        opening = StreamOpening(self.websocket.query_params)
        try:
            async with asyncio.timeout(START_SECS):
                while True:
                    found = opening.receive(await self.websocket.receive_text())
                    if isinstance(found, Invalid):
                        raise found.error
                    if found is not None:
                        return found
        except TimeoutError:
            raise ClientError(
                f"no start message came within {START_SECS:g} s", code="start_timeout"
            ) from None
        except KeyError:  # Starlette's way of saying that the message was binary
            raise ClientError("media streams are JSON text, not binary", code="binary") from None

    async def _caller(self, start: StreamStart) -> Caller:
        """Who calls, by the handshake's signature, the stream's token, or as everywhere.

        Raises:
            Unauthorized: by none of these.
        """
        address = self.websocket.client.host if self.websocket.client else ""
        if self._is_signed(start.provider):
            return Caller(address=address, key_id=start.provider.value)
        if start.token is None:
            return await websocket_caller(self.websocket)
        key_id = await self.server.authenticator.authenticate(start.token)
        return Caller(address=address, key_id=key_id)

    def _is_signed(self, provider: Provider) -> bool:
        """Whether the provider signed the handshake; a signature that fails lets nobody in."""
        headers = self.websocket.headers
        secret = self.options.signing_secret(provider)
        url = requested_url(self.websocket, self.options)
        if not secret:
            return False
        try:
            if provider is Provider.TWILIO:
                signature = headers.get("x-twilio-signature", "")
                check_twilio(url=url, form=(), signature=signature, auth_token=secret)
                return True
            if provider is Provider.PLIVO:
                check_plivo(
                    method="GET",
                    url=url,
                    form=(),
                    signature=headers.get("x-plivo-signature-v3", ""),
                    nonce=headers.get("x-plivo-signature-v3-nonce", ""),
                    auth_token=secret,
                )
                return True
        except Forbidden as error:
            log.debug("the stream is not let in by its signature: %s", error.message)
        return False


def prompt_variables(start: StreamStart) -> dict[str, str]:
    """What the call fills the placeholders of prompt and greeting with."""
    return {
        **start.variables,
        "from_number": start.from_number,
        "to_number": start.to_number,
        "call_id": start.call_id,
    }


@router.websocket("/ws")
async def stream(websocket: WebSocket) -> None:
    """Media streams of Twilio, Telnyx, Plivo and Exotel."""
    await TelephonyCall(websocket).run()
