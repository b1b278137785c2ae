"""What the codecs share: whole samples, whole pieces, JSON that strict parsers take."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.protocols.framing import (
    Invalid,
    Rechunker,
    SampleAligner,
    encode,
    epoch_ms,
    is_unsigned,
    iso_timestamp,
    parse_object,
    printable,
    scrub,
    unsigned,
)
from support.facts import any_text, json_values


@given(size=st.integers(1, 50), pieces=st.lists(st.binary(max_size=120), max_size=20))
def test_rechunking_loses_no_byte_and_gives_whole_pieces(size: int, pieces: list[bytes]) -> None:
    rechunker = Rechunker(size)
    chunks = [chunk for piece in pieces for chunk in rechunker.push(piece)]
    assert all(len(chunk) == size for chunk in chunks)
    assert len(rechunker) < size
    tail = rechunker.flush(pad=False)
    assert b"".join(chunks) + tail == b"".join(pieces)
    assert len(rechunker) == 0


def test_the_remainder_is_padded_or_dropped() -> None:
    rechunker = Rechunker(4)
    rechunker.push(b"abcde")
    assert rechunker.flush() == b"e\0\0\0"
    assert rechunker.flush() == b""
    rechunker.push(b"abc")
    assert rechunker.clear() == 3
    assert rechunker.flush() == b""


def test_a_piece_of_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="0"):
        Rechunker(0)


def test_an_aligner_that_is_reset_forgets_the_odd_byte() -> None:
    aligner = SampleAligner()
    assert aligner.align(b"abc") == b"ab"
    aligner.reset()
    assert aligner.align(b"de") == b"de"


@given(
    ms=st.integers(0, 253_402_300_799_000), micros=st.integers(0, 999), hours=st.integers(-12, 12)
)
def test_timestamps_are_exact_in_any_time_zone(ms: int, micros: int, hours: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms, microseconds=micros)
    try:
        at = at.astimezone(timezone(timedelta(hours=hours)))
    except OverflowError:  # the last hours of the year 9999
        return
    assert epoch_ms(at) == ms
    shown = iso_timestamp(at)
    assert shown.endswith("Z")
    assert epoch_ms(datetime.fromisoformat(shown)) == ms


def test_a_time_before_1970_is_no_negative_number() -> None:
    assert epoch_ms(datetime(1969, 1, 1, tzinfo=UTC)) == 0


@given(value=st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_unsigned_is_always_a_64_bit_integer(value: float) -> None:
    assert is_unsigned(unsigned(value))


@given(data=st.dictionaries(any_text, json_values, max_size=5))
@example({"nan": float("nan"), "deep": json.loads("[" * 500 + "]" * 500)})
def test_any_message_is_encoded_as_json_that_strict_parsers_take(data: dict[str, Any]) -> None:
    text = encode(data)
    text.encode("utf-8")
    parsed = parse_object(text)
    assert not isinstance(parsed, Invalid)


proper_text = st.text(st.characters(exclude_categories=["Cs"]))
proper_values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | proper_text
)


@given(data=st.dictionaries(proper_text, proper_values))
def test_ordinary_messages_come_back_as_they_were(data: dict[str, Any]) -> None:
    assert parse_object(encode(data)) == data


@given(text=any_text)
def test_scrubbed_text_can_be_sent(text: str) -> None:
    scrubbed = scrub(text)
    scrubbed.encode("utf-8")
    assert scrub(scrubbed) == scrubbed


def test_scrubbing_keeps_text_and_joins_pairs() -> None:
    assert scrub("naïve 😀") == "naïve 😀"
    assert scrub("\ud83d\ude00") == "😀"
    assert scrub("a\ud83db") == "a\ufffdb"


@given(text=any_text, limit=st.integers(0, 5))
def test_printable_text_fits_a_log_line(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit + 1
    assert "\n" not in shown
    shown.encode("utf-8")


@pytest.mark.parametrize("text", ["", "[]", "5", '"x"', "{", "NaN", '{"a":NaN}', '{"a":-Infinity}'])
def test_what_is_no_json_object_is_invalid(text: str) -> None:
    parsed = parse_object(text)
    assert isinstance(parsed, Invalid)
    assert parsed.error.error_code == "invalid_message"
