"""A channel's media as PCM16 and back.

G.711 by tables (ITU-T G.711); G.722 by FFmpeg through PyAV (`antiphon[codecs]`). `slin` formats are
PCM16 little-endian already.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from antiphon.domain.audio import BYTES_PER_SAMPLE
from antiphon.errors import Unavailable
from antiphon.protocols.asterisk_formats import MediaFormat
from antiphon.protocols.framing import Rechunker, SampleAligner

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

Samples = npt.NDArray[np.int16]


class MediaCodec(Protocol):
    """The media of one connection, both ways, at the format's sample rate."""

    def encode(self, pcm: bytes) -> bytes:
        """PCM16 mono, whole samples, in the wire format; a part may wait for more."""

    def flush(self) -> bytes:
        """What `encode` held back, filled up with silence."""

    def clear(self) -> None:
        """Drop what `encode` held back."""

    def decode(self, data: bytes) -> bytes:
        """A media message as PCM16 mono."""


def media_codec(media: MediaFormat) -> MediaCodec:
    """The codec of a format.

    Raises:
        Unavailable: no library here can do it; the message says what to do.
    """
    match media.encoding:
        case "pcm16":
            return _Pcm16()
        case "ulaw":
            return _G711(_ulaw_codes(), _ulaw_levels())
        case "alaw":
            return _G711(_alaw_codes(), _alaw_levels())
        case "g722":
            return _G722()
        case "opus":
            raise Unavailable(
                "opus is passed through by Asterisk without flow control and cannot be used here; "
                "set c(slin48) in the dial string and let Asterisk transcode",
                field="format",
            )


def mono(pcm: bytes, channels: int) -> bytes:
    """PCM16 of several interleaved channels as their mean."""
    if channels == 1:
        return pcm
    samples = np.frombuffer(pcm, np.int16).reshape(-1, channels)
    mixed: Samples = samples.mean(axis=1).astype(np.int16)
    return mixed.tobytes()


class _Pcm16:
    def __init__(self) -> None:
        self._aligner = SampleAligner()

    def encode(self, pcm: bytes) -> bytes:
        return pcm

    def flush(self) -> bytes:
        return b""

    def clear(self) -> None:
        """Nothing is held back."""

    def decode(self, data: bytes) -> bytes:
        return self._aligner.align(data)


class _G711:
    def __init__(self, codes: npt.NDArray[np.uint8], levels: Samples):
        self._codes = codes
        self._levels = levels

    def encode(self, pcm: bytes) -> bytes:
        return self._codes[np.frombuffer(pcm, np.uint16)].tobytes()

    def flush(self) -> bytes:
        return b""

    def clear(self) -> None:
        """Nothing is held back."""

    def decode(self, data: bytes) -> bytes:
        return self._levels[np.frombuffer(data, np.uint8)].tobytes()


# G.711 by tables: a sign, three bits of segment and four of the step in it; the wire inverts all
# bits (u-law) or every second one (A-law). Codes are looked up by the sample as unsigned 16 bits.


def _every_sample() -> npt.NDArray[np.int32]:
    return np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _segment(size: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Place of the highest bit, counted from 0."""
    return np.frexp(size)[1].astype(np.int32) - 1


@cache
def _ulaw_codes() -> npt.NDArray[np.uint8]:
    samples = _every_sample() >> 2  # the law is of 14 bits
    size = np.minimum(np.abs(samples), 8_158) + 33
    segment = _segment(size) - 5
    code = segment << 4 | size >> segment + 1 & 0x0F
    codes: npt.NDArray[np.uint8] = (~np.where(samples < 0, code | 0x80, code) & 0xFF).astype(
        np.uint8
    )
    return codes


@cache
def _ulaw_levels() -> Samples:
    code = ~np.arange(256) & 0xFF
    size = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return np.where(code & 0x80, -size, size).astype(np.int16)


@cache
def _alaw_codes() -> npt.NDArray[np.uint8]:
    samples = _every_sample() >> 3  # the law is of 13 bits
    size = np.where(samples < 0, ~samples, samples)
    segment = np.maximum(_segment(np.maximum(size, 1)) - 4, 0)
    code = segment << 4 | size >> np.maximum(segment, 1) & 0x0F
    codes: npt.NDArray[np.uint8] = (np.where(samples < 0, code, code | 0x80) ^ 0x55).astype(
        np.uint8
    )
    return codes


@cache
def _alaw_levels() -> Samples:
    code = np.arange(256) ^ 0x55
    segment = code >> 4 & 7
    size = ((code & 0x0F) << 4) + np.where(segment > 0, 0x108, 8)
    size = size << np.maximum(segment - 1, 0)
    levels: Samples = np.where(code & 0x80, size, -size).astype(np.int16)
    return levels


_G722_SAMPLES = 320
"""Samples of a frame of the encoder: 20 ms."""


class _G722:
    """64 kbit/s, by FFmpeg; its encoder takes whole frames of 20 ms."""

    def __init__(self) -> None:
        try:
            import av
        except ImportError:
            raise Unavailable(
                "g722 needs PyAV; install antiphon[codecs], or set c(slin16) in the dial string "
                "and let Asterisk transcode",
                field="format",
            ) from None
        self._av = av
        self._frames = Rechunker(_G722_SAMPLES * BYTES_PER_SAMPLE)
        self._encoder = self._open("w")
        self._decoder = self._open("r")
        self._pts = 0

    def _open(self, mode: Any) -> "AudioCodecContext":
        codec: AudioCodecContext = self._av.CodecContext.create("g722", mode)
        codec.sample_rate = 16_000
        codec.layout = "mono"
        if mode == "w":
            codec.format = "s16"
        codec.open()
        return codec

    def encode(self, pcm: bytes) -> bytes:
        return b"".join(self._encode_frame(frame) for frame in self._frames.push(pcm))

    def _encode_frame(self, pcm: bytes) -> bytes:
        samples = np.frombuffer(pcm, np.int16)[np.newaxis]
        frame = self._av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16_000
        frame.pts = self._pts
        self._pts += _G722_SAMPLES
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame))

    def flush(self) -> bytes:
        held = self._frames.flush()
        return self._encode_frame(held) if held else b""

    def clear(self) -> None:
        self._frames.clear()

    def decode(self, data: bytes) -> bytes:
        frames = self._decoder.decode(self._av.Packet(data))
        return b"".join(frame.to_ndarray().tobytes() for frame in frames)
