"""The embedded default's text-to-speech as a Pipecat service: espeak-ng, or flite when asked for.

Word times go through Pipecat's own mechanism (`TTSService.add_word_timestamps`): each word becomes
a `TTSTextFrame` with a presentation time, which the output transport holds back until it is due and
drops on an interruption, so that the conversation context holds only what the caller heard.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language
from pipecat.utils.tracing.service_decorators import traced_tts
from pipecat.utils.types import NOT_GIVEN, NotGiven

from antiphon.domain.audio import AudioFormat
from antiphon.errors import AntiphonError, ConfigurationError
from antiphon.services.embedded.espeak import espeak_engine
from antiphon.services.embedded.flite import flite_available, flite_engine
from antiphon.services.embedded.tts_engine import (
    DEFAULT_RATE_WPM,
    SpeechChunk,
    SpeechEngine,
    SpeechOptions,
)
from antiphon.services.embedded.tts_stream import speak

MODELS = ("espeak-ng", "flite", "auto")

SENTENCE_PAUSE_MS = 160
"""Silence before a sentence that follows another one in the same turn."""

UNSPEAKABLE_MS = 20
"""Silence for a text with nothing to say in it."""


@dataclass
class EmbeddedTTSSettings(TTSSettings):
    """Settings of `EmbeddedTTSService`.

    Parameters:
        model: `espeak-ng` (default), `flite` (needs libflite1) or `auto` (flite when it is there
            and the language is English, else espeak-ng).
        voice: A voice of that engine (`en-us`, `en-us+f3`; `slt`, `rms`); None: the language's.
        language: Language tag, e.g. `en`.
        rate_wpm: Words a minute, 80 to 450.
        pitch: 0 to 100; espeak-ng only.
        volume: 0 to 200, percent; espeak-ng only.
    """

    rate_wpm: int | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    pitch: int | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    volume: int | NotGiven = field(default_factory=lambda: NOT_GIVEN)


def speech_engine(model: str, language: str) -> SpeechEngine:
    """The engine of a model name; loads it (3 to 30 ms) at its first use in the process.

    Raises:
        ConfigurationError: an unknown model, or an engine that is not installed.
    """
    if model not in MODELS:
        raise ConfigurationError([f"model is {model!r}; use one of {', '.join(MODELS)}"])
    english = language.lower().split("-")[0] == "en"
    if model == "flite" or (model == "auto" and english and flite_available()):
        return flite_engine()
    return espeak_engine()


class EmbeddedTTSService(TTSService):
    """Speaks with an engine inside this process: no key, no download, no network.

    Raises:
        ConfigurationError: the engine is missing, or it lacks the voice or the language; the
            constructor checks, so a bad agent fails before its first call.
    """

    Settings = EmbeddedTTSSettings
    _settings: EmbeddedTTSSettings

    def __init__(self, *, settings: EmbeddedTTSSettings | None = None, **kwargs: Any):
        """Create the service.

        Args:
            settings: What to change from the defaults: espeak-ng, English, its own voice.
            **kwargs: For `TTSService`.
        """
        complete = EmbeddedTTSSettings(
            model="espeak-ng",
            voice=None,
            language="en",
            rate_wpm=DEFAULT_RATE_WPM,
            pitch=50,
            volume=100,
        )
        if settings is not None:
            complete.apply_update(settings)
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=False,
            settings=complete,
            **kwargs,
        )
        self._engine, self._options = self._resolve()
        self._timeline = _Timeline()

    def can_generate_metrics(self) -> bool:
        """TTFB and usage are reported."""
        return True

    def language_to_service_language(self, language: Language) -> str | None:
        """Engines take lower-case tags."""
        return str(language.value).lower()

    # The base narrows the argument in the same way (TTSService._update_settings).
    async def _update_settings(  # type: ignore[override]
        self, delta: TTSSettings
    ) -> dict[str, Any]:
        changed = await super()._update_settings(delta)
        if changed:
            self._engine, self._options = self._resolve()
        return changed

    def _resolve(self) -> tuple[SpeechEngine, SpeechOptions]:
        """The engine and options that the settings stand for, checked."""
        chosen = self._settings
        language = str(chosen.language or "en")
        engine = speech_engine(str(chosen.model or "espeak-ng"), language)
        voice = str(chosen.voice) if chosen.voice else engine.default_voice(language)
        engine.check_voice(voice)
        problems = []
        numbers: dict[str, int] = {}
        for name, low, high in (("rate_wpm", 80, 450), ("pitch", 0, 100), ("volume", 0, 200)):
            value = getattr(chosen, name)
            if type(value) is not int or not low <= value <= high:
                problems.append(
                    f"{name} is {value!r}; it must be a whole number from {low} to {high}"
                )
            else:
                numbers[name] = value
        if problems:
            raise ConfigurationError(problems)
        return engine, SpeechOptions(voice=voice, **numbers)

    @traced_tts
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak one sentence.

        Args:
            text: What to say.
            context_id: The turn's audio context; sentences of one turn share it.

        Yields:
            Audio frames at the pipeline's output rate, or an error frame.
        """
        await self.start_tts_usage_metrics(text)
        lead_ms = self._timeline.begin(context_id, self.get_clock().get_time())
        if lead_ms:
            silence = bytes(AudioFormat(self.sample_rate).bytes_in(lead_ms))
            yield TTSAudioRawFrame(silence, self.sample_rate, 1, context_id=context_id)
        stream = speak(self._engine, text, self._options)
        silent = True
        try:
            async for frame in self._stream_audio_frames_from_iterator(
                self._audio(stream, context_id),
                in_sample_rate=self._engine.sample_rate,
                context_id=context_id,
            ):
                silent = False
                yield frame
            if silent:
                # Text with nothing to say in it ("...") is no failure of the service: Pipecat
                # counts contexts without audio and gives the service up after a few.
                quiet = bytes(AudioFormat(self.sample_rate).bytes_in(UNSPEAKABLE_MS))
                yield TTSAudioRawFrame(quiet, self.sample_rate, 1, context_id=context_id)
        except AntiphonError as exc:
            yield ErrorFrame(error=f"{self._engine.name}: {exc}")
        finally:
            # Not left to the garbage collector: closing is what stops the engine.
            await stream.aclose()

    async def _audio(
        self, stream: AsyncIterator[SpeechChunk], context_id: str
    ) -> AsyncIterator[bytes]:
        """The stream's audio; its words are reported after the audio they lie in."""
        sentence_at = self._timeline.cursor_s
        fmt = AudioFormat(self._engine.sample_rate)
        async for chunk in stream:
            if chunk.audio:
                self._timeline.cursor_s += fmt.ms_in(len(chunk.audio)) / 1000
                yield chunk.audio
            if chunk.words:
                times = [(word.text, sentence_at + word.at_ms / 1000) for word in chunk.words]
                await self.add_word_timestamps(times, context_id)


class _Timeline:
    """Where the next sentence begins within its turn, s from the turn's first audio."""

    def __init__(self) -> None:
        self._context_id = ""
        self._started_ns = 0
        self.cursor_s = 0.0

    def begin(self, context_id: str, now_ns: int) -> float:
        """A sentence begins; returns the silence to put before it, in ms.

        Pipecat counts word times from a context's first audio. A sentence that comes when the ones
        before it have been played out begins now, not where they ended.
        """
        if context_id != self._context_id:
            self._context_id, self._started_ns, self.cursor_s = context_id, now_ns, 0.0
            return 0.0
        elapsed_s = (now_ns - self._started_ns) / 1e9
        pause_s = max(self.cursor_s + SENTENCE_PAUSE_MS / 1000 - elapsed_s, 0.0)
        pause_s = min(pause_s, SENTENCE_PAUSE_MS / 1000)
        self.cursor_s = max(self.cursor_s, elapsed_s) + pause_s
        return pause_s * 1000
