"""Sound files in and out, and where the sound in them is."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from antiphon.cli.caller.sound import (
    loud_span,
    read_audio,
    samples_of,
    shipped_audio,
    shipped_names,
    write_stereo,
)
from antiphon.errors import InvalidRequest, NotFound


def tone(seconds: float, rate: int, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (44_100, 1), (48_000, 2)])
def test_any_wav_becomes_pcm16_mono(tmp_path: Path, subtype: str, rate: int, channels: int) -> None:
    path = tmp_path / "any.wav"
    soundfile.write(path, np.stack([tone(0.5, rate)] * channels, axis=1), rate, subtype=subtype)
    samples = samples_of(read_audio(path, 16_000))
    assert len(samples) == pytest.approx(8_000, abs=2)
    assert np.abs(samples.astype(int)).max() == pytest.approx(16_384, rel=0.02)


def test_a_missing_or_wrong_file_is_named_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file '.*nope\.wav'"):
        read_audio(tmp_path / "nope.wav", 16_000)
    (tmp_path / "text.wav").write_text("hello", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"not a sound file.*use WAV"):
        read_audio(tmp_path / "text.wav", 16_000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    with pytest.raises(InvalidRequest, match="no sound"):
        read_audio(tmp_path / "empty.wav", 16_000)


def test_a_stereo_recording_has_the_caller_left_and_the_agent_right(tmp_path: Path) -> None:
    left = (tone(0.1, 8_000) * 32_767).astype("<i2")
    right = (tone(0.2, 8_000) * 16_000).astype("<i2")
    write_stereo(tmp_path / "both.wav", left.tobytes(), right.tobytes(), 8_000)
    both, rate = soundfile.read(tmp_path / "both.wav", dtype="int16")
    assert rate == 8_000
    assert np.array_equal(both[:800, 0], left)
    assert not both[800:, 0].any()
    assert np.array_equal(both[:, 1], right)


def test_the_loud_span_is_found_to_a_window() -> None:
    pcm = np.concatenate([np.zeros(1_600), tone(0.1, 16_000) * 32_767, np.full(800, 20)])
    first, last = loud_span(pcm.astype("<i2").tobytes(), 16_000) or (0, 0)
    assert first == pytest.approx(1_600, abs=80)
    assert last == pytest.approx(3_200, abs=80)
    assert loud_span(bytes(640), 16_000) is None
    assert loud_span(b"", 16_000) is None


def test_the_shipped_utterances_are_speech_with_a_little_padding() -> None:
    assert {"what-is-in-my-cart", "add-two-blue-mugs", "place-the-order", "yes"} <= set(
        shipped_names()
    )
    for name in shipped_names():
        assert soundfile.info(str(shipped_audio(name))).samplerate == 16_000
        pcm = read_audio(shipped_audio(name), 16_000)
        first, last = loud_span(pcm, 16_000) or (0, 0)
        assert 0.05 < first / 16_000 < 0.25
        assert 0.05 < len(pcm) / 2 / 16_000 - last / 16_000 < 0.4
    with pytest.raises(NotFound, match="place-the-order"):
        shipped_audio("sing-a-song")
