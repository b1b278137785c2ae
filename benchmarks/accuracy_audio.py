"""Speech for the accuracy benchmark: synthetic voices, heard clean, in noise and by telephone."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import soxr

from antiphon.errors import ConfigurationError
from antiphon.services.embedded.espeak import espeak_engine
from antiphon.services.embedded.flite import flite_engine
from antiphon.services.embedded.tts_engine import SpeechChunk, SpeechEngine, SpeechOptions
from antiphon.transports.resampling import Resampler

RATE = 16_000
LEAD_MS = 400
"""Background before the speech: the pre-roll, less the 200 ms that it takes to notice speech."""
TAIL_MS = 200
"""Background after it: the silence that ends an utterance."""

VOICES = (
    ("espeak", "en-us", 160),
    ("espeak", "en-us+f3", 175),
    ("espeak", "en-us+m4", 190),
    ("espeak", "en-gb", 160),
    ("flite", "slt", 175),
    ("flite", "rms", 175),
    ("flite", "awb", 175),
    ("flite", "kal16", 175),
)
"""Engine, voice, words a minute."""
TUNING_VOICES = (
    *VOICES,
    ("espeak", "en-us+m7", 175),
    ("espeak", "en-us+f5", 150),
    ("espeak", "en-gb+f2", 150),
    ("espeak", "en-gb-scotland", 165),
)

Samples = npt.NDArray[np.float64]


def available_voices(*, tuning: bool = False) -> list[tuple[str, str, int]]:
    """The voices of this machine; flite's need libflite1."""
    voices = []
    for engine, voice, rate in TUNING_VOICES if tuning else VOICES:
        try:
            _engine(engine).check_voice(voice)
        except ConfigurationError as exc:
            print(f"left out: {engine} {voice}: {exc}")
            continue
        voices.append((engine, voice, rate))
    return voices


def say(engine: str, voice: str, rate: int, text: str) -> Samples:
    """The text spoken, at 16 kHz, trimmed of the engine's own silence."""
    speech = bytearray()

    def take(chunk: SpeechChunk) -> bool:
        speech.extend(chunk.audio)
        return True

    source = _engine(engine)
    source.synthesize(text, SpeechOptions(voice, rate), take)
    samples = np.frombuffer(bytes(speech), "<i2").astype(np.float64)
    if source.sample_rate != RATE:
        samples = soxr.resample(samples, source.sample_rate, RATE, quality="HQ")
    loud = np.flatnonzero(np.abs(samples) > 100)
    return samples[max(loud[0] - RATE // 50, 0) : loud[-1] + RATE // 20]


def _engine(name: str) -> SpeechEngine:
    return flite_engine() if name == "flite" else espeak_engine()


def clean(speech: Samples, rng: np.random.Generator) -> bytes:
    """As the engine makes it, in digital silence."""
    return _pcm(_padded(speech))


def noisy(speech: Samples, rng: np.random.Generator) -> bytes:
    """With pink noise 20 dB below the speech."""
    padded = _padded(speech)
    return _pcm(padded + _pink(len(padded), rng) * _rms(speech) / 10)


def telephone(speech: Samples, rng: np.random.Generator) -> bytes:
    """Through a telephone: 300 to 3400 Hz, G.711 mu-law at 8 kHz, then brought back to 16 kHz."""
    narrow = soxr.resample(np.convolve(_padded(speech), _TELEPHONE_BAND, "same"), RATE, 8_000)
    decoded = _mu_law_decoded(_mu_law_encoded(np.clip(narrow, -32767, 32767)))
    up = Resampler(8_000, RATE)
    return up.process(_pcm(decoded)) + up.flush()


CONDITIONS: dict[str, Callable[[Samples, np.random.Generator], bytes]] = {
    "clean": clean,
    "20 dB pink noise": noisy,
    "telephone": telephone,
}


def _padded(speech: Samples) -> Samples:
    lead, tail = (np.zeros(RATE * ms // 1000) for ms in (LEAD_MS, TAIL_MS))
    return np.concatenate([lead, speech, tail])


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def _pcm(samples: Samples) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()


def _pink(length: int, rng: np.random.Generator) -> Samples:
    """Noise of unit variance whose power falls by 3 dB an octave above 20 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequencies = np.fft.rfftfreq(length, 1 / RATE)
    shaped = spectrum / np.sqrt(np.maximum(frequencies, 20))
    noise = np.fft.irfft(shaped, length)
    return noise / _rms(noise)


def _band_pass(low_hz: float, high_hz: float, taps: int = 255) -> Samples:
    n = np.arange(taps) - (taps - 1) / 2
    ideal = [2 * f / RATE * np.sinc(2 * f / RATE * n) for f in (low_hz, high_hz)]
    return (ideal[1] - ideal[0]) * np.hamming(taps)


_TELEPHONE_BAND = _band_pass(300, 3_400)


def _mu_law_encoded(samples: Samples) -> npt.NDArray[np.uint8]:
    """G.711 mu-law by its continuous formula, 256 steps."""
    x = samples / 32768
    y = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    return np.rint((y + 1) * 127.5).astype(np.uint8)


def _mu_law_decoded(codes: npt.NDArray[np.uint8]) -> Samples:
    y = codes / 127.5 - 1
    return np.sign(y) * np.expm1(np.abs(y) * np.log(256)) / 255 * 32768
