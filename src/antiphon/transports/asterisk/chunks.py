"""Audio that was pushed already, in pieces for the base class to keep time by."""

from dataclasses import dataclass

from pipecat.frames.frames import OutputAudioRawFrame

SENT_AHEAD = "antiphon.asterisk.sent_ahead"
"""In a frame's metadata: its audio was pushed before."""

Placed = tuple[OutputAudioRawFrame, float]
"""A frame, and where in the pushed stream its audio ends, bytes of the wire format."""


@dataclass(slots=True)
class _Chunk:
    audio: bytearray
    cls: type[OutputAudioRawFrame]
    interruptible: bool
    end: float


class Chunker:
    """Cuts audio into frames of one length and one kind; a part of one waits for more.

    Args:
        chunk_ms: Length of a frame, ms, a multiple of 10.
    """

    def __init__(self, chunk_ms: int):
        self._chunk_ms = chunk_ms
        self._rate = 0
        self._held: _Chunk | None = None

    def push(
        self, frame: OutputAudioRawFrame, pcm: bytes, rate: int, *, start: float, end: float
    ) -> list[Placed]:
        """The frames that `pcm` completes.

        Args:
            frame: Where it came from: its type and whether it may be interrupted.
            pcm: Its audio, PCM16 mono.
            rate: Hz, the same for all.
            start: Where it begins in the pushed stream.
            end: Where it ends there.
        """
        self._rate = rate
        size = rate * self._chunk_ms // 1000 * 2
        held = self._held
        changes = held and (
            held.cls is not type(frame) or held.interruptible != frame.interruptible
        )
        out = self.flush() if changes else []
        at = 0
        while at < len(pcm):
            if self._held is None:
                self._held = _Chunk(bytearray(), type(frame), frame.interruptible, end)
            taken = min(size - len(self._held.audio), len(pcm) - at)
            self._held.audio += pcm[at : at + taken]
            at += taken
            self._held.end = start + (end - start) * at / len(pcm)
            if len(self._held.audio) >= size:
                out += self.flush()
        return out

    def flush(self) -> list[Placed]:
        """The part of a frame that waits, as a short frame."""
        chunk, self._held = self._held, None
        if chunk is None:
            return []
        frame = chunk.cls(bytes(chunk.audio), sample_rate=self._rate, num_channels=1)
        frame.interruptible = chunk.interruptible
        frame.metadata[SENT_AHEAD] = True
        return [(frame, chunk.end)]

    def interrupt(self, pushed: float) -> None:
        """Drop what waits, or have it end at `pushed` where it must be heard."""
        if self._held is not None:
            self._held.end = pushed
            if self._held.interruptible:
                self._held = None
