"""An Asterisk channel as the participant of a session."""

from antiphon.domain.audio import AudioFormat
from antiphon.domain.events import Event
from antiphon.errors import Conflict
from antiphon.transports.asterisk.transport import AsteriskWebsocketTransport
from antiphon.transports.participant import CallTransport


class AsteriskParticipant:
    """The only participant of its session, whose pipeline stands on the channel itself.

    Args:
        participant: Its id in the session.
        transport: The channel's transport, its MEDIA_START known.
    """

    transport_name = "asterisk"
    close_is_goodbye = True
    """Asterisk closes in order when a channel is hung up, whatever the cause."""

    def __init__(self, participant: str, transport: AsteriskWebsocketTransport):
        self.participant = participant
        self.transport = transport
        started = transport.started
        self.wire = AudioFormat(started.sample_rate if started else transport.output_sample_rate)

    @property
    def remote(self) -> str:
        """Address of Asterisk, `host:port`."""
        return self.transport.remote

    def join(self, transport: CallTransport) -> None:
        """Nothing to attach: the pipeline is on the channel.

        Raises:
            Conflict: the session stands on another transport.
        """
        if transport is not self.transport:
            raise Conflict(
                "a telephone line cannot join a session that is already there; give its room no "
                "name that is taken",
                field="room",
                code="cannot_share",
            )

    def leave(self) -> None:
        """Nothing to detach."""

    def tell(self, event: Event) -> None:
        """Asterisk reads no facts."""

    def close(self, code: int = 1000, reason: str = "", *, departure: str = "") -> None:
        """Close the socket, which hangs up, if the pipeline's end has not."""
        self.transport.close(code, reason, departure=departure)
