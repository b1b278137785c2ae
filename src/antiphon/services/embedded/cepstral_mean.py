"""What is learnt about a caller's voice, level and line: the mean of the cepstra.

PocketSphinx subtracts a running mean from its features and begins each decoder with a guess that
is far off for telephone and noisy audio. It learns slowly: what it is given counts as 500 frames
(`CMN_WIN` of its `cmn.h`), so a word of half a second hardly moves it. This module reads from the
decoder's mean before and after what the audio's own mean was, and weighs it by its length.
"""

from dataclasses import dataclass
from typing import Self

_GIVEN_FRAMES = 500
"""Weight of the mean a decoder was given (`CMN_WIN`)."""
_ROUND_FRAMES = 301
"""After as many frames a decoder takes in what it heard, as if it were given (`CMN_WIN_HWM`)."""

REMEMBERED_FRAMES = 500
"""Older audio counts as this many frames (5 s) at most: a caller may put the phone on speaker."""


@dataclass(frozen=True, slots=True)
class CepstralMean:
    """A mean and how much audio it rests on."""

    values: tuple[float, ...]
    frames: int = 0
    """Frames of 10 ms; 0 for a guess."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """A guess, as PocketSphinx writes it."""
        return cls(tuple(float(value) for value in text.split(",")))

    def text(self) -> str:
        """As PocketSphinx reads it."""
        return ",".join(f"{value:.6g}" for value in self.values)

    def after(self, text: str, frames: int) -> "CepstralMean":
        """The mean with an utterance taken in.

        Args:
            text: The mean of a decoder that was given this one and then `frames` of audio.
            frames: Length of that audio.
        """
        if frames <= 0:
            return self
        rounds, rest = divmod(frames, _ROUND_FRAMES)
        kept = (_GIVEN_FRAMES / (_GIVEN_FRAMES + _ROUND_FRAMES)) ** rounds
        learnt = 1 - kept * _GIVEN_FRAMES / (_GIVEN_FRAMES + rest)
        weight = frames / (self.frames + frames)
        moved = CepstralMean.parse(text).values
        values = tuple(
            old + (new - old) / learnt * weight for old, new in zip(self.values, moved, strict=True)
        )
        return CepstralMean(values, min(self.frames + frames, REMEMBERED_FRAMES))
