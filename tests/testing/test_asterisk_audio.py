"""The simulator's own G.711, against the tables of the standard library where it still has them."""

import warnings

import numpy as np
import pytest

from antiphon.testing.asterisk.audio import (
    alaw_decode,
    alaw_encode,
    load_speech,
    media_codec,
    ulaw_decode,
    ulaw_encode,
)

EVERY_SAMPLE = np.arange(-32_768, 32_768, dtype=np.int32).astype(np.int16)
EVERY_BYTE = bytes(range(256))


@pytest.mark.parametrize(
    ("encode", "decode", "law"),
    [(ulaw_encode, ulaw_decode, "ulaw"), (alaw_encode, alaw_decode, "alaw")],
)
def test_g711_agrees_with_the_standard_library(encode, decode, law) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="removed in Python 3.13")
    assert decode(EVERY_BYTE).tobytes() == getattr(audioop, f"{law}2lin")(EVERY_BYTE, 2)
    expected = getattr(audioop, f"lin2{law}")(EVERY_SAMPLE.tobytes(), 2)
    assert encode(EVERY_SAMPLE) == expected


@pytest.mark.parametrize(
    ("encode", "decode"), [(ulaw_encode, ulaw_decode), (alaw_encode, alaw_decode)]
)
def test_every_level_of_g711_is_coded_as_itself(encode, decode) -> None:
    levels = decode(EVERY_BYTE)
    assert np.array_equal(decode(encode(levels)), levels)


def test_silence_bytes_are_silence() -> None:
    for name in ("slin", "ulaw", "alaw"):
        codec = media_codec(name)
        assert np.abs(codec.decode(bytes([codec.silence]) * 160)).max() <= 8


@pytest.mark.parametrize(
    ("name", "frame_bytes"),
    [
        ("slin", 320),
        ("slin16", 640),
        ("slin24", 960),
        ("slin48", 1_920),
        ("slin192", 7_680),
        ("ulaw", 160),
    ],
)
def test_frames_are_as_long_as_in_the_captures(name: str, frame_bytes: int) -> None:
    assert media_codec(name).frame_bytes(20) == frame_bytes


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(ValueError, match="'g726' is unknown"):
        media_codec("g726")


def test_speech_is_resampled_to_the_length_it_has() -> None:
    speech = np.zeros(8_000, dtype=np.int16)
    assert load_speech(speech, 8_000, 48_000).size == pytest.approx(48_000, abs=50)
    assert load_speech(speech.tobytes(), None, 8_000).size == 8_000
