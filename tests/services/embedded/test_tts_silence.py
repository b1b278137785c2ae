"""Trimming the silence at both ends of an utterance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from antiphon.services.embedded.tts_silence import KEPT_HEAD_MS, KEPT_TAIL_MS, SilenceTrimmer

RATE = 16_000


def tone(ms: float, level: int = 8_000) -> bytes:
    t = np.arange(int(RATE * ms / 1000))
    return np.where(t % 2, level, -level).astype("<i2").tobytes()


def silence(ms: float) -> bytes:
    return bytes(int(RATE * ms / 1000) * 2)


def trim(audio: bytes, chunk: int) -> tuple[bytes, float]:
    trimmer = SilenceTrimmer(RATE)
    out = b"".join(trimmer.push(audio[i : i + chunk]) for i in range(0, len(audio), chunk))
    return out + trimmer.finish(), trimmer.trimmed_head_ms


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 2_000).map(lambda n: n * 2))
def test_silence_inside_stays_and_silence_around_goes(head: int, tail: int, chunk: int) -> None:
    speech = tone(50) + silence(120) + tone(30)
    out, trimmed_ms = trim(silence(head) + speech + silence(tail), chunk)
    kept = min(head, KEPT_HEAD_MS)
    assert out == silence(kept) + speech + silence(KEPT_TAIL_MS)
    assert trimmed_ms == head - kept


def test_an_utterance_of_silence_is_nothing() -> None:
    out, _ = trim(silence(200), 320)
    assert out == b""
