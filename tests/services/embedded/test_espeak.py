# ruff: noqa: RUF001 -- IPA letters look like others.
"""espeak-ng through ctypes: audio, word times, phonemes, voices, threads, stopping."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from antiphon.errors import ConfigurationError
from antiphon.services.embedded.espeak import EspeakEngine, espeak_engine, phonemes
from antiphon.services.embedded.tts_engine import SpeechChunk, SpeechOptions

SENTENCE = "Your cart has two blue mugs, and one desk lamp. The total is $34.50."


@pytest.fixture
def engine() -> EspeakEngine:
    return espeak_engine()


def collect(engine: EspeakEngine, text: str, options: SpeechOptions) -> list[SpeechChunk]:
    chunks: list[SpeechChunk] = []

    def sink(chunk: SpeechChunk) -> bool:
        chunks.append(chunk)
        return True

    engine.synthesize(text, options, sink)
    return chunks


def pcm(chunks: list[SpeechChunk]) -> np.ndarray:
    return np.frombuffer(b"".join(chunk.audio for chunk in chunks), "<i2").astype(int)


def test_speech_streams_in_short_chunks_of_audible_audio(engine: EspeakEngine) -> None:
    chunks = collect(engine, SENTENCE, SpeechOptions("en-us"))
    audio = pcm(chunks)
    assert engine.sample_rate == 22_050
    assert 4 < len(audio) / engine.sample_rate < 8
    assert np.abs(audio).max() > 5_000
    assert max(len(chunk.audio) for chunk in chunks) <= 0.07 * engine.sample_rate * 2


def test_every_word_is_reported_once_in_order_and_on_time(engine: EspeakEngine) -> None:
    chunks = collect(engine, SENTENCE, SpeechOptions("en-us"))
    words = [word for chunk in chunks for word in chunk.words]
    assert [word.text for word in words] == SENTENCE.split()
    times = [word.at_ms for word in words]
    assert times == sorted(times)
    assert times[0] == 0
    assert times[-1] < len(pcm(chunks)) / engine.sample_rate * 1000


def test_words_that_espeak_joins_or_splits_are_still_reported_once(engine: EspeakEngine) -> None:
    text = "In the middle of a U.S. café, it's 12:30 \U0001f600 — ok?"
    words = [w.text for c in collect(engine, text, SpeechOptions("en-us")) for w in c.words]
    assert words == text.split()


def test_a_long_text_keeps_its_words_across_pieces(engine: EspeakEngine) -> None:
    text = " ".join([SENTENCE] * 12)
    chunks = collect(engine, text, SpeechOptions("en-us"))
    words = [word for chunk in chunks for word in chunk.words]
    assert [word.text for word in words] == text.split()
    assert [w.at_ms for w in words] == sorted(w.at_ms for w in words)


def test_a_sink_that_refuses_stops_the_engine_at_once_and_leaves_it_usable(
    engine: EspeakEngine,
) -> None:
    taken: list[SpeechChunk] = []

    def refuse_third(chunk: SpeechChunk) -> bool:
        taken.append(chunk)
        return len(taken) < 3

    engine.synthesize(SENTENCE, SpeechOptions("en-us"), refuse_third)
    assert len(taken) == 3
    assert len(pcm(collect(engine, "Hello.", SpeechOptions("en-us")))) > 0


def test_a_failing_sink_raises_in_the_caller_and_leaves_the_engine_usable(
    engine: EspeakEngine,
) -> None:
    def broken(chunk: SpeechChunk) -> bool:
        raise LookupError("no more room")

    with pytest.raises(LookupError, match="no more room"):
        engine.synthesize(SENTENCE, SpeechOptions("en-us"), broken)
    assert len(pcm(collect(engine, "Hello.", SpeechOptions("en-us")))) > 0


def test_rate_pitch_and_volume_act_and_do_not_stick(engine: EspeakEngine) -> None:
    plain = pcm(collect(engine, SENTENCE, SpeechOptions("en-us")))
    fast = pcm(collect(engine, SENTENCE, SpeechOptions("en-us", rate_wpm=350)))
    quiet = pcm(collect(engine, SENTENCE, SpeechOptions("en-us", volume=20)))
    high = pcm(collect(engine, SENTENCE, SpeechOptions("en-us", pitch=90)))
    again = pcm(collect(engine, SENTENCE, SpeechOptions("en-us")))
    assert len(fast) < 0.7 * len(plain)
    assert np.abs(quiet).max() < 0.5 * np.abs(plain).max()
    assert not np.array_equal(high[:4000], plain[:4000])
    # espeak-ng's length varies by some hundred samples from run to run, by 1 % at the most.
    assert abs(len(again) - len(plain)) < 0.01 * len(plain)


def test_jobs_from_several_threads_at_once_keep_their_own_settings(engine: EspeakEngine) -> None:
    jobs = [
        SpeechOptions("en-us", rate_wpm=110),
        SpeechOptions("en-gb", rate_wpm=175),
        SpeechOptions("de", rate_wpm=250),
        SpeechOptions("en-us+f3", rate_wpm=400),
    ]
    alone = [len(pcm(collect(engine, SENTENCE, job))) for job in jobs]
    barrier = threading.Barrier(len(jobs))

    def many(job: SpeechOptions) -> list[int]:
        barrier.wait(timeout=10)
        return [len(pcm(collect(engine, SENTENCE, job))) for _ in range(10)]

    with ThreadPoolExecutor(len(jobs)) as pool:
        together = list(pool.map(many, jobs))
    # The engine's lengths vary by a few samples from run to run.
    assert together == [[pytest.approx(length, rel=0.01)] * 10 for length in alone]


def test_phonemes_are_ipa_of_the_whole_text() -> None:
    assert phonemes("mug") == "mˈʌɡ"
    assert phonemes("blue mug. desk lamp") == "blˈuː mˈʌɡ dˈɛsk lˈæmp"
    assert phonemes("mug", separator="_") == "m_ˈʌ_ɡ"
    assert phonemes("") == ""


def test_phonemes_follow_the_voice() -> None:
    assert phonemes("lamp", "en-us") != phonemes("lamp", "de")


def test_hostile_text_does_no_harm(engine: EspeakEngine) -> None:
    for text in ("\0", "a\0b", "\ud800 x", "<speak>", "[[" * 50, "...", " ", "🙂" * 50):
        words = [w.text for c in collect(engine, text, SpeechOptions("en-us")) for w in c.words]
        assert words == text.split()


def test_an_unknown_voice_is_named_with_the_fix(engine: EspeakEngine) -> None:
    with pytest.raises(ConfigurationError, match=r"no voice 'klingon-x'.*en-us"):
        engine.check_voice("klingon-x")
    engine.check_voice("en-us")


def test_a_language_finds_its_voice(engine: EspeakEngine) -> None:
    assert engine.default_voice("en") == "en-us"
    assert engine.default_voice("en-GB") == "en-gb"
    assert engine.default_voice("de-DE") == "de"
    with pytest.raises(ConfigurationError, match="'xx'"):
        engine.default_voice("xx")
    assert {"en-us", "de"} <= {voice.name for voice in engine.voices()}
