"""The shared voice-activity detection agrees with Pipecat's; calls do not disturb each other."""

import itertools

import numpy as np
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams, VADState

from antiphon.cli.caller.sound import read_audio, shipped_audio
from antiphon.inference.vad import SharedSileroVADAnalyzer, shared_silero

PARAMS = VADParams(confidence=0.7, start_secs=0.2, stop_secs=0.2, min_volume=0.0)
WINDOW_BYTES = 1024


def _speech() -> bytes:
    rng = np.random.default_rng(0)
    hush = rng.normal(0, 30, 16_000).astype(np.int16).tobytes()
    return hush + read_audio(shipped_audio("what-is-in-my-cart"), 16_000) + hush


def _noisy(pcm: bytes) -> bytes:
    """With a noise floor above the gate, which is ours alone."""
    samples = np.frombuffer(pcm, np.int16).astype(float)
    noise = np.random.default_rng(2).normal(0, 60, len(samples))
    return np.clip(samples + noise, -32768, 32767).astype(np.int16).tobytes()


def _windows(pcm: bytes) -> list[bytes]:
    return [
        pcm[at : at + WINDOW_BYTES] for at in range(0, len(pcm) - WINDOW_BYTES + 1, WINDOW_BYTES)
    ]


def _analyzer() -> SharedSileroVADAnalyzer:
    analyzer = SharedSileroVADAnalyzer(params=PARAMS)
    analyzer.set_sample_rate(16_000)
    return analyzer


async def _states(analyzer: SharedSileroVADAnalyzer, pcm: bytes) -> list[VADState]:
    return [await analyzer.analyze_audio(window) for window in _windows(pcm)]


async def test_speech_starts_and_stops_once() -> None:
    states = await _states(_analyzer(), _speech())
    settled = [s for s in states if s in (VADState.QUIET, VADState.SPEAKING)]
    changes = [b for a, b in itertools.pairwise(settled) if a != b]
    assert changes == [VADState.SPEAKING, VADState.QUIET]


def test_confidences_are_those_of_pipecats_analyzer() -> None:
    ours = _analyzer()
    stock = SileroVADAnalyzer(params=PARAMS)
    stock.set_sample_rate(16_000)
    pairs = [
        (ours.voice_confidence(w), float(np.asarray(stock.voice_confidence(w)).item()))
        for w in _windows(_noisy(read_audio(shipped_audio("place-the-order"), 16_000)))
    ]
    assert max(abs(a - b) for a, b in pairs) < 1e-4
    assert max(a for a, _ in pairs) > 0.9


async def test_two_calls_on_the_one_model_do_not_disturb_each_other() -> None:
    speech = _windows(_speech())
    alone = _analyzer()
    expected = [alone.voice_confidence(w) for w in speech]
    one, other = _analyzer(), _analyzer()
    assert one._model is other._model is shared_silero()
    mixed = []
    for window in speech:
        mixed.append(one.voice_confidence(window))
        other.voice_confidence(bytes(reversed(window)))
    assert mixed == expected


async def test_silence_is_quiet_and_costs_no_model_run() -> None:
    analyzer = _analyzer()
    assert set(await _states(analyzer, bytes(WINDOW_BYTES * 20))) == {VADState.QUIET}
    assert not analyzer._state.any()
