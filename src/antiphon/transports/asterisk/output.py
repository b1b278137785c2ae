"""The processor that plays: the base class keeps time, the flow controller moves the bytes.

Audio goes to the flow controller as soon as text-to-speech has made it, so that Asterisk's deep
queue bridges stalls of any length; the same audio goes to the base class in chunks, whose
`write_audio_frame` only waits until Asterisk's player has reached the chunk's end. So what follows
the audio in the pipeline (words, ends of speech and of replies) passes when it was heard, and an
interruption keeps what was not heard out of the conversation.

A filter or a mixer works on audio when it is played: with one there is no sending ahead, and chunks
are pushed when the base class writes them.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from pipecat.audio.dtmf.utils import load_dtmf_audio
from pipecat.audio.utils import scale_audio
from pipecat.frames.frames import (
    CancelFrame,
    ControlFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputDTMFUrgentFrame,
    OutputImageRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    SpriteFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    VolumeFrame,
    VolumeGainFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_output import BaseOutputTransport

from antiphon.clock import Clock
from antiphon.protocols.asterisk import FlushMedia
from antiphon.transports.asterisk.channel import AsteriskChannel
from antiphon.transports.asterisk.chunks import SENT_AHEAD, Chunker
from antiphon.transports.asterisk.encoding import Encoder
from antiphon.transports.asterisk.messages import command_of
from antiphon.transports.asterisk.params import AsteriskWebsocketParams
from antiphon.transports.asterisk.playout import Move, Playout

log = logging.getLogger(__name__)

_NO_LIMIT_SECS = 86_400.0
_PATIENCE_SECS = 0.1
"""How often to look where the player is while it does not move."""
_TAIL_SECS = 0.1
"""Silence of the source after which the end of its audio is not waited for any longer."""
_TAIL_MS = 20.0
"""Audio still queued when the end is sent without it."""


@dataclass
class _UtteranceEnd(ControlFrame):
    """Goes through the base class's queue behind an utterance's audio; ends here."""

    interruptible: bool = field(default=True)


class AsteriskOutput(BaseOutputTransport):
    """Plays the agent's audio on an Asterisk channel."""

    def __init__(
        self,
        channel: AsteriskChannel,
        params: AsteriskWebsocketParams,
        *,
        clock: Clock,
        name: str | None = None,
    ):
        # The base class gives a transport up whose write takes long. Here it takes as long as the
        # audio in front of it; a peer that does not read is the channel's to notice.
        unlimited = params.model_copy(update={"audio_out_write_timeout_secs": _NO_LIMIT_SECS})
        super().__init__(unlimited, name=name)
        self.on_spoken: Callable[[str], None] | None = None
        """Called with each piece of text once its audio has been heard."""
        self._channel = channel
        self._settings = params
        self._clock = clock
        self._encoder = Encoder(channel)
        self._playout = Playout()
        self._volume = params.audio_out_volume
        self._gain = 1.0
        self._chunker = Chunker(10 * params.audio_out_10ms_chunks)
        self._open = asyncio.Event()
        self._last_audio_at = 0.0
        self._last_interruptible = True
        self._interruptions = 0
        self._tail: asyncio.Task[None] | None = None
        self._looks_ahead = not (params.audio_out_filter or params.audio_out_mixer)

    def played_ms(self) -> float:
        """How much of the audio so far Asterisk has played, or was interrupted, ms."""
        return self._channel.played_bytes / self._channel.bytes_per_ms

    def queued_ms(self) -> float:
        """How much audio waits, here and in Asterisk's queue, ms."""
        return self._channel.queued_bytes / self._channel.bytes_per_ms

    # Life.

    async def start(self, frame: StartFrame) -> None:
        """Start playing."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        if self._looks_ahead:
            self._tail = self.create_task(self._watch_tail(), "tail")

    async def stop(self, frame: EndFrame) -> None:
        """Let what was said be heard to its end, then hang up."""
        if self._looks_ahead:
            await self._finish_utterance(interruptible=self._last_interruptible)
        limit = self.queued_ms() / 1000 + self._settings.drain_timeout_secs
        try:
            async with asyncio.timeout(limit):
                await super().stop(frame)
                await self._drain()
        except TimeoutError:
            log.warning("the last %.1f s were not played in time", self.queued_ms() / 1000)
        await self._leave()

    async def _drain(self) -> None:
        """Wait until all has been played."""
        self._encoder.finish()
        channel = self._channel
        while (left := channel.queued_bytes) > 0.5:
            if channel.ended.is_set():
                return
            await channel.wait_change(max(left / channel.bytes_per_ms / 1000, 0.005))

    async def cancel(self, frame: CancelFrame) -> None:
        """Hang up at once."""
        if self._settings.auto_hang_up:
            self._channel.start_hang_up()
        await super().cancel(frame)
        await self._leave()

    async def cleanup(self) -> None:
        """Release what the pipeline's end has left."""
        if self._tail is not None:
            await self.cancel_task(self._tail)
            self._tail = None
        await super().cleanup()  # type: ignore[no-untyped-call]

    async def _leave(self) -> None:
        wait_secs = self._settings.hang_up_timeout_secs
        if self._settings.auto_hang_up:
            await self._channel.hang_up(wait_secs=wait_secs)
        else:
            await self._channel.leave(wait_secs=wait_secs)

    # Frames in.

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """On an interruption flush Asterisk's queue before anything else."""
        if isinstance(frame, InterruptionFrame):
            self._interrupt()
        await super().process_frame(frame, direction)

    async def _handle_frame(self, frame: Frame) -> None:
        if not self._looks_ahead or frame.transport_destination is not None:
            await super()._handle_frame(frame)
        elif isinstance(frame, OutputAudioRawFrame):
            await self._take_audio(frame)
        elif isinstance(frame, TTSStoppedFrame):
            await self._finish_utterance(interruptible=frame.interruptible)
            await super()._handle_frame(frame)
        elif isinstance(frame, InterruptionFrame | OutputImageRawFrame | SpriteFrame):
            await super()._handle_frame(frame)
        elif frame.pts and self._hold(frame):
            await self._pass_what_was_heard()
        else:
            await self._take_in_order(frame)

    async def _take_in_order(self, frame: Frame) -> None:
        """A frame that passes after the audio before it."""
        if isinstance(frame, VolumeFrame):
            self._volume = frame.volume
        elif isinstance(frame, VolumeGainFrame):
            self._gain = frame.gain
        elif isinstance(frame, OutputDTMFFrame):
            await self._take_tones(frame)
        await self._queue_rest()
        await super()._handle_frame(frame)

    async def _take_tones(self, frame: OutputDTMFFrame) -> None:
        """Key tones are audio among audio; `write_dtmf` then has nothing to do."""
        for button in frame.buttons or ():
            tone = await load_dtmf_audio(button, sample_rate=self.sample_rate)
            await self._take_audio(OutputAudioRawFrame(tone, self.sample_rate, 1))

    async def _take_audio(self, frame: OutputAudioRawFrame) -> None:
        channel = self._channel
        if not self._params.audio_out_enabled or not frame.audio:
            return
        if not channel.ready.is_set():
            await channel.ready.wait()
        if channel.ended.is_set():
            return
        start = channel.pushed_bytes
        if isinstance(frame, TTSAudioRawFrame) and frame.context_id:
            self._anchor(frame.context_id, interruptible=frame.interruptible)
        pcm = self._encoder.to_rate(frame, self.sample_rate)
        wire = self._encoder.encode(self._scaled(pcm), self.sample_rate)
        channel.push(wire)
        if not frame.interruptible:
            self._playout.keep(start, wire, channel.played_bytes)
        self._last_interruptible = frame.interruptible
        self._last_audio_at = self._clock.monotonic()
        self._open.set()
        chunks = self._chunker.push(
            frame, pcm, self.sample_rate, start=start, end=channel.pushed_bytes
        )
        for chunk, end in chunks:
            await self._queue(chunk, end)

    def _scaled(self, pcm: bytes) -> bytes:
        volume = self._volume * self._gain
        return pcm if volume == 1.0 else scale_audio(pcm, volume)

    async def _queue_rest(self) -> None:
        for chunk, end in self._chunker.flush():
            await self._queue(chunk, end)

    async def _queue(self, frame: Frame, end: float) -> None:
        """Have the base class come to `frame` after what it was given before."""
        self._playout.expect(frame, end)
        await self._media_senders[None].handle_sync_frame(frame)

    async def _finish_utterance(self, *, interruptible: bool) -> None:
        """All audio of an utterance has come: its tail is played too, and words end with it."""
        self._open.clear()
        start = self._channel.pushed_bytes
        tail = self._encoder.finish()
        if tail and not self._last_interruptible:
            self._playout.keep(start, tail, self._channel.played_bytes)
        end = self._channel.pushed_bytes
        self._playout.finish(end)
        await self._queue_rest()
        marker = _UtteranceEnd()
        marker.interruptible = interruptible
        await self._queue(marker, end)

    async def _watch_tail(self) -> None:
        """End utterances whose source does not say so, when their audio is nearly played."""
        while True:
            await self._open.wait()
            idle = self._clock.monotonic() - self._last_audio_at
            wait = max(_TAIL_SECS - idle, (self.queued_ms() - _TAIL_MS) / 1000)
            if wait > 0:
                await asyncio.sleep(max(wait, 0.005))
            else:
                await self._finish_utterance(interruptible=self._last_interruptible)

    # Words.

    def _anchor(self, context_id: str, *, interruptible: bool) -> None:
        now = self.get_clock().get_time()
        position = self._channel.pushed_bytes
        is_idle = self._channel.queued_bytes <= 1
        self._playout.anchor(
            context_id, now, position, interruptible=interruptible, is_idle=is_idle
        )

    def _hold(self, frame: Frame) -> bool:
        if isinstance(frame, TTSTextFrame) and frame.context_id:
            self._anchor(frame.context_id, interruptible=frame.interruptible)
        return self._playout.hold(frame, bytes_per_ms=self._channel.bytes_per_ms)

    async def _pass_what_was_heard(self) -> float:
        """Push the frames whose time has come; returns where the player is."""
        played = self._channel.played_bytes + 0.5
        for frame in self._playout.due(played):
            await self.push_frame(frame)
        return played

    # Frames out, called by the base class in their order.

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Wait until a chunk has been heard; False when it never will be."""
        if frame.transport_destination is not None:
            return False
        if SENT_AHEAD in frame.metadata:
            return await self._heard(frame)
        return await self._write_now(frame)

    async def write_transport_frame(self, frame: Frame) -> None:
        """Wait for the end of an utterance."""
        if isinstance(frame, _UtteranceEnd):
            await self._heard(frame)

    async def write_dtmf(self, frame: OutputDTMFFrame | OutputDTMFUrgentFrame) -> None:
        """Play key tones; those that came in order are played already, among the audio."""
        if isinstance(frame, OutputDTMFUrgentFrame) or not self._looks_ahead:
            await super().write_dtmf(frame)

    async def _heard(self, frame: Frame) -> bool:
        """Wait until `frame` has been heard, passing words on meanwhile."""
        channel = self._channel
        before = -1.0
        while (end := self._playout.end_of(frame)) is not None and not channel.ended.is_set():
            played = await self._pass_what_was_heard()
            if played >= end:
                self._playout.forget(frame)
                return True
            following = self._playout.next_position
            target = end if following is None else min(end, following)
            secs = max((target - played) / channel.bytes_per_ms / 1000, 0.002)
            # Without progress it is for the peer to say when it goes on.
            await channel.wait_change(secs if played > before else max(secs, _PATIENCE_SECS))
            before = played
        self._playout.forget(frame)
        return False

    async def _write_now(self, frame: OutputAudioRawFrame) -> bool:
        """Send a chunk when the base class plays it, a little ahead of the player."""
        channel = self._channel
        await channel.ready.wait()
        interruptions = self._interruptions
        start = channel.pushed_bytes
        wire = self._encoder.encode(
            self._encoder.to_rate(frame, self.sample_rate), self.sample_rate
        )
        channel.push(wire)
        if not frame.interruptible:
            self._playout.keep(start, wire, channel.played_bytes)
        target = start - self._settings.lead_ms * channel.bytes_per_ms
        while (left := target - channel.played_bytes) > 0 and not channel.ended.is_set():
            await channel.wait_change(max(left / channel.bytes_per_ms / 1000, 0.002))
            if interruptions != self._interruptions and frame.interruptible:
                return False
        return not channel.ended.is_set()

    async def push_frame(
        self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM
    ) -> None:
        """Tell what has been spoken, then push the frame on."""
        if isinstance(frame, _UtteranceEnd):
            return
        if isinstance(frame, TTSTextFrame) and direction is FrameDirection.DOWNSTREAM:
            if self.on_spoken is not None:
                self.on_spoken(frame.text)
        elif isinstance(frame, TTSStoppedFrame) and not self._looks_ahead:
            self._encoder.finish()
        await super().push_frame(frame, direction)

    async def send_message(
        self, frame: OutputTransportMessageFrame | OutputTransportMessageUrgentFrame
    ) -> None:
        """Send a command to Asterisk: a message `{"command": …}`. Others are for other peers."""
        try:
            command = command_of(frame.message)
            if isinstance(command, FlushMedia):
                self._interrupt()
            elif command is not None:
                self._channel.send(command)
        except ValueError as error:
            await self.push_error(f"command not sent: {error}", exception=error)

    # Interruptions.

    def _interrupt(self) -> None:
        """Drop what may be dropped, here and in Asterisk's queue."""
        channel, playout = self._channel, self._playout
        self._interruptions += 1
        if playout.must_be_heard(channel.played_bytes, channel.pushed_bytes):
            playout.interrupt()
            return
        heard = channel.interrupt()
        moves: list[Move] = []
        for start, data in playout.take_kept(heard):
            # The flush took this, too.
            moves.append(Move(start, start + len(data), channel.pushed_bytes))
            playout.keep(channel.pushed_bytes, data, heard)
            channel.push(data)
        playout.flushed(moves)
        if self._last_interruptible:
            self._open.clear()
            self._encoder.clear()
        self._chunker.interrupt(channel.pushed_bytes)
        if moves and not self._open.is_set():
            channel.end_utterance()
