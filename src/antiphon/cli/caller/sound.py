"""Sound files in and out, loudness, and the caller audio that is shipped with the package."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from antiphon.domain.audio import BYTES_PER_SAMPLE
from antiphon.errors import InvalidRequest, NotFound

SPEECH_RMS = 200.0
"""A window this loud (-44 dBFS) is sound, not background."""

WINDOW_MS = 5

SHIPPED_DIR = Path(__file__).parent / "audio"

Samples = npt.NDArray[np.int16]


def samples_of(pcm: bytes) -> Samples:
    """PCM16 little-endian as an array, without copying; an odd last byte is left out."""
    return np.frombuffer(pcm, "<i2", count=len(pcm) // BYTES_PER_SAMPLE)


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """Whole-utterance resampling of PCM16 mono."""
    if from_hz == to_hz or not pcm:
        return pcm
    resampled = soxr.resample(samples_of(pcm), from_hz, to_hz, quality="HQ")
    return bytes(resampled.astype("<i2").tobytes())


def read_audio(path: Path, sample_rate: int) -> bytes:
    """Read a sound file of any rate, width and number of channels.

    Args:
        path: WAV, FLAC, OGG or anything else that libsndfile reads.
        sample_rate: Hz of the result.

    Returns:
        PCM16 little-endian mono at `sample_rate`; channels are averaged.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: it is not a sound file, or holds no sound.
    """
    if not path.is_file():
        raise NotFound(f"audio: there is no file {str(path)!r}", field="audio")
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as exc:
        raise InvalidRequest(
            f"audio: {str(path)!r} is not a sound file ({exc}); use WAV, FLAC or OGG",
            field="audio",
        ) from exc
    if not len(samples):
        raise InvalidRequest(f"audio: {str(path)!r} holds no sound", field="audio")
    mono = samples.mean(axis=1)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return bytes((np.clip(mono, -1, 1) * 32767).round().astype("<i2").tobytes())


def write_wav(path: Path, pcm: bytes, sample_rate: int, *, channels: int = 1) -> None:
    """Write PCM16 as a WAV file; several channels are interleaved."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(BYTES_PER_SAMPLE)
        out.setframerate(sample_rate)
        out.writeframes(pcm)


def write_stereo(path: Path, left: bytes, right: bytes, sample_rate: int) -> None:
    """Write two mono sides (caller left, agent right), the shorter one padded with silence."""
    sides = [samples_of(left), samples_of(right)]
    stereo = np.zeros((max(map(len, sides)), 2), "<i2")
    for channel, side in enumerate(sides):
        stereo[: len(side), channel] = side
    write_wav(path, stereo.tobytes(), sample_rate, channels=2)


def loud_span(pcm: bytes, sample_rate: int) -> tuple[int, int] | None:
    """First sample of the first loud window and one past the last of the last one.

    Windows are 5 ms; a shorter rest at the end is a window too. None when nothing is loud.
    """
    samples = samples_of(pcm).astype(np.float32)
    size = max(sample_rate * WINDOW_MS // 1000, 1)
    starts = np.arange(0, len(samples), size)
    if not len(starts):
        return None
    lengths = np.minimum(size, len(samples) - starts)
    rms = np.sqrt(np.add.reduceat(samples * samples, starts) / lengths)
    loud = np.flatnonzero(rms >= SPEECH_RMS)
    if not loud.size:
        return None
    first, last = int(loud[0]), int(loud[-1])
    return int(starts[first]), int(starts[last] + lengths[last])


def shipped_names() -> list[str]:
    """Names of the shipped caller utterances, e.g. `place-the-order`."""
    return sorted(path.stem for path in SHIPPED_DIR.glob("*.wav"))


def shipped_audio(name: str) -> Path:
    """The file of a shipped utterance.

    Raises:
        NotFound: there is none of this name.
    """
    path = SHIPPED_DIR / f"{name}.wav"
    if not path.is_file():
        known = ", ".join(shipped_names())
        raise NotFound(f"audio: no utterance {name!r} is shipped; there are {known}", field="audio")
    return path
