"""What a caller's speech becomes on the wire, and back: slin at all rates, μ-law, A-law.

G.711 by tables of this module's own, apart from the codecs of the server under test.
"""

import wave
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]
Speech: TypeAlias = bytes | Samples | Path
"""PCM16 little-endian mono, int16 samples, or a WAV file of 16-bit samples."""

# Asterisk's names of its signed linear formats (docs of `c(codec)`), Hz.
_SLIN_RATES = {
    "slin": 8_000,
    "slin12": 12_000,
    "slin16": 16_000,
    "slin24": 24_000,
    "slin32": 32_000,
    "slin44": 44_100,
    "slin48": 48_000,
    "slin96": 96_000,
    "slin192": 192_000,
}


@dataclass(frozen=True, slots=True)
class MediaCodec:
    """A wire format; build one to let a simulated channel speak another than the built-in ones."""

    name: str
    """As in MEDIA_START's `format`."""
    sample_rate: int
    """Hz of what `encode` takes and `decode` gives."""
    bytes_per_second: int
    encode: Callable[[Samples], bytes]
    decode: Callable[[bytes], Samples]
    silence: int
    """The byte that is silence, or nearest to it."""

    def frame_bytes(self, ptime_ms: int) -> int:
        """Bytes of a frame (`echo_slin48_json`: 1920 for 20 ms; `echo_ulaw_json`: 160)."""
        return self.bytes_per_second * ptime_ms // 1000


def media_codec(name: str) -> MediaCodec:
    """The built-in codec of that name: `slin` … `slin192`, `ulaw`, `alaw`.

    Raises:
        ValueError: no such codec here.
    """
    if rate := _SLIN_RATES.get(name):
        return MediaCodec(name, rate, 2 * rate, _slin_encode, _slin_decode, 0)
    if name == "ulaw":
        return MediaCodec(name, 8_000, 8_000, ulaw_encode, ulaw_decode, 0xFF)
    if name == "alaw":
        return MediaCodec(name, 8_000, 8_000, alaw_encode, alaw_decode, 0xD5)
    known = ", ".join((*_SLIN_RATES, "ulaw", "alaw"))
    raise ValueError(f"codec {name!r} is unknown: use one of {known}, or pass a MediaCodec")


def load_speech(speech: Speech, rate: int | None, target_rate: int) -> Samples:
    """Speech as mono samples at `target_rate`.

    Args:
        speech: what to say; channels of a WAV file are averaged.
        rate: Hz of bytes or samples; None: `target_rate`. A WAV file says its own.
        target_rate: Hz to resample to (soxr, high quality).

    Raises:
        ValueError: the WAV file is not 16-bit, or the bytes are an odd number.
    """
    if isinstance(speech, Path):
        samples, source_rate = _read_wav(speech)
    else:
        samples = _slin_decode(speech) if isinstance(speech, bytes) else speech
        source_rate = rate or target_rate
    if source_rate == target_rate:
        return samples.astype(np.int16)
    resampled: Samples = soxr.resample(samples.astype(np.int16), source_rate, target_rate)
    return resampled


def _read_wav(path: Path) -> tuple[Samples, int]:
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path}: {8 * file.getsampwidth()}-bit samples; give a 16-bit file")
        samples = _slin_decode(file.readframes(file.getnframes()))
        channels, rate = file.getnchannels(), file.getframerate()
    if channels > 1:
        samples = samples.reshape(-1, channels).mean(axis=1).astype(np.int16)
    return samples, rate


def _slin_encode(samples: Samples) -> bytes:
    return samples.astype("<i2").tobytes()


def _slin_decode(data: bytes) -> Samples:
    return np.frombuffer(data, dtype="<i2").astype(np.int16)


def ulaw_encode(samples: Samples) -> bytes:
    """μ-law (ITU-T G.711)."""
    return _ulaw_table()[samples.view(np.uint16)].tobytes()


def ulaw_decode(data: bytes) -> Samples:
    """μ-law (ITU-T G.711)."""
    levels: Samples = _ulaw_levels()[np.frombuffer(data, dtype=np.uint8)]
    return levels


def alaw_encode(samples: Samples) -> bytes:
    """A-law (ITU-T G.711)."""
    return _alaw_table()[samples.view(np.uint16)].tobytes()


def alaw_decode(data: bytes) -> Samples:
    """A-law (ITU-T G.711)."""
    levels: Samples = _alaw_levels()[np.frombuffer(data, dtype=np.uint8)]
    return levels


def _every_sample() -> NDArray[np.int32]:
    """All int16 values, in the order of their unsigned twins: index of the encoding tables."""
    return np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)


@cache
def _ulaw_table() -> NDArray[np.uint8]:
    samples = _every_sample() >> 2  # The law is of 14 bits.
    size = np.minimum(np.abs(samples), 8_158) + 0x21
    segment = np.floor(np.log2(size)).astype(np.int32) - 5
    code = (segment << 4) | ((size >> (segment + 1)) & 0xF) | np.where(samples < 0, 0x80, 0)
    table: NDArray[np.uint8] = (~code & 0xFF).astype(np.uint8)
    return table


@cache
def _ulaw_levels() -> Samples:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    size = ((((code & 0xF) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    levels: Samples = np.where(code & 0x80, -size, size).astype(np.int16)
    return levels


@cache
def _alaw_table() -> NDArray[np.uint8]:
    samples = _every_sample()
    size = np.where(samples < 0, ~samples, samples) >> 3
    segment = np.maximum(np.floor(np.log2(np.maximum(size, 1))).astype(np.int32) - 4, 0)
    code = (segment << 4) | ((size >> np.maximum(segment, 1)) & 0xF)
    table: NDArray[np.uint8] = (code ^ np.where(samples < 0, 0x55, 0xD5)).astype(np.uint8)
    return table


@cache
def _alaw_levels() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code >> 4) & 7
    size = ((code & 0xF) << 4) + np.where(segment > 0, 0x108, 8)
    size = size << np.maximum(segment - 1, 0)
    levels: Samples = np.where(code & 0x80, size, -size).astype(np.int16)
    return levels
