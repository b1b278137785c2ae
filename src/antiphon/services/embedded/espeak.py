"""espeak-ng in this process, through ctypes: the one wrapper of its one global engine.

The library (1.52, from the `espeakng-loader` wheel, which carries its data too) keeps all state in
C globals: two threads inside it at once abort the process ("double free or corruption"). All calls
therefore go through `EspeakEngine` under one lock, and there is one engine per process
(`espeak_engine`). 8 s of speech take about 7 ms, so the lock is no bottleneck; a long text gives
it up between sentences. API: `speak_lib.h` of espeak-ng 1.52.
"""

import ctypes
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import espeakng_loader

from antiphon.errors import ConfigurationError, ServiceError
from antiphon.services.embedded.tts_engine import (
    Sink,
    SpeechChunk,
    SpeechOptions,
    SpokenWord,
    Voice,
    WordTimer,
    pieces,
)

BUFFER_MS = 30
"""Asked-for length of one audio callback; the engine makes it 30 to 60 ms."""

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_POSITION_CHARACTER = 1
_PHONEMES_IPA = 0x02
_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1
_RATE, _VOLUME, _PITCH = 1, 2, 3


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        # Pairs of a priority byte and a zero-terminated tag; read by hand.
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_SynthCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event)
)


def _load() -> ctypes.CDLL:
    """The library with its prototypes declared.

    Raises:
        ConfigurationError: the library cannot be loaded.
    """
    try:
        lib = ctypes.CDLL(espeakng_loader.get_library_path())
    except OSError as exc:
        raise ConfigurationError(
            [f"espeak-ng cannot be loaded ({exc}); reinstall it: pip install espeakng-loader"]
        ) from exc
    lib.espeak_Initialize.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
    lib.espeak_SetSynthCallback.argtypes = (_SynthCallback,)
    lib.espeak_SetSynthCallback.restype = None
    lib.espeak_SetVoiceByName.argtypes = (ctypes.c_char_p,)
    lib.espeak_SetParameter.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int)
    lib.espeak_Synth.argtypes = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    lib.espeak_TextToPhonemes.argtypes = (
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
    )
    lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
    lib.espeak_ListVoices.argtypes = (ctypes.c_void_p,)
    lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    return lib


class _Job:
    """The synthesis under way: what the callback writes to."""

    def __init__(self, piece: str, offset_ms: float, sink: Sink, sample_rate: int):
        self.timer = WordTimer(piece)
        self.offset_ms = offset_ms
        self.sink = sink
        self.sample_rate = sample_rate
        self.samples = 0
        self.stopped = False
        self.error: BaseException | None = None

    @property
    def end_ms(self) -> float:
        return self.offset_ms + self.samples * 1000 / self.sample_rate

    def receive(self, wav: int | None, samples: int, events: "ctypes._Pointer[_Event]") -> int:
        """Take one buffer; 1 stops the engine at once (speak_lib.h, espeak_SetSynthCallback)."""
        words: list[SpokenWord] = []
        index = 0
        while (event := events[index]).type != _EVENT_LIST_TERMINATED:
            if event.type == _EVENT_WORD:
                # Positions count characters from 1.
                at_ms = self.offset_ms + event.audio_position
                words += self.timer.at(event.text_position - 1, at_ms)
            index += 1
        audio = ctypes.string_at(wav, samples * 2) if wav and samples > 0 else b""
        self.samples += len(audio) // 2
        if audio or words:
            self.stopped = not self.sink(SpeechChunk(audio, tuple(words)))
        return int(self.stopped)


class EspeakEngine:
    """The process's espeak-ng. Thread-safe; blocks. Get it from `espeak_engine()`.

    Raises:
        ConfigurationError: the library or its data is missing.
    """

    name = "espeak-ng"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._voice = ""
        self._voices: list[Voice] = []
        self._identifiers: dict[str, bytes] = {}
        self._checked: set[str] = set()
        self._lib = _load()
        data_path = espeakng_loader.get_data_path()
        self.sample_rate: int = self._lib.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, data_path.encode(), _INITIALIZE_DONT_EXIT
        )
        if self.sample_rate <= 0:
            problem = (
                f"espeak-ng cannot use its data at {data_path!r} ({len(data_path)} characters; it "
                "takes at most 159): install into a directory with a shorter path"
            )
            raise ConfigurationError([problem])
        # The library keeps only the pointer: this reference keeps the callback alive.
        self._callback = _SynthCallback(self._receive)
        self._lib.espeak_SetSynthCallback(self._callback)
        self._read_voices()

    def synthesize(self, text: str, options: SpeechOptions, sink: Sink) -> None:
        """Say `text`, giving each buffer of 30 to 60 ms to `sink` until it returns False.

        `sink` is called inside the engine: it must return at once and not call the engine.

        Raises:
            ConfigurationError: no such voice.
            ServiceError: the engine reported an error.
        """
        offset_ms = 0.0
        parts = list(pieces(text))
        for number, (_, piece) in enumerate(parts, start=1):
            job = _Job(piece, offset_ms, sink, self.sample_rate)
            flags = _CHARS_UTF8 | (_END_PAUSE if number < len(parts) else 0)
            with self._lock:
                self._set(options)
                self._synth(piece, flags, job)
            if not job.stopped and (rest := job.timer.finish(job.end_ms)):
                job.stopped = not sink(SpeechChunk(b"", tuple(rest)))
            if job.stopped:
                return
            offset_ms = job.end_ms

    def phonemes(self, text: str, voice: str = "en-us", *, separator: str = "") -> str:
        """The text in IPA, words separated by spaces, stress marks included.

        Args:
            text: Any text; punctuation is dropped.
            voice: A voice or language name.
            separator: A character to put between the phonemes of a word, e.g. `_`.

        Raises:
            ConfigurationError: no such voice.
        """
        mode = _PHONEMES_IPA | (ord(separator) << 8 if separator else 0)
        # The engine advances the pointer through this buffer, so it must outlive the loop.
        buffer = ctypes.create_string_buffer(_encode(text))
        rest = ctypes.c_char_p(ctypes.addressof(buffer))
        clauses = []
        with self._lock:
            self._set_voice(voice)
            while rest.value:
                found = self._lib.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, mode)
                clauses.append((found or b"").decode().strip())
        return " ".join(clause for clause in clauses if clause)

    def voices(self) -> Sequence[Voice]:
        """All voices; each also takes a variant, e.g. `en-us+f3`."""
        return tuple(self._voices)

    def default_voice(self, language: str) -> str:
        """The voice for a language tag; `en` is `en-us`.

        Raises:
            ConfigurationError: the engine does not speak the language.
        """
        wanted = language.lower().replace("_", "-")
        if wanted == "en":
            return "en-us"
        for candidate in (wanted, wanted.split("-")[0]):
            if candidate in self._identifiers:
                return candidate
        raise ConfigurationError([f"language: espeak-ng does not speak {language!r}"])

    def check_voice(self, voice: str) -> None:
        """Make sure that the voice exists.

        Raises:
            ConfigurationError: it does not.
        """
        if voice in self._checked:
            return
        with self._lock:
            self._set_voice(voice)
        self._checked.add(voice)

    def _read_voices(self) -> None:
        """Fill the voice table from the data directory."""
        table = self._lib.espeak_ListVoices(None)
        index = 0
        while entry := table[index]:
            raw = entry.contents
            tag = ctypes.string_at(raw.languages + 1).decode().lower()
            if tag not in self._identifiers:
                self._identifiers[tag] = raw.identifier
                self._voices.append(Voice(tag, tag, raw.name.decode()))
            index += 1

    def _set(self, options: SpeechOptions) -> None:
        self._set_voice(options.voice)
        for parameter, value in (
            (_RATE, options.rate_wpm),
            (_PITCH, options.pitch),
            (_VOLUME, options.volume),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)

    def _set_voice(self, voice: str) -> None:
        if voice == self._voice:
            return
        base, _, variant = voice.partition("+")
        # By file: a few tags (`en-gb`, `fr-fr`) are not accepted as names.
        name = self._identifiers.get(base.lower(), base.encode("utf-8", "replace"))
        if variant:
            name += b"+" + variant.encode("utf-8", "replace")
        if self._lib.espeak_SetVoiceByName(name) != 0:
            raise ConfigurationError(
                [f"voice: espeak-ng has no voice {voice!r}; use a language such as en-us or en-gb"]
            )
        self._voice = voice

    def _synth(self, piece: str, flags: int, job: _Job) -> None:
        data = _encode(piece)
        self._job = job
        try:
            result = self._lib.espeak_Synth(
                data, len(data) + 1, 0, _POSITION_CHARACTER, 0, flags, None, None
            )
        finally:
            self._job = None
        if job.error is not None:
            raise job.error
        if result != 0:
            raise ServiceError(f"espeak-ng failed with status {result}", code="tts_failed")

    def _receive(self, wav: int | None, samples: int, events: Any) -> int:
        job = self._job
        if job is None:
            return 1
        try:
            return job.receive(wav, samples, events)
        except BaseException as exc:  # noqa: BLE001 -- must not unwind into C; raised by _synth
            job.error = exc
            return 1


def _encode(text: str) -> bytes:
    """UTF-8 with one character for one, so that the engine's positions stay those of `text`."""
    return text.replace("\0", " ").encode("utf-8", "replace")


_loading = threading.Lock()


def espeak_engine() -> EspeakEngine:
    """The process's engine, loaded at the first call (3 to 30 ms).

    Raises:
        ConfigurationError: the library or its data is missing.
    """
    with _loading:
        return _engine()


@cache
def _engine() -> EspeakEngine:
    return EspeakEngine()


def phonemes(text: str, voice: str = "en-us", *, separator: str = "") -> str:
    """`EspeakEngine.phonemes` of the process's engine."""
    return espeak_engine().phonemes(text, voice, separator=separator)
