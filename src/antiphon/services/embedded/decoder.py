"""One PocketSphinx decoder: audio in, words out. Blocks; one thread at a time.

`open_decoder` gives the C library through ctypes where the wheel exports it (decoding then runs
beside the event loop), else the wheel's own binding, which gives the same words.
"""

import ctypes
import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

from antiphon.errors import ServiceError, Unavailable
from antiphon.services.embedded.decoder_library import pocketsphinx_library

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16_000
"""Hz, of the acoustic model and so of all audio a decoder takes (PCM16 mono)."""

FRAMES_PER_SECOND = 100

NATS_PER_SCORE = 1024 * math.log(1.0001)
"""Natural logarithm of one unit of a score (logarithms to the base 1.0001, ten bits dropped)."""

Option = str | int | float | bool
Options = Mapping[str, Option]
"""PocketSphinx configuration by name, e.g. `{"fsg": path, "bestpath": False}`."""


class Segment(NamedTuple):
    """A word of a hypothesis as it was aligned."""

    word: str
    """A dictionary entry, so with its variant (`the(2)`), or a filler (`<sil>`)."""
    start: int
    """First frame (10 ms)."""
    end: int
    """Last frame."""
    score: int = 0
    """How well its frames fit it: log likelihood in PocketSphinx's units. Only to be compared with
    other words for the same frames."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was recognized so far."""

    text: str
    """Words separated by spaces, fillers left out; empty if no path is left."""
    score: int
    """Log likelihood of the best path, in PocketSphinx's units."""
    segments: tuple[Segment, ...] = ()


class Decoder(Protocol):
    """A decoder with one search; `start`, `process` any number of times, `finish`."""

    def forget_noise(self) -> None:
        """Forget the background noise that is subtracted; before another caller's utterance."""

    def start(self) -> None:
        """Begin an utterance."""

    def process(self, pcm: bytes, *, search: bool = True) -> None:
        """Take audio (PCM16 mono, 16 kHz); without `search` only its features are computed."""

    def finish(self) -> None:
        """End the utterance."""

    def partial(self) -> str:
        """The words so far; cheap, for interim transcripts."""

    def result(self) -> Decoded:
        """The best path; after `finish`."""

    def cepstral_mean(self) -> str:
        """What the decoder has learnt about the channel and speaker, as text."""

    def set_cepstral_mean(self, mean: str) -> None:
        """Go on from what another decoder has learnt; before `start`."""

    def close(self) -> None:
        """Release the memory. Closing twice is harmless."""


class LibraryDecoder:
    """A decoder on the C library: its methods let other threads run.

    Raises:
        ServiceError: PocketSphinx refuses the options or a file they name.
    """

    def __init__(self, options: Options):
        self._lib = pocketsphinx_library()
        self._handle: int | None = None
        self._handle = _initialise(self._lib, options)

    def forget_noise(self) -> None:
        """Forget the background noise that is subtracted."""
        self._check(self._lib.ps_start_stream(self._open()), "forget_noise")

    def start(self) -> None:
        """Begin an utterance."""
        self._check(self._lib.ps_start_utt(self._open()), "start")

    def process(self, pcm: bytes, *, search: bool = True) -> None:
        """Take audio (PCM16 mono, 16 kHz); without `search` only its features are computed."""
        result = self._lib.ps_process_raw(self._open(), pcm, len(pcm) // 2, not search, False)
        self._check(result, "process")

    def finish(self) -> None:
        """End the utterance."""
        self._check(self._lib.ps_end_utt(self._open()), "finish")

    def partial(self) -> str:
        """The words so far."""
        return (self._lib.ps_get_hyp(self._open(), None) or b"").decode()

    def result(self) -> Decoded:
        """The best path."""
        score = ctypes.c_int(0)
        text = self._lib.ps_get_hyp(self._open(), ctypes.byref(score))
        return Decoded((text or b"").decode(), score.value, self._segments())

    def cepstral_mean(self) -> str:
        """What has been learnt about channel and speaker."""
        # With `update`: by itself the library takes in what it heard only every three seconds.
        return (self._lib.ps_get_cmn(self._open(), True) or b"").decode()

    def set_cepstral_mean(self, mean: str) -> None:
        """Go on from what another decoder has learnt."""
        self._check(self._lib.ps_set_cmn(self._open(), mean.encode()), "set_cepstral_mean")

    def close(self) -> None:
        """Release the memory."""
        handle, self._handle = self._handle, None
        if handle:
            self._lib.ps_free(handle)

    def __del__(self) -> None:
        self.close()

    def _segments(self) -> tuple[Segment, ...]:
        segments = []
        start, end, score = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        item = self._lib.ps_seg_iter(self._open())
        while item:
            self._lib.ps_seg_frames(item, ctypes.byref(start), ctypes.byref(end))
            self._lib.ps_seg_prob(item, ctypes.byref(score), None, None)
            word = (self._lib.ps_seg_word(item) or b"").decode()
            segments.append(Segment(word, start.value, end.value, score.value))
            item = self._lib.ps_seg_next(item)
        return tuple(segments)

    def _open(self) -> int:
        if not self._handle:
            raise ServiceError("the decoder is closed", code="stt_failed")
        return self._handle

    def _check(self, result: int, step: str) -> None:
        if result < 0:
            raise ServiceError(
                f"PocketSphinx failed to {step} (status {result})", code="stt_failed"
            )


def _initialise(lib: ctypes.CDLL, options: Options) -> int | None:
    config = lib.ps_config_init(None)
    try:
        for name, value in {**options, "loglevel": "FATAL"}.items():
            key = name.encode()
            if isinstance(value, bool):
                done = lib.ps_config_set_bool(config, key, value)
            elif isinstance(value, int):
                done = lib.ps_config_set_int(config, key, value)
            elif isinstance(value, float):
                done = lib.ps_config_set_float(config, key, value)
            else:
                done = lib.ps_config_set_str(config, key, value.encode())
            if not done:
                raise ServiceError(f"PocketSphinx has no option {name!r}", code="stt_failed")
        handle: int | None = lib.ps_init(config)
    finally:
        lib.ps_config_free(config)
    if not handle:
        raise ServiceError(
            f"PocketSphinx cannot start with {dict(options)}; is a file missing, or a word of the "
            "grammar not in the dictionary?",
            code="stt_failed",
        )
    return handle


class BindingDecoder:
    """A decoder on the wheel's own binding, which holds the interpreter lock in every call.

    Raises:
        ServiceError: PocketSphinx refuses the options or a file they name.
    """

    def __init__(self, options: Options):
        from pocketsphinx import Config
        from pocketsphinx import Decoder as Binding

        try:
            # Without `lm` the binding would load the wheel's language model.
            settings = {"lm": None, **options, "loglevel": "FATAL"}
            self._decoder: Any = Binding(Config(**settings))
        except (RuntimeError, ValueError, KeyError) as exc:
            raise ServiceError(f"PocketSphinx cannot start: {exc}", code="stt_failed") from exc

    def forget_noise(self) -> None:
        """Forget the background noise that is subtracted."""
        with warnings.catch_warnings():
            # "Deprecated and unnecessary", but nothing else makes it forget.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._open().start_stream()

    def start(self) -> None:
        """Begin an utterance."""
        self._open().start_utt()

    def process(self, pcm: bytes, *, search: bool = True) -> None:
        """Take audio (PCM16 mono, 16 kHz); without `search` only its features are computed."""
        self._open().process_raw(pcm, no_search=not search, full_utt=False)

    def finish(self) -> None:
        """End the utterance."""
        self._open().end_utt()

    def partial(self) -> str:
        """The words so far."""
        found = self._open().hyp()
        return found.hypstr if found else ""

    def result(self) -> Decoded:
        """The best path."""
        found = self._open().hyp()
        if found is None:
            return Decoded("", 0)
        aligned = self._open().seg() or ()
        log = self._open().get_logmath().log
        segments = tuple(
            Segment(s.word, s.start_frame, s.end_frame, round(log(s.ascore))) for s in aligned
        )
        score = round(log(found.best_score))
        return Decoded(found.hypstr, score, segments)

    def cepstral_mean(self) -> str:
        """What has been learnt about channel and speaker."""
        return str(self._open().get_cmn(True))

    def set_cepstral_mean(self, mean: str) -> None:
        """Go on from what another decoder has learnt."""
        self._open().set_cmn(mean)

    def close(self) -> None:
        """Release the memory."""
        self._decoder = None

    def _open(self) -> Any:
        if self._decoder is None:
            raise ServiceError("the decoder is closed", code="stt_failed")
        return self._decoder


@cache
def library_available() -> bool:
    """Whether decoders run on the C library; otherwise on the binding, and the log says why."""
    try:
        pocketsphinx_library()
    except Unavailable as exc:
        logger.warning("%s; decoding will hold the interpreter lock", exc)
        return False
    return True


def open_decoder(options: Options) -> Decoder:
    """The best decoder this installation offers; takes 50 to 100 ms, so not on the event loop.

    Raises:
        ServiceError: PocketSphinx refuses the options or a file they name.
    """
    return LibraryDecoder(options) if library_available() else BindingDecoder(options)
