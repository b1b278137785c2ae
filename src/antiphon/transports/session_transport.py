"""The one Pipecat transport of a session; its connections (peers) come and go.

A session outlives a connection (it can be parked and rejoined), so the pipeline is built on this
transport and sockets attach to it. Audio in is pushed on at once, cut to VAD windows; audio out is
paced here against absolute deadlines, once for all peers.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams

from antiphon.clock import Clock
from antiphon.domain.audio import AudioFormat
from antiphon.protocols.framing import Rechunker
from antiphon.protocols.pacing import Pacer

INPUT_FRAME_MS = 32
"""One Silero window: cutting to it costs the VAD no latency and saves a third of the frames."""


class Peer(Protocol):
    """A connection that plays the agent's audio."""

    def play(self, pcm: bytes) -> None:
        """Send PCM16 at the session's output rate; returns at once."""

    def finish_speech(self) -> None:
        """The agent paused: send what is held back to fill a frame."""

    def discard(self) -> None:
        """The agent was interrupted: forget what is held back."""


class SessionInput(BaseInputTransport):
    """Pushes received audio straight into the pipeline, without a queue of its own."""

    def __init__(self, params: TransportParams):
        super().__init__(params)
        self.ready = asyncio.Event()
        """Set once the pipeline has started and takes audio."""
        rate = params.audio_in_sample_rate or 16_000
        self._chunks = Rechunker(AudioFormat(rate).bytes_in(INPUT_FRAME_MS))

    async def start(self, frame: StartFrame) -> None:
        """Start taking audio."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        self.ready.set()

    def _create_audio_task(self) -> None:
        """No task: VAD and filters live in processors of their own."""

    async def push_audio_frame(self, frame: InputAudioRawFrame) -> None:
        """Push audio downstream at once."""
        if not self._paused:
            await self.push_frame(frame)

    async def receive(self, pcm: bytes) -> None:
        """Take PCM16 mono at the pipeline's input rate, in pieces of whole samples."""
        if not self.ready.is_set():
            await self.ready.wait()
        for chunk in self._chunks.push(pcm):
            await self.push_audio_frame(
                InputAudioRawFrame(audio=chunk, sample_rate=self.sample_rate, num_channels=1)
            )


class SessionOutput(BaseOutputTransport):
    """Paces the agent's audio and hands it to the peers."""

    def __init__(
        self,
        params: TransportParams,
        *,
        pacer: Pacer,
        clock: Clock,
        peers: list[Peer],
    ):
        super().__init__(params)
        self._pacer = pacer
        self._clock = clock
        self._peers = peers
        self._generation = 0
        self._interrupted = asyncio.Event()
        self.on_spoken: Callable[[str], None] | None = None
        """Called with each piece of text once its audio has been sent."""

    async def start(self, frame: StartFrame) -> None:
        """Start playing."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Send one frame when it is due; False when an interruption overtook it."""
        generation = self._generation
        pacer = self._pacer
        pacer.push(frame.audio)
        while True:
            for pcm in pacer.due(self._clock.monotonic()):
                for peer in self._peers:
                    peer.play(pcm)
            due = pacer.next_due()
            if due is None:
                return True
            await self._sleep(due - self._clock.monotonic())
            if generation != self._generation:
                return False

    async def _sleep(self, secs: float) -> None:
        if secs <= 0:
            return
        try:
            async with asyncio.timeout(secs):
                await self._interrupted.wait()
        except TimeoutError:
            return

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """On an interruption drop, before anything else, all that has not been sent."""
        if isinstance(frame, InterruptionFrame):
            self._generation += 1
            self._pacer.clear()
            for peer in self._peers:
                peer.discard()
            self._interrupted.set()
            self._interrupted = asyncio.Event()
        await super().process_frame(frame, direction)

    async def push_frame(
        self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM
    ) -> None:
        """Note what has been spoken and where speech ends, then push the frame on."""
        if isinstance(frame, TTSTextFrame):
            if self.on_spoken is not None:
                self.on_spoken(frame.text)
        elif isinstance(frame, BotStoppedSpeakingFrame) and direction is FrameDirection.DOWNSTREAM:
            for peer in self._peers:
                peer.finish_speech()
        await super().push_frame(frame, direction)


class SessionTransport(BaseTransport):
    """Pipecat transport of one session.

    Args:
        input_sample_rate: Pipeline's input rate, Hz; 16000 for the shared VAD.
        output_sample_rate: Pipeline's output rate, Hz.
        frame_ms: Length of one paced frame, ms (a multiple of 10).
        lead_ms: How far ahead of real time audio may be sent, ms.
        clock: Source of monotonic time for the pacer.
    """

    def __init__(
        self,
        *,
        input_sample_rate: int,
        output_sample_rate: int,
        frame_ms: int,
        lead_ms: int,
        clock: Clock,
    ):
        super().__init__()
        self.input_sample_rate = input_sample_rate
        self.output_sample_rate = output_sample_rate
        self.peers: list[Peer] = []
        params = TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=input_sample_rate,
            audio_out_enabled=True,
            audio_out_sample_rate=output_sample_rate,
            audio_out_10ms_chunks=frame_ms // 10,
            audio_out_end_silence_secs=0,
        )
        self.pacer = Pacer(output_sample_rate, frame_ms, lead_ms=lead_ms)
        self._input = SessionInput(params)
        self._output = SessionOutput(params, pacer=self.pacer, clock=clock, peers=self.peers)

    def input(self) -> SessionInput:
        """The pipeline's first processor."""
        return self._input

    def output(self) -> SessionOutput:
        """The processor that plays audio."""
        return self._output

    def attach(self, peer: Peer) -> None:
        """Play to this peer from now on."""
        if peer not in self.peers:
            self.peers.append(peer)

    def detach(self, peer: Peer) -> None:
        """Play to it no more."""
        if peer in self.peers:
            self.peers.remove(peer)
