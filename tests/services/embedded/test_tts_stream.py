"""From the worker thread to the event loop."""

import asyncio
import threading

import numpy as np
import pytest

from antiphon.errors import ServiceError
from antiphon.services.embedded.espeak import espeak_engine
from antiphon.services.embedded.tts_engine import Sink, SpeechChunk, SpeechOptions, SpokenWord
from antiphon.services.embedded.tts_silence import KEPT_HEAD_MS, THRESHOLD
from antiphon.services.embedded.tts_stream import speak

OPTIONS = SpeechOptions("en-us")


class ScriptedEngine:
    """Gives the chunks of a script, then says whether it was stopped."""

    name = "scripted"
    sample_rate = 8_000

    def __init__(self, script: list[SpeechChunk], *, error: Exception | None = None):
        self.script = script
        self.error = error
        self.go_on = threading.Event()
        self.stopped = threading.Event()

    def synthesize(self, text: str, options: SpeechOptions, sink: Sink) -> None:
        for number, chunk in enumerate(self.script):
            if number == 1:
                self.go_on.wait(timeout=10)
            if not sink(chunk):
                self.stopped.set()
                return
        if self.error:
            raise self.error

    def default_voice(self, language: str) -> str:
        return "scripted"

    def check_voice(self, voice: str) -> None:
        return None


def loud(ms: int) -> bytes:
    return np.full(8 * ms, 9_000, "<i2").tobytes()


async def test_first_audio_is_audible_and_the_text_is_timed() -> None:
    chunks = [chunk async for chunk in speak(espeak_engine(), "Two blue mugs.", OPTIONS)]
    audio = np.frombuffer(b"".join(chunk.audio for chunk in chunks), "<i2").astype(int)
    assert np.flatnonzero(np.abs(audio) > THRESHOLD)[0] < 0.016 * 22_050
    assert [w.text for chunk in chunks for w in chunk.words] == ["Two", "blue", "mugs."]


async def test_word_times_count_from_the_trimmed_start() -> None:
    silence = SpeechChunk(bytes(8 * 100 * 2), (SpokenWord("one", 100.0),))
    engine = ScriptedEngine([silence, SpeechChunk(loud(60), (SpokenWord("two", 130.0),))])
    engine.go_on.set()
    words = [w async for chunk in speak(engine, "one two", OPTIONS) for w in chunk.words]
    assert [(w.text, w.at_ms) for w in words] == [
        ("one", KEPT_HEAD_MS),
        ("two", KEPT_HEAD_MS + 30),
    ]


async def test_closing_the_stream_stops_the_engine() -> None:
    engine = ScriptedEngine([SpeechChunk(loud(60))] * 3)
    stream = speak(engine, "text", OPTIONS)
    await anext(stream)
    await stream.aclose()
    engine.go_on.set()
    assert await asyncio.to_thread(engine.stopped.wait, 10)


async def test_an_engine_failure_reaches_the_consumer_after_the_audio_made() -> None:
    engine = ScriptedEngine([SpeechChunk(loud(60))], error=ServiceError("it broke"))
    stream = speak(engine, "text", OPTIONS)
    assert (await anext(stream)).audio == loud(60)
    with pytest.raises(ServiceError, match="it broke"):
        await anext(stream)


async def test_many_streams_at_once_all_finish() -> None:
    async def one(number: int) -> int:
        text = f"This is call number {number}."
        return len([chunk async for chunk in speak(espeak_engine(), text, OPTIONS)])

    counts = await asyncio.gather(*(one(number) for number in range(20)))
    assert min(counts) > 10
