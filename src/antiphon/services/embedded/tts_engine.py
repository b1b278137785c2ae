"""What a speech engine of the embedded default is, and the text it says word by word.

An engine synthesises in a worker thread and hands over audio with word times as it goes; it knows
no event loop and no Pipecat. `EspeakEngine` and `FliteEngine` implement `SpeechEngine`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

MAX_PIECE_CHARS = 300
"""Longest text given to an engine in one go, so that no call holds the engine's lock for long
(espeak-ng needs about 20 ms for this much, flite about 250 ms)."""

DEFAULT_RATE_WPM = 175

_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice an engine offers."""

    name: str
    """What `SpeechOptions.voice` takes."""
    language: str
    """BCP 47-like tag in lower case, e.g. `en-us`."""
    title: str = ""


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """How to say it."""

    voice: str
    rate_wpm: int = DEFAULT_RATE_WPM
    """Words a minute, 80 to 450."""
    pitch: int = 50
    """0 to 100; 50 is the voice's own. flite has no such control and ignores it."""
    volume: int = 100
    """0 to 200, percent of the voice's own. flite ignores it."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A whitespace-delimited word of the text, punctuation included, and when it begins."""

    text: str
    at_ms: float
    """Milliseconds from the start of the audio of this text."""


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of audio, with the words whose times became known with it."""

    audio: bytes
    """PCM16 little-endian mono at the engine's `sample_rate`."""
    words: tuple[SpokenWord, ...] = ()


Sink = Callable[[SpeechChunk], bool]
"""Takes a chunk as it is made; returns False to stop the synthesis at once."""


class SpeechEngine(Protocol):
    """A text-to-speech engine. Methods block: call them in a worker thread."""

    name: str
    sample_rate: int
    """Hz, of the audio it makes."""

    def synthesize(self, text: str, options: SpeechOptions, sink: Sink) -> None:
        """Say `text`, giving each chunk to `sink` until it returns False.

        Raises:
            ServiceError: the engine failed.
        """

    def default_voice(self, language: str) -> str:
        """The voice for a language tag.

        Raises:
            ConfigurationError: the engine does not speak the language.
        """

    def check_voice(self, voice: str) -> None:
        """Make sure that the voice exists.

        Raises:
            ConfigurationError: it does not; the message says what does.
        """


def pieces(text: str, limit: int = MAX_PIECE_CHARS) -> Iterator[tuple[int, str]]:
    """Cut a long text at sentence ends, else between words; yields (offset in characters, piece).

    A run of `limit` characters with no space is cut where it reaches the limit.
    """
    start = 0
    while len(text) - start > limit:
        window = text[start : start + limit]
        ends = [match.end() for match in _SENTENCE_END.finditer(window)]
        cut = ends[-1] if ends else window.rfind(" ") + 1 or limit
        yield start, text[start : start + cut]
        start += cut
    if text[start:].strip():
        yield start, text[start:]


class WordTimer:
    """Turns an engine's (position in the text, time) events into a time for every word.

    Engines report some words in several parts ("34.50" is five words) and some not at all ("the"
    after "in" is said with it); a word's time is its first part's, and words with no event of
    their own share the time between their neighbours evenly.

    Args:
        text: The text being said.
    """

    def __init__(self, text: str):
        self._spans = [(m.start(), m.end()) for m in _WORD.finditer(text)]
        self._text = text
        self._next = 0
        self._last_ms = 0.0

    def at(self, position: int, ms: float) -> list[SpokenWord]:
        """The engine reached character `position` at `ms`; the words whose times are now known."""
        index = self._next
        while index < len(self._spans) and self._spans[index][1] <= position:
            index += 1
        if index >= len(self._spans) or position < self._spans[index][0]:
            return []
        return self._advance(index, ms, include=True)

    def finish(self, end_ms: float) -> list[SpokenWord]:
        """The audio ends at `end_ms`: the words that had no event."""
        return self._advance(len(self._spans), end_ms, include=False)

    def _advance(self, index: int, ms: float, *, include: bool) -> list[SpokenWord]:
        """Time all words before `index`, and that one too when `include`."""
        gap = index - self._next
        # The word before the gap took its share of the time as well, unless there is none.
        shares = gap + (1 if self._next else 0)
        words = []
        for i in range(gap):
            share = (i + 1 if self._next else i) / max(shares, 1)
            words.append(self._word(self._next + i, self._last_ms + (ms - self._last_ms) * share))
        if include:
            words.append(self._word(index, ms))
            self._next, self._last_ms = index + 1, ms
        else:
            self._next = index
        return words

    def _word(self, index: int, ms: float) -> SpokenWord:
        start, end = self._spans[index]
        return SpokenWord(self._text[start:end], ms)
