"""The pipeline's first processor: the caller's audio and keys."""

import asyncio
from typing import TYPE_CHECKING

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    CancelFrame,
    ClientConnectedFrame,
    EndFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.transports.base_input import BaseInputTransport

from antiphon.clock import Clock
from antiphon.domain.audio import AudioFormat
from antiphon.protocols.framing import Rechunker
from antiphon.transports.asterisk.params import AsteriskWebsocketParams
from antiphon.transports.asterisk.started import StartedChannel
from antiphon.transports.participant import Departure
from antiphon.transports.read_ahead import ReadAhead
from antiphon.transports.resampling import Resampler

if TYPE_CHECKING:
    from antiphon.transports.asterisk.transport import AsteriskWebsocketTransport

_KEYS = {entry.value: entry for entry in KeypadEntry}


class AsteriskInput(BaseInputTransport):
    """Decodes what the caller says, resamples it, and pushes it on without a queue of its own."""

    def __init__(
        self,
        transport: "AsteriskWebsocketTransport",
        params: AsteriskWebsocketParams,
        *,
        clock: Clock,
        name: str | None = None,
    ):
        super().__init__(params, name=name)
        self._transport = transport
        self._frame_ms = params.audio_in_frame_ms
        self._ready = asyncio.Event()
        self._resampler: Resampler | None = None
        self._chunks: Rechunker | None = None
        self.is_ending = False
        """Whether the pipeline is ending the call."""
        self._run: asyncio.Task[Departure] | None = None
        self._read_ahead = ReadAhead(clock)

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        """Settle the sample rate: the settings' or the pipeline's."""
        await super().setup(setup)
        if self._frame_ms is not None:
            self._chunks = Rechunker(AudioFormat(self.sample_rate).bytes_in(self._frame_ms))

    async def start(self, frame: StartFrame) -> None:
        """Take audio, and read the socket if nobody else does."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._ready.set()
        if self._transport.reads_by_itself:
            self._run = self.create_task(self._transport.run(), "run")

    async def stop(self, frame: EndFrame) -> None:
        """Take no more audio; the socket is read on, since last words are still being played."""
        self.is_ending = True
        await super().stop(frame)

    async def cancel(self, frame: CancelFrame) -> None:
        """Take no more audio."""
        self.is_ending = True
        await super().cancel(frame)

    async def cleanup(self) -> None:
        """Close the socket, if the output has not."""
        await super().cleanup()  # type: ignore[no-untyped-call]
        self.is_ending = True
        await self._transport.leave()
        if self._run is not None and not self._run.done():
            await self.cancel_task(self._run)
        await self._transport.cleanup()  # type: ignore[no-untyped-call]

    def _create_audio_task(self) -> None:
        # Only a filter needs the task and its queue.
        if self._params.audio_in_filter:
            super()._create_audio_task()  # type: ignore[no-untyped-call]

    async def push_audio_frame(self, frame: InputAudioRawFrame) -> None:
        """Push audio downstream at once, or through the filter where there is one."""
        if self._params.audio_in_filter:
            await super().push_audio_frame(frame)
        elif (
            self._params.audio_in_enabled and self._params.audio_in_passthrough and not self._paused
        ):
            await self.push_frame(frame)

    # From the channel.

    async def on_open(self) -> None:
        """The connection is open: nothing is read before the pipeline has started."""
        await self._ready.wait()
        await self.push_frame(ClientConnectedFrame())

    async def on_media(self, started: StartedChannel, data: bytes) -> None:
        """Take a media message."""
        pcm = started.media.decode(data)
        if self.is_ending or not pcm:
            return
        if (wait := self._read_ahead.take(len(pcm) / 2 / started.sample_rate)) > 0:
            await asyncio.sleep(wait)
        if started.sample_rate != self.sample_rate:
            if self._resampler is None:
                self._resampler = Resampler(started.sample_rate, self.sample_rate)
            pcm = self._resampler.process(pcm)
        for piece in (pcm,) if self._chunks is None else self._chunks.push(pcm):
            frame = InputAudioRawFrame(audio=piece, sample_rate=self.sample_rate, num_channels=1)
            await self.push_audio_frame(frame)

    async def on_key(self, digit: str) -> None:
        """The caller pressed a key; Pipecat has no name for A to D."""
        if digit in _KEYS and not self.is_ending:
            await self.push_frame(InputDTMFFrame(button=_KEYS[digit]))
