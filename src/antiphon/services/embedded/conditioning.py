"""Caller audio made fit for the acoustic model: 16 kHz, never silent, never without treble.

The model was trained on 16 kHz microphones. Exact zeros, and the empty upper half of a telephone
call that was resampled to 16 kHz, are nothing it has ever heard, and wreck its features; a little
white noise fixes both. What was measured is in docs/embedded-accuracy.md.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from antiphon.services.embedded.decoder import SAMPLE_RATE

WIDE_BAND_NOISE = 25.0
"""Standard deviation, in 16-bit steps, of the noise added to wide-band audio."""

NARROW_BAND_NOISE = 70.0
"""The same for sources of 8 kHz."""

NARROW_BAND_RATE = 8_000
"""Hz; sources of this rate or less are narrow-band."""

_NOISE_SAMPLES = 1 << 17
_UPPER_HZ = 4_300
"""A source of 8 kHz has nothing above this, whatever resampler brought it to 16 kHz."""
_LOWER_HZ = (300, 3_400)
_NARROW_RATIO = 1e-5
"""Upper to lower band energy below which a source is narrow-band (-50 dB)."""
_MEASURE_SAMPLES = 512
_LOUD_RMS = 200.0
_MEASURED_WINDOWS = 8

Samples = npt.NDArray[np.float32]


@cache
def _noise() -> Samples:
    """White noise of unit variance, made once per process and read round and round."""
    return np.random.default_rng(1).standard_normal(_NOISE_SAMPLES, dtype=np.float32)


class Conditioner:
    """Resamples a call's audio to 16 kHz and adds noise to it. One thread at a time.

    Args:
        sample_rate: Hz of the audio given to `process`.
        source_sample_rate: Hz at which the caller's audio entered the server, if known; else it is
            found out from the energy above 4.3 kHz.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, source_sample_rate: int | None = None):
        self.sample_rate = sample_rate
        known = source_sample_rate if source_sample_rate is not None else sample_rate
        self._narrow = known <= NARROW_BAND_RATE
        # To change the noise in mid-call spoils the line that has been learnt: a source whose rate
        # is known keeps its band, even if an exchange raised telephone audio to that rate.
        self._band = None if self._narrow or source_sample_rate is not None else _BandMeter()
        self._noise_at = 0
        self._resampler: Any = None

    @property
    def narrow_band(self) -> bool:
        """Whether the audio is taken for telephone audio."""
        return self._narrow

    def process(self, pcm: bytes) -> bytes:
        """Condition a piece of PCM16 mono; returns PCM16 mono at 16 kHz."""
        return self._conditioned(self._resampled(pcm, last=False))

    def flush(self) -> bytes:
        """The tail still inside the resampler, at the end of an utterance."""
        if self._resampler is None:
            return b""
        tail = self._conditioned(self._resampled(b"", last=True))
        self._resampler = None
        return tail

    def _resampled(self, pcm: bytes, *, last: bool) -> Samples:
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
        if self.sample_rate == SAMPLE_RATE:
            return samples
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(self.sample_rate, SAMPLE_RATE, 1, "float32")
        resampled: Samples = self._resampler.resample_chunk(samples, last=last)
        return resampled

    def _conditioned(self, samples: Samples) -> bytes:
        if not len(samples):
            return b""
        if self._band is not None and (narrow := self._band.measure(samples)) is not None:
            self._narrow, self._band = narrow, None
        level = NARROW_BAND_NOISE if self._narrow else WIDE_BAND_NOISE
        positions = np.arange(self._noise_at, self._noise_at + len(samples))
        noise = np.take(_noise(), positions, mode="wrap")
        self._noise_at = (self._noise_at + len(samples)) % _NOISE_SAMPLES
        mixed = np.clip(np.rint(samples + level * noise), -32768, 32767)
        return mixed.astype("<i2").tobytes()


class _BandMeter:
    """Tells telephone audio that was brought to 16 kHz from audio that has treble."""

    def __init__(self) -> None:
        frequencies = np.fft.rfftfreq(_MEASURE_SAMPLES, 1 / SAMPLE_RATE)
        self._upper = frequencies > _UPPER_HZ
        self._lower = (frequencies > _LOWER_HZ[0]) & (frequencies < _LOWER_HZ[1])
        self._window = np.hanning(_MEASURE_SAMPLES).astype(np.float32)
        self._energies: list[tuple[float, float]] = []

    def measure(self, samples: Samples) -> bool | None:
        """Take in audio; whether it is narrow-band, once enough of it was loud."""
        for at in range(0, len(samples) - _MEASURE_SAMPLES + 1, _MEASURE_SAMPLES):
            window = samples[at : at + _MEASURE_SAMPLES]
            if np.sqrt(np.mean(window**2)) < _LOUD_RMS:
                continue
            power = np.abs(np.fft.rfft(window * self._window)) ** 2
            self._energies.append(
                (float(power[self._upper].sum()), float(power[self._lower].sum()))
            )
        if len(self._energies) < _MEASURED_WINDOWS:
            return None
        upper, lower = np.sum(self._energies, axis=0)
        return bool(upper < _NARROW_RATIO * lower)
