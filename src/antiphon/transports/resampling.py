"""Streaming resampling at a transport's edge, with a fixed delay of a few milliseconds.

soxr's streams were measured first (1.0.0, 20 ms pieces): 8 to 16 kHz comes out in bursts 60 to
120 ms apart and 16 to 24 kHz 40 ms apart at every filtered quality, since they work in blocks, and
its unfiltered quality aliases. A plain polyphase FIR gives every piece back at once, less 1.5 ms at
16 kHz, for about 30 microseconds.
"""

from functools import lru_cache
from math import gcd

import numpy as np
import numpy.typing as npt

_TAPS = 48
"""Taps a phase, at the lower of the two rates: the delay is half of them."""

_KAISER_BETA = 7.0
"""About 70 dB of stop-band attenuation."""

_CUTOFF = 0.92
"""Of the lower Nyquist frequency: leaves room for the transition band."""


@lru_cache(maxsize=32)
def _filter_bank(up: int, down: int) -> npt.NDArray[np.float32]:
    """Phases of the low-pass filter: shape (up, taps), newest input sample last."""
    taps = _TAPS * max(1, -(-down // up))
    length = taps * up
    cutoff = _CUTOFF / max(up, down)
    n = np.arange(length) - (length - 1) / 2
    prototype = cutoff * np.sinc(cutoff * n) * np.kaiser(length, _KAISER_BETA) * up
    bank = prototype.reshape(taps, up).T[:, ::-1]
    return np.ascontiguousarray(bank / bank.sum(axis=1, keepdims=True), dtype=np.float32)


class Resampler:
    """Streaming PCM16 mono resampler.

    Args:
        source_rate: Hz.
        target_rate: Hz.
    """

    def __init__(self, source_rate: int, target_rate: int):
        self.source_rate = source_rate
        self.target_rate = target_rate
        common = gcd(source_rate, target_rate)
        self._up = target_rate // common
        self._down = source_rate // common
        self._bank = _filter_bank(self._up, self._down)
        self._taps = int(self._bank.shape[1])
        self._history = np.zeros(self._taps - 1, dtype=np.float32)
        self._position = 0

    @classmethod
    def between(cls, source_rate: int, target_rate: int) -> "Resampler | None":
        """A resampler, or None where the rates are the same."""
        return cls(source_rate, target_rate) if source_rate != target_rate else None

    @property
    def delay_ms(self) -> float:
        """How much later than the input the output is."""
        return self._taps / 2 / self.source_rate * 1000

    def process(self, pcm: bytes) -> bytes:
        """Resample a piece of whole samples; everything due comes back at once."""
        if not pcm:
            return b""
        history = np.concatenate([self._history, np.frombuffer(pcm, np.int16).astype(np.float32)])
        available = len(history) - self._taps + 1
        # Output n reads the window that starts at n x down / up, counted from the last call's end.
        count = -(-(available * self._up - self._position) // self._down)
        at = self._position + self._down * np.arange(count)
        windows = np.lib.stride_tricks.sliding_window_view(history, self._taps)[at // self._up]
        out = np.einsum("ij,ij->i", windows, self._bank[at % self._up])
        self._position += count * self._down - available * self._up
        self._history = history[available:]
        pcm16: npt.NDArray[np.int16] = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
        return pcm16.tobytes()

    def flush(self) -> bytes:
        """The tail still inside the filter; the next piece starts a new stream."""
        tail = self.process(bytes(self._taps // 2 * 2))
        self._reset()
        return tail

    def _reset(self) -> None:
        self._history = np.zeros(self._taps - 1, dtype=np.float32)
        self._position = 0
