"""Takes the silence off both ends of an utterance as it streams."""

import numpy as np

from antiphon.domain.audio import BYTES_PER_SAMPLE, AudioFormat

THRESHOLD = 200
"""Samples this quiet are silence (-44 dBFS). espeak-ng pads with zeros, flite with up to 0.3 s of
low noise whose peaks reach 160."""

KEPT_HEAD_MS = 15.0
"""Left before the first sound, so that a soft onset is not cut."""

KEPT_TAIL_MS = 30.0
"""Silence at the end, made up when the engine gave less. A stream resampler withholds its last few
milliseconds for ever: this way they are silence."""


class SilenceTrimmer:
    """Trims one utterance: audio before the first sound is dropped, silence inside is kept.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int):
        self._format = AudioFormat(sample_rate)
        self._started = False
        self._held = bytearray()
        self.trimmed_head_ms = 0.0
        """Milliseconds dropped from the head so far; final once `push` has returned audio."""

    def push(self, audio: bytes) -> bytes:
        """Add audio; returns what is known to be neither leading nor trailing silence."""
        self._held += audio
        loud = np.flatnonzero(np.abs(np.frombuffer(self._held, "<i2").astype(np.int32)) > THRESHOLD)
        if not loud.size:
            if not self._started:
                self._drop_head(len(self._held) - self._format.bytes_in(KEPT_HEAD_MS))
            return b""
        if not self._started:
            self._started = True
            first = int(loud[0]) * BYTES_PER_SAMPLE
            kept = self._format.bytes_in(KEPT_HEAD_MS)
            loud = loud - self._drop_head(first - kept) // BYTES_PER_SAMPLE
        end = (int(loud[-1]) + 1) * BYTES_PER_SAMPLE
        out = bytes(self._held[:end])
        del self._held[:end]
        return out

    def finish(self) -> bytes:
        """The end of the utterance: its closing silence, of `KEPT_TAIL_MS`; nothing if all was."""
        tail = bytes(self._format.bytes_in(KEPT_TAIL_MS)) if self._started else b""
        self._held.clear()
        return tail

    def _drop_head(self, n_bytes: int) -> int:
        n_bytes = max(n_bytes, 0)
        del self._held[:n_bytes]
        self.trimmed_head_ms += self._format.ms_in(n_bytes)
        return n_bytes
