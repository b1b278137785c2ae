"""flite through ctypes, where the machine has it."""

import numpy as np
import pytest

from antiphon.errors import ConfigurationError
from antiphon.services.embedded import flite
from antiphon.services.embedded.tts_engine import SpeechChunk, SpeechOptions

TEXT = "Your cart has two blue mugs. The total is $34.50!"

needs_flite = pytest.mark.skipif(not flite.flite_available(), reason="libflite1 is not installed")


def collect(text: str, options: SpeechOptions) -> list[SpeechChunk]:
    chunks: list[SpeechChunk] = []

    def sink(chunk: SpeechChunk) -> bool:
        chunks.append(chunk)
        return True

    flite.flite_engine().synthesize(text, options, sink)
    return chunks


@needs_flite
def test_speech_comes_in_chunks_with_a_time_for_every_word() -> None:
    chunks = collect(TEXT, SpeechOptions("slt"))
    audio = np.frombuffer(b"".join(chunk.audio for chunk in chunks), "<i2").astype(int)
    words = [word for chunk in chunks for word in chunk.words]
    assert 2 < len(audio) / 16_000 < 8
    assert np.abs(audio).max() > 5_000
    assert [word.text for word in words] == TEXT.split()
    times = [word.at_ms for word in words]
    assert times == sorted(times)
    assert 100 < times[0] < 400


@needs_flite
def test_the_rate_acts_and_does_not_stick() -> None:
    def length(options: SpeechOptions) -> int:
        return sum(len(chunk.audio) for chunk in collect(TEXT, options))

    plain = length(SpeechOptions("slt"))
    assert length(SpeechOptions("slt", rate_wpm=300)) < 0.75 * plain
    assert length(SpeechOptions("slt")) == plain


@needs_flite
def test_a_refusing_sink_stops_the_delivery() -> None:
    taken: list[SpeechChunk] = []

    def refuse(chunk: SpeechChunk) -> bool:
        taken.append(chunk)
        return False

    flite.flite_engine().synthesize(TEXT, SpeechOptions("rms"), refuse)
    assert len(taken) == 1


@needs_flite
def test_an_unknown_voice_or_language_is_refused_with_the_fix() -> None:
    with pytest.raises(ConfigurationError, match=r"no voice 'bob'.*slt"):
        flite.flite_engine().check_voice("bob")
    with pytest.raises(ConfigurationError, match="espeak-ng"):
        flite.flite_engine().default_voice("de")


def test_a_machine_without_flite_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(flite.ctypes, "CDLL", missing)
    with pytest.raises(ConfigurationError, match="apt install libflite1"):
        flite.FliteEngine()
