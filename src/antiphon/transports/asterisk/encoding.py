"""From the pipeline's audio to the channel's wire format."""

from pipecat.frames.frames import OutputAudioRawFrame

from antiphon.protocols.framing import SampleAligner
from antiphon.transports.asterisk.channel import AsteriskChannel
from antiphon.transports.asterisk.media import mono
from antiphon.transports.resampling import Resampler


class Encoder:
    """Mixes down, resamples and encodes a stream of audio frames; push what it gives, in order.

    Args:
        channel: Its format is known once MEDIA_START has come; until then nothing may be encoded.
    """

    def __init__(self, channel: AsteriskChannel):
        self._channel = channel
        self._aligner = SampleAligner()
        self._in: Resampler | None = None
        self._out: Resampler | None = None

    def to_rate(self, frame: OutputAudioRawFrame, rate: int) -> bytes:
        """A frame as PCM16 mono at `rate` Hz, whole samples."""
        pcm = self._aligner.align(frame.audio)
        if frame.num_channels != 1:
            pcm = mono(pcm, frame.num_channels)
        if frame.sample_rate == rate:
            return pcm
        if self._in is None or self._in.source_rate != frame.sample_rate:
            self._in = Resampler(frame.sample_rate, rate)
        return self._in.process(pcm)

    def encode(self, pcm: bytes, rate: int) -> bytes:
        """PCM16 mono at `rate` Hz in the wire format; the last milliseconds may be held back."""
        started = self._channel.started
        assert started is not None
        if rate != started.sample_rate:
            if self._out is None or self._out.source_rate != rate:
                self._out = Resampler(rate, started.sample_rate)
            pcm = self._out.process(pcm)
        return started.media.encode(pcm)

    def finish(self) -> bytes:
        """The audio is complete: push what was held back, end the utterance; returns what."""
        started = self._channel.started
        if started is None:
            return b""
        pcm = self._in.flush() if self._in else b""
        if self._out:
            pcm = self._out.process(pcm) + self._out.flush()
        tail = started.media.encode(pcm) + started.media.flush()
        self._aligner.reset()
        self._channel.push(tail)
        self._channel.end_utterance()
        return tail

    def clear(self) -> None:
        """Drop what was held back: it was interrupted."""
        self._aligner.reset()
        for resampler in (self._in, self._out):
            if resampler is not None:
                resampler.flush()
        if self._channel.started is not None:
            self._channel.started.media.clear()
