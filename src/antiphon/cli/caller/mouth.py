"""The caller's mouth: which 20 ms of audio are due, as a telephone's clock would have it.

Pure: it holds the utterance being said, cut into frames, and gives silence between utterances.
"""

from collections import deque
from dataclasses import dataclass

from antiphon.cli.caller.sound import loud_span
from antiphon.domain.audio import BYTES_PER_SAMPLE, AudioFormat
from antiphon.errors import InvalidRequest


@dataclass(slots=True)
class Utterance:
    """Something to say."""

    label: str
    frames: deque[bytes]
    first_loud: int
    """Sample of the first sound."""
    last_loud: int
    """One past the sample of the last sound."""
    sent_samples: int = 0
    started_at: float | None = None
    """When the first sound was spoken."""
    ended_at: float | None = None
    """When the last sound was spoken."""

    def sent(self, n_samples: int, now: float, sample_rate: int) -> None:
        """A frame was sent at `now`; like a microphone's, its last sample was spoken just then."""
        end = self.sent_samples + n_samples

        def spoken_at(sample: int) -> float:
            return now - (end - sample) / sample_rate

        if self.started_at is None and self.first_loud < end:
            self.started_at = spoken_at(self.first_loud)
        if self.ended_at is None and self.last_loud <= end:
            self.ended_at = spoken_at(self.last_loud)
        self.sent_samples = end


class Mouth:
    """Cuts utterances into frames.

    Args:
        sample_rate: Hz.
        frame_ms: Length of a frame.
    """

    def __init__(self, sample_rate: int, frame_ms: int):
        self.format = AudioFormat(sample_rate)
        self.frame_ms = frame_ms
        self._silence = bytes(self.format.bytes_in(frame_ms))
        self.current: Utterance | None = None

    def say(self, pcm: bytes, label: str) -> Utterance:
        """Begin an utterance at the next frame; what was being said is cut off.

        Raises:
            InvalidRequest: there is nothing audible in it.
        """
        span = loud_span(pcm, self.format.sample_rate)
        if span is None:
            raise InvalidRequest(f"audio: {label or 'the audio'} is silent", field="audio")
        size = len(self._silence)
        frames = deque(pcm[at : at + size].ljust(size, b"\0") for at in range(0, len(pcm), size))
        self.current = Utterance(label, frames, *span)
        return self.current

    def frame(self, now: float) -> tuple[bytes, Utterance | None]:
        """The frame due at `now`, and the utterance that it ended, if it did."""
        utterance = self.current
        if utterance is None:
            return self._silence, None
        pcm = utterance.frames.popleft()
        utterance.sent(len(pcm) // BYTES_PER_SAMPLE, now, self.format.sample_rate)
        if utterance.frames:
            return pcm, None
        self.current = None
        return pcm, utterance
