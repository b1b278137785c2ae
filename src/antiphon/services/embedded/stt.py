"""The embedded speech recognizer as a Pipecat speech-to-text service."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    STTMuteFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import STTService
from pipecat.transcriptions.language import Language

from antiphon.clock import Clock, SystemClock
from antiphon.domain.audio import AudioFormat
from antiphon.errors import AntiphonError
from antiphon.services.embedded.conditioning import Conditioner
from antiphon.services.embedded.recognizer import Recognizer, Utterance
from antiphon.services.embedded.recognizer_model import Channel
from antiphon.services.embedded.rejector import Hypothesis

MODEL = "embedded-pocketsphinx"

PRE_ROLL_MS = 600
"""Audio from before the voice activity detection noticed speech (it takes 200 ms to)."""

FEED_MS = 100
"""Audio decoded in one go while the caller speaks: a thread hop per 20 ms frame would cost more
than it brings."""

INTERIM_MS = 200
"""Least audio between two interim transcripts."""

MAX_UTTERANCE_MS = 15_000
"""Later audio of an utterance is not decoded: no template is that long."""

TTFS_P99_S = 0.3
"""From the end of speech to the transcript, as Pipecat counts it: the silence that the voice
activity detection waits for (0.2 or 0.25 s) included. Final transcripts end the wait early."""


class EmbeddedSTTService(STTService):
    """Recognizes what an agent's sentence templates can say, with no key and no network.

    Needs voice-activity frames in front of it. It pushes interim transcripts while the caller
    speaks, and a final one about 10 ms after the end of speech was detected. Speech outside of the
    templates gives a transcript that begins with `[unclear]` and carries
    `result={"rejected": True, "agreement": float}`.

    Args:
        recognizer: The agent's, prepared; shared by all of its calls.
        source_sample_rate: Hz at which the caller's audio entered the server, if known: 8000 for
            telephone calls, whatever the pipeline's rate is. Without it the service finds out.
        clock: Where the times of transcripts come from.
        settings: Accepted for Pipecat's sake; only English is recognized.
        **kwargs: For `STTService`.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        source_sample_rate: int | None = None,
        clock: Clock | None = None,
        settings: STTSettings | None = None,
        **kwargs: Any,
    ):
        complete = STTSettings(model=MODEL, language=Language.EN)
        if settings is not None:
            complete.apply_update(settings)
        super().__init__(
            **{"ttfs_p99_latency": TTFS_P99_S, "audio_passthrough": False, **kwargs},
            settings=complete,
        )
        self._recognizer = recognizer
        self._clock: Clock = clock or SystemClock()
        self._source_sample_rate = source_sample_rate
        self._channel = Channel()
        self._pre_roll = bytearray()
        self._pre_roll_bytes = 0
        self._feed_bytes = 0
        self._hearing: _Hearing | None = None
        self._follower: asyncio.Task[None] | None = None

    def can_generate_metrics(self) -> bool:
        """Time to the final transcript and seconds of audio are reported."""
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        """Get ready for audio at the pipeline's input rate (8, 16, 24 or 48 kHz)."""
        await super().setup(setup)
        audio = AudioFormat(self.sample_rate)
        self._pre_roll_bytes = audio.bytes_in(PRE_ROLL_MS)
        self._feed_bytes = audio.bytes_in(FEED_MS)
        self._channel = Channel(Conditioner(self.sample_rate, self._source_sample_rate))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Follow the caller's voice activity; everything else is the base class's business."""
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._begin()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._end()
        elif isinstance(frame, STTMuteFrame) and frame.mute:
            self._abandon()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take one frame of audio; transcripts are pushed when they are ready, not from here.

        Args:
            audio: PCM16 mono at the pipeline's input rate.
        """
        if self._hearing is not None:
            self._hearing.add(audio)
        else:
            self._pre_roll += audio
            if len(self._pre_roll) > self._pre_roll_bytes:
                del self._pre_roll[: len(self._pre_roll) - self._pre_roll_bytes]
        yield None

    async def stop(self, frame: EndFrame) -> None:
        """Let the last words become a transcript before the end."""
        self._end()
        if self._follower is not None:
            await self._follower
        await super().stop(frame)

    async def cancel(self, frame: CancelFrame) -> None:
        """Stop at once."""
        self._abandon()
        await super().cancel(frame)

    async def cleanup(self) -> None:
        """Return what is borrowed."""
        self._abandon()
        if self._follower is not None:
            await self.cancel_task(self._follower)
            self._follower = None
        await super().cleanup()  # type: ignore[no-untyped-call]

    def _begin(self) -> None:
        if self._hearing is not None or self.is_muted:
            return
        hearing = _Hearing(self._recognizer.utterance(self._channel), self._feed_bytes)
        hearing.add(bytes(self._pre_roll))
        self._pre_roll.clear()
        self._hearing = hearing
        self._follower = self.create_task(self._follow(hearing, self._follower), "hear")

    def _end(self) -> None:
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            hearing.end()

    def _abandon(self) -> None:
        self._pre_roll.clear()
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            hearing.abandon()

    async def _follow(self, hearing: "_Hearing", earlier: asyncio.Task[None] | None) -> None:
        """Decode one utterance as its audio comes in."""
        try:
            if earlier is not None:
                await earlier  # one utterance of a call at a time: they share the channel
            await self._transcribe(hearing)
        except AntiphonError as exc:
            await self.push_error(f"speech recognition failed: {exc}", exception=exc)
        finally:
            hearing.utterance.abandon()
            if self._hearing is hearing:
                self._hearing = None

    async def _transcribe(self, hearing: "_Hearing") -> None:
        said, unreported_bytes = "", 0
        while not (piece := await hearing.take()).last:
            words = await hearing.utterance.decode(piece.audio)
            unreported_bytes += len(piece.audio)
            enough = unreported_bytes >= AudioFormat(self.sample_rate).bytes_in(INTERIM_MS)
            if words and words != said and enough:
                said, unreported_bytes = words, 0
                await self.push_frame(self._interim(words))
        if hearing.abandoned:
            return
        hypothesis = await hearing.utterance.finish(piece.audio)
        if hypothesis is not None:
            await self.push_frame(self._final(hypothesis))
            await self.emit_stt_usage_metrics()  # type: ignore[no-untyped-call]

    def _interim(self, text: str) -> InterimTranscriptionFrame:
        return InterimTranscriptionFrame(text, self._user_id, self._now(), Language.EN)

    def _final(self, hypothesis: Hypothesis) -> TranscriptionFrame:
        return TranscriptionFrame(
            hypothesis.transcript,
            self._user_id,
            self._now(),
            Language.EN,
            result={"rejected": hypothesis.rejected, "agreement": hypothesis.agreement},
            finalized=True,
        )

    def _now(self) -> str:
        return self._clock.utc_now().isoformat()


class _Piece:
    """Audio to decode; the last of its utterance or not."""

    def __init__(self, audio: bytes, *, last: bool):
        self.audio = audio
        self.last = last


class _Hearing:
    """An utterance's audio on its way from the pipeline to the recognizer."""

    def __init__(self, utterance: Utterance, feed_bytes: int):
        self.utterance = utterance
        self.abandoned = False
        self._feed_bytes = feed_bytes
        self._left = feed_bytes * MAX_UTTERANCE_MS // FEED_MS
        self._waiting = bytearray()
        self._ended = False
        self._wake = asyncio.Event()

    def add(self, audio: bytes) -> None:
        """Queue audio; what goes beyond the longest utterance is dropped."""
        self._waiting += audio[: self._left]
        self._left -= min(len(audio), self._left)
        if len(self._waiting) >= self._feed_bytes:
            self._wake.set()

    def end(self) -> None:
        """There is no more audio."""
        self._ended = True
        self._wake.set()

    def abandon(self) -> None:
        """Nobody wants to know."""
        self.abandoned = True
        self._waiting.clear()
        self.end()

    async def take(self) -> _Piece:
        """Everything queued, once it is worth a decoder's while or the utterance has ended."""
        await self._wake.wait()
        audio = bytes(self._waiting)
        self._waiting.clear()
        if not self._ended:
            self._wake.clear()
        return _Piece(audio, last=self._ended)
