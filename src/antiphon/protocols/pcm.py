"""Headerless PCM16 both ways, one endpoint for several diallers: `/ws/pcm`.

Sources: restsend/rustpbx's voip bridge dials `voip_bridge:ws://…?samplerate=&rate=&call_id=` and
exchanges 20 ms messages, 8 kHz by default, with key presses as text
`{"type":"dtmf","digit","leg_id"}` both ways; restsend/active-call's media passthrough dials with
`?sample_rate=&packet_size=`, where `packet_size` is the bytes in each of *its* packets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from antiphon.domain.events import Event
from antiphon.errors import AntiphonError
from antiphon.protocols.framing import (
    AudioIn,
    Disconnect,
    Invalid,
    Message,
    Ping,
    SampleAligner,
    encode,
    is_unsigned,
    parse_object,
    printable,
    read_dtmf,
    unsigned,
)
from antiphon.protocols.query import QueryReader, frame_ms_of_packet

DEFAULT_SAMPLE_RATE_HZ = 8_000
DEFAULT_FRAME_MS = 20
MAX_PACKET_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class PcmOptions:
    """What the query of a raw-PCM connection asks for; None: not said."""

    sample_rate: int = DEFAULT_SAMPLE_RATE_HZ
    """Hz, both ways."""
    frame_ms: int = DEFAULT_FRAME_MS
    """Length of one audio message from us, ms."""
    agent: str | None = None
    room: str | None = None
    token: str | None = field(default=None, repr=False)
    ignored: Mapping[str, str] = field(default_factory=dict)
    """Parameters that mean nothing here, for the log."""

    @classmethod
    def from_query(
        cls,
        query: Mapping[str, str] | Iterable[tuple[str, str]],
        *,
        sample_rate: int = DEFAULT_SAMPLE_RATE_HZ,
        frame_ms: int = DEFAULT_FRAME_MS,
    ) -> Self:
        """Read the query parameters; the keyword arguments are the defaults.

        `packet_size` (bytes) sets our frame length too, to the multiple of 10 ms next below, unless
        `frame_ms` says otherwise.

        Raises:
            InvalidRequest: a parameter is wrong; `details["problems"]` lists all of them.
        """
        reader = QueryReader(query)
        packet = reader.integer("packet_size", low=2, high=MAX_PACKET_BYTES, unit="bytes")
        rate, frame = reader.audio(
            sample_rate=sample_rate,
            frame_ms=frame_ms,
            frame_from=(lambda hz: frame_ms_of_packet(packet, hz)) if packet else None,
        )
        agent = reader.text("agent", limit=64)
        room = reader.text("room", "room_id", "call_id", "session_id")
        token = reader.text("token", limit=4096)
        return cls(
            sample_rate=rate,
            frame_ms=frame,
            agent=agent,
            room=room,
            token=token,
            ignored=reader.finish(),
        )


class PcmCodec:
    """One raw-PCM connection.

    Args:
        sample_rate: Hz, both ways.
    """

    def __init__(self, *, sample_rate: int = DEFAULT_SAMPLE_RATE_HZ):
        self.sample_rate = sample_rate
        self._aligner = SampleAligner()

    def receive_bytes(self, data: bytes) -> list[Message]:
        """Audio: PCM16 little-endian mono, in pieces of any size."""
        pcm = self._aligner.align(data)
        return [AudioIn(pcm, self.sample_rate)] if pcm else []

    def receive_text(self, text: str) -> list[Message]:
        """Key presses, pings and goodbyes; other types belong to the dialler and are ignored."""
        data = parse_object(text)
        if isinstance(data, Invalid):
            return [data]
        tag = next((data[k] for k in ("type", "event", "command") if data.get(k)), None)
        match tag:
            case "dtmf":
                return [read_dtmf(data)]
            case "ping":
                stamp = data.get("timestamp")
                return [Ping(stamp if is_unsigned(stamp) else None)]
            case "hangup" | "disconnect":
                reason = data.get("reason")
                return [Disconnect(printable(reason, 200) if isinstance(reason, str) else "")]
            case _:
                return []

    def audio_out(self, pcm: bytes) -> bytes:
        """One paced frame, as it is."""
        return pcm

    def event_out(self, event: Event) -> list[str]:
        """Nothing: the peer carries audio and reads no facts."""
        return []

    def dtmf_out(self, digit: str, leg_id: str | None = None) -> str:
        """A key press by the agent, to be sent into the call."""
        message: dict[str, Any] = {"type": "dtmf", "digit": digit}
        if leg_id is not None:
            message["leg_id"] = leg_id
        return encode(message)

    def pong(self, ping: Ping, now_ms: int) -> str:
        """The answer to a ping, with the peer's own timestamp where it sent one."""
        stamp = ping.timestamp if ping.timestamp is not None else now_ms
        return encode({"type": "pong", "timestamp": unsigned(stamp)})

    def error(self, error: AntiphonError, now_ms: int) -> str:
        """An error; diallers that know no such message ignore it."""
        return encode({"type": "error", **error.as_dict(), "timestamp": unsigned(now_ms)})
