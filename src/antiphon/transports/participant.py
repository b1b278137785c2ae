"""What a session knows of a connection, and of the transport its pipeline stands on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipecat.processors.frame_processor import FrameProcessor

from antiphon.domain.audio import AudioFormat
from antiphon.domain.events import Event


@dataclass(frozen=True, slots=True)
class Departure:
    """How a connection ended."""

    reason: str
    """`disconnect` (the peer said goodbye), `closed` (orderly close), `lost`, `slow_reader`, or the
    reason the server closed it with."""
    close_code: int | None = None


class CallOutput(Protocol):
    """The processor that plays the agent's audio."""

    on_spoken: Callable[[str], None] | None
    """Called with each piece of text once the caller has heard it."""


class CallTransport(Protocol):
    """A Pipecat transport that a session's pipeline is built on."""

    @property
    def input_sample_rate(self) -> int:
        """Hz, of the audio it puts into the pipeline."""

    @property
    def output_sample_rate(self) -> int:
        """Hz, of the audio it takes out of it."""

    def input(self) -> FrameProcessor:
        """The pipeline's first processor."""

    def output(self) -> FrameProcessor:
        """The processor that plays audio: a `CallOutput`."""


class Participant(Protocol):
    """One connection in a session."""

    participant: str
    """Its id in the session."""
    transport_name: str
    wire: AudioFormat
    """Format of the agent's audio on the wire."""
    close_is_goodbye: bool
    """Whether an orderly close means that the caller hung up."""

    @property
    def remote(self) -> str:
        """Address of the peer, `host:port`."""

    def join(self, transport: CallTransport) -> None:
        """Attach to a session's transport: hear it and be heard.

        Raises:
            Conflict: the session's transport belongs to another connection alone.
        """

    def leave(self) -> None:
        """Detach from the session."""

    def tell(self, event: Event) -> None:
        """Tell the peer of a fact; a sink of the event log."""

    def close(self, code: int = 1000, reason: str = "", *, departure: str = "") -> None:
        """Close once what is queued has been sent."""
