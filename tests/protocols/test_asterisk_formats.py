"""Asterisk's media formats against the sizes a real Asterisk told."""

import json
import re
from pathlib import Path

import pytest

from antiphon.protocols.asterisk_formats import FORMATS, media_format

CAPTURES = Path(__file__).parents[1] / "captures" / "asterisk"


def _told_sizes() -> set[tuple[str, int, int]]:
    told = set()
    for path in CAPTURES.glob("*.txt"):
        for line in path.read_text().splitlines():
            text = line.partition("AST -> APP TEXT  ")[2]
            if text.startswith('{"event":"MEDIA_START"'):
                event = json.loads(text)
            elif text.startswith("MEDIA_START"):
                event = dict(word.split(":", 1) for word in text.split()[1:])
            else:
                continue
            told.add((event["format"], int(event["ptime"]), int(event["optimal_frame_size"])))
    return told


def test_frame_sizes_are_those_a_real_asterisk_told() -> None:
    told = _told_sizes()
    assert {name for name, _, _ in told} >= {
        "slin",
        "slin16",
        "slin24",
        "slin48",
        "slin192",
        "ulaw",
    }
    for name, ptime, size in told:
        assert media_format(name).frame_bytes(ptime) == size


def test_sizes_of_the_frames_that_came_are_those_too() -> None:
    """`AST->APP: 150 messages, …, sizes {640: 149, 232: 1}`: all but the last are whole frames."""
    seen = 0
    for path in CAPTURES.glob("*.txt"):
        text = path.read_text()
        codec = re.search(r"codec=(\w+)", text)
        sizes = re.search(r"AST->APP: .* sizes \{(\d+): \d+", text)
        if codec and sizes:
            assert media_format(codec[1]).frame_bytes() == int(sizes[1])
            seen += 1
    assert seen >= 10


@pytest.mark.parametrize(
    ("name", "rate", "frame"),
    [
        # main/codec_builtin.c: default_ms * minimum_bytes / minimum_ms
        ("slin", 8_000, 320),
        ("slin12", 12_000, 480),
        ("slin16", 16_000, 640),
        ("slin24", 24_000, 960),
        ("slin32", 32_000, 1280),
        ("slin44", 44_100, 1764),
        ("slin48", 48_000, 1920),
        ("slin96", 96_000, 3840),
        ("slin192", 192_000, 7680),
        ("ulaw", 8_000, 160),
        ("alaw", 8_000, 160),
        ("g722", 16_000, 160),
    ],
)
def test_rate_and_frame_size(name: str, rate: int, frame: int) -> None:
    known = media_format(name)
    assert (known.name, known.sample_rate, known.frame_bytes(20)) == (name, rate, frame)
    assert known.bytes_to_ms(frame) == 20
    assert known.frame_bytes(60) == 3 * frame


def test_every_format_says_what_silence_is_where_a_byte_can_say_it() -> None:
    silence = {name: known.silence_byte for name, known in FORMATS.items()}
    assert silence.pop("ulaw") == 0xFF
    assert silence.pop("alaw") == 0xD5
    assert silence.pop("g722") is None
    assert silence.pop("opus") is None
    assert set(silence.values()) == {0}


def test_slin8_is_understood() -> None:
    assert media_format(" SLIN8 ") is media_format("slin")


def test_opus_has_no_frame_size() -> None:
    opus = media_format("opus")
    assert not opus.is_fixed_size
    with pytest.raises(ValueError, match="opus has no fixed frame size"):
        opus.frame_bytes(20)
    with pytest.raises(ValueError, match="opus has no fixed frame size"):
        opus.bytes_to_ms(100)


@pytest.mark.parametrize("name", ["", "slin22", "g729", "\x00" * 5000])
def test_an_unknown_format_names_those_that_are_served(name: str) -> None:
    with pytest.raises(ValueError, match="slin192, ulaw, alaw, g722, opus") as error:
        media_format(name)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("ptime", [0, -20, 0.01])
def test_a_frame_is_a_whole_number_of_samples(ptime: float) -> None:
    with pytest.raises(ValueError, match="multiple of 10 ms"):
        media_format("slin44").frame_bytes(ptime)
