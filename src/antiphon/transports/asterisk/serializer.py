"""Asterisk's messages for other transports of Pipecat's."""

from typing import Any

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.serializers.base_serializer import FrameSerializer

from antiphon.protocols.asterisk import (
    AsteriskCodec,
    Command,
    DtmfEnd,
    FlushMedia,
    Hangup,
    MediaStart,
)
from antiphon.protocols.framing import Rechunker
from antiphon.transports.asterisk.media import mono
from antiphon.transports.asterisk.messages import command_of, message_of
from antiphon.transports.asterisk.started import StartedChannel
from antiphon.transports.resampling import Resampler

_KEYS = {entry.value: entry for entry in KeypadEntry}


class AsteriskFrameSerializer(FrameSerializer):
    """Frames as messages of `chan_websocket`, both control formats, for one connection.

    For use with Pipecat's `FastAPIWebsocketTransport`, and for whoever sends and receives himself.
    There is no flow control here: that transport sends in real time and never ahead of it, so every
    stall is heard as a gap, and nothing tells what the caller has heard.
    `AsteriskWebsocketTransport` does both.

    Args:
        params: `InputParams`; also `auto_hang_up`: send HANGUP at the pipeline's end.
    """

    class InputParams(FrameSerializer.InputParams):
        """Settings.

        Parameters:
            sample_rate: Hz of the audio frames it gives; None: the pipeline's.
            auto_hang_up: Send HANGUP when the pipeline ends.
        """

        sample_rate: int | None = None
        auto_hang_up: bool = True

    def __init__(self, params: InputParams | None = None, **kwargs: Any):
        settings = params or AsteriskFrameSerializer.InputParams()
        super().__init__(settings, **kwargs)
        self._settings = settings
        self._codec = AsteriskCodec()
        self._started: StartedChannel | None = None
        self._rate = settings.sample_rate or 16_000
        self._to_wire: Resampler | None = None
        self._from_wire: Resampler | None = None
        self._frames: Rechunker | None = None

    @property
    def started(self) -> StartedChannel | None:
        """The channel's format and variables; None before MEDIA_START."""
        return self._started

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        """Take the pipeline's input rate, unless one was set."""
        if self._settings.sample_rate is None:
            self._rate = setup.audio_in_sample_rate

    async def serialize(self, frame: Frame) -> str | bytes | None:
        """A frame as one message; None: there is nothing to send for it (yet).

        Raises:
            ValueError: a transport message is a command that cannot be sent.
        """
        if self._started is None or self.should_ignore_frame(frame):
            return None
        if isinstance(frame, OutputAudioRawFrame):
            return self._audio_out(self._started, frame)
        command: Command | None = None
        if isinstance(frame, InterruptionFrame):
            self._clear(self._started)
            command = FlushMedia()
        elif isinstance(frame, EndFrame | CancelFrame):
            command = Hangup() if self._settings.auto_hang_up else None
        elif isinstance(frame, OutputTransportMessageFrame | OutputTransportMessageUrgentFrame):
            command = command_of(frame.message)
        return self._codec.command(command) if command is not None else None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        """A message as a frame: audio, a key, or an event as a transport message.

        Raises:
            ValueError: the channel's format is not known.
            Unavailable: no library here can decode it.
        """
        if isinstance(data, bytes):
            return self._audio_in(self._started, data) if self._started else None
        event = self._codec.receive_text(data)
        if isinstance(event, MediaStart):
            self._started = StartedChannel.of(self._codec, event)
            self._frames = Rechunker(max(event.optimal_frame_size, 1))
        if isinstance(event, DtmfEnd) and event.digit in _KEYS:
            return InputDTMFFrame(button=_KEYS[event.digit])
        message = message_of(event)
        return InputTransportMessageFrame(message=message) if message else None

    def _audio_in(self, started: StartedChannel, data: bytes) -> Frame | None:
        pcm = started.media.decode(data)
        if started.sample_rate != self._rate:
            if self._from_wire is None:
                self._from_wire = Resampler(started.sample_rate, self._rate)
            pcm = self._from_wire.process(pcm)
        if not pcm:
            return None
        return InputAudioRawFrame(audio=pcm, sample_rate=self._rate, num_channels=1)

    def _audio_out(self, started: StartedChannel, frame: OutputAudioRawFrame) -> bytes | None:
        """Whole frames of the wire: outside buffering Asterisk drops a part of one."""
        pcm = mono(frame.audio, frame.num_channels)
        if frame.sample_rate != started.sample_rate:
            if self._to_wire is None or self._to_wire.source_rate != frame.sample_rate:
                self._to_wire = Resampler(frame.sample_rate, started.sample_rate)
            pcm = self._to_wire.process(pcm)
        assert self._frames is not None
        return b"".join(self._frames.push(started.media.encode(pcm))) or None

    def _clear(self, started: StartedChannel) -> None:
        if self._frames is not None:
            self._frames.clear()
        if self._to_wire is not None:
            self._to_wire.flush()
        started.media.clear()
