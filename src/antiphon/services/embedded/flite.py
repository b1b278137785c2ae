"""flite in this process, through ctypes, where the system has it (Debian: `apt install libflite1`).

A small engine with recorded-speaker voices of American English at 16 kHz, under a BSD-like licence.
It makes a sentence at a time (about 12 ms per second of speech), in a thread. API: `flite.h`,
`cst_utt_utils.h` and `cst_wave.h` of flite 2.2.
"""

import ctypes
import threading
from functools import cache

from antiphon.errors import ConfigurationError, ServiceError
from antiphon.services.embedded.tts_engine import (
    DEFAULT_RATE_WPM,
    Sink,
    SpeechChunk,
    SpeechOptions,
    SpokenWord,
    Voice,
    WordTimer,
    pieces,
)

VOICES = {
    "slt": "American woman",
    "rms": "American man",
    "awb": "Scottish man",
    "kal16": "American man (synthetic)",
}
DEFAULT_VOICE = "slt"
CHUNK_MS = 60
"""Length of the pieces a finished sentence is handed over in."""

INSTALL_HINT = "install it with: apt install libflite1"

# The start of a word is the end of the segment before its first one.
_TOKEN_START_S = b"daughter1.R:SylStructure.daughter1.daughter1.R:Segment.p.end"


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.c_void_p),
    )


class _VoiceHead(ctypes.Structure):
    """The first members of `cst_voice`."""

    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


def _load() -> ctypes.CDLL:
    """The library with its prototypes declared, initialised.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        lib = ctypes.CDLL("libflite.so.1")
    except OSError as exc:
        raise ConfigurationError([f"flite is not installed ({exc}); {INSTALL_HINT}"]) from exc
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("flite_synth_text", pointer, (text, pointer)),
        ("utt_wave", ctypes.POINTER(_Wave), (pointer,)),
        ("utt_relation", pointer, (pointer, text)),
        ("relation_head", pointer, (pointer,)),
        ("item_next", pointer, (pointer,)),
        ("flite_ffeature_string", text, (pointer, text)),
        ("flite_ffeature_float", ctypes.c_float, (pointer, text)),
        ("flite_feat_set_float", None, (pointer, text, ctypes.c_float)),
        ("delete_utterance", None, (pointer,)),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.flite_init()
    return lib


class FliteEngine:
    """The process's flite. Thread-safe; blocks. Get it from `flite_engine()`.

    Raises:
        ConfigurationError: flite is not installed.
    """

    name = "flite"
    sample_rate = 16_000

    def __init__(self) -> None:
        # The speaking rate is a feature of the shared voice: set and used under one lock.
        self._lock = threading.Lock()
        self._lib = _load()
        self._voices: dict[str, int] = {}

    def synthesize(self, text: str, options: SpeechOptions, sink: Sink) -> None:
        """Say `text`, giving each 60 ms to `sink` until it returns False.

        Raises:
            ConfigurationError: no such voice.
            ServiceError: the engine failed.
        """
        offset_ms = 0.0
        for _, piece in pieces(text):
            audio, words = self._say(piece, options)
            step = self.sample_rate * CHUNK_MS // 1000 * 2
            timed = tuple(SpokenWord(word.text, word.at_ms + offset_ms) for word in words)
            for start in range(0, len(audio), step):
                chunk = SpeechChunk(audio[start : start + step], timed if start == 0 else ())
                if not sink(chunk):
                    return
            offset_ms += len(audio) / (self.sample_rate * 2) * 1000

    def default_voice(self, language: str) -> str:
        """The voice for a language tag: flite speaks English only.

        Raises:
            ConfigurationError: another language.
        """
        if language.lower().split("-")[0] != "en":
            raise ConfigurationError(
                [f"language: flite speaks English only, not {language!r}; use model espeak-ng"]
            )
        return DEFAULT_VOICE

    def check_voice(self, voice: str) -> None:
        """Make sure that the voice exists and is installed.

        Raises:
            ConfigurationError: it is not.
        """
        with self._lock:
            self._voice(voice)

    def voices(self) -> tuple[Voice, ...]:
        """The voices this module knows by name."""
        return tuple(Voice(name, "en-us", title) for name, title in VOICES.items())

    def _say(self, piece: str, options: SpeechOptions) -> tuple[bytes, list[SpokenWord]]:
        data = piece.replace("\0", " ").encode("utf-8", "replace")
        stretch = DEFAULT_RATE_WPM / max(options.rate_wpm, 1)
        with self._lock:
            voice = self._voice(options.voice)
            features = ctypes.cast(voice, ctypes.POINTER(_VoiceHead)).contents.features
            self._lib.flite_feat_set_float(features, b"duration_stretch", stretch)
            utterance = self._lib.flite_synth_text(data, voice)
            if not utterance:
                raise ServiceError("flite could not synthesise the text", code="tts_failed")
            try:
                return self._audio(utterance), self._words(utterance, piece)
            finally:
                self._lib.delete_utterance(utterance)

    def _audio(self, utterance: int) -> bytes:
        wave = self._lib.utt_wave(utterance).contents
        if wave.sample_rate != self.sample_rate or wave.num_channels != 1:
            raise ServiceError(
                f"flite made audio of {wave.sample_rate} Hz with {wave.num_channels} channels; "
                f"expected {self.sample_rate} Hz mono",
                code="tts_failed",
            )
        return ctypes.string_at(wave.samples, wave.num_samples * 2) if wave.num_samples else b""

    def _words(self, utterance: int, piece: str) -> list[SpokenWord]:
        timer = WordTimer(piece)
        words: list[SpokenWord] = []
        position, last_ms = 0, 0.0
        item = self._lib.relation_head(self._lib.utt_relation(utterance, b"Token"))
        while item:
            token = (self._lib.flite_ffeature_string(item, b"name") or b"").decode(errors="replace")
            found = piece.find(token, position)
            at_ms = self._lib.flite_ffeature_float(item, _TOKEN_START_S) * 1000
            # Tokens that are not said, such as "<b>", have no segment: their time reads 0.
            if token and found >= 0 and at_ms > 0:
                words += timer.at(found, at_ms)
                position, last_ms = found + len(token), at_ms
            item = self._lib.item_next(item)
        return words + timer.finish(last_ms)

    def _voice(self, name: str) -> int:
        """The registered voice, loading its library at first use. Call under the lock."""
        if name not in VOICES:
            known = ", ".join(VOICES)
            raise ConfigurationError([f"voice: flite has no voice {name!r}; use one of {known}"])
        if name not in self._voices:
            try:
                lib = ctypes.CDLL(f"libflite_cmu_us_{name}.so.1")
            except OSError as exc:
                raise ConfigurationError(
                    [f"voice: flite's {name!r} is not installed ({exc}); {INSTALL_HINT}"]
                ) from exc
            register = getattr(lib, f"register_cmu_us_{name}")
            register.restype, register.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
            self._voices[name] = register(None)
        return self._voices[name]


_loading = threading.Lock()


def flite_engine() -> FliteEngine:
    """The process's engine, loaded at the first call.

    Raises:
        ConfigurationError: flite is not installed.
    """
    with _loading:
        return _engine()


@cache
def _engine() -> FliteEngine:
    return FliteEngine()


def flite_available() -> bool:
    """Whether the library can be loaded on this machine."""
    try:
        flite_engine()
    except ConfigurationError:
        return False
    return True
