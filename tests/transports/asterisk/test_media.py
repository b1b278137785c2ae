"""Media codecs: G.711 against another implementation, G.722 by what comes back."""

import audioop
import builtins
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import Unavailable
from antiphon.protocols.asterisk_formats import media_format
from antiphon.transports.asterisk.media import media_codec, mono
from transports.asterisk.bots import level, pitch, tone

EVERY_SAMPLE = np.arange(-32_768, 32_768).astype(np.int16).tobytes()
EVERY_CODE = bytes(range(256))


def test_ulaw_is_that_of_the_standard_library() -> None:
    codec = media_codec(media_format("ulaw"))
    assert codec.encode(EVERY_SAMPLE) == audioop.lin2ulaw(EVERY_SAMPLE, 2)
    assert codec.decode(EVERY_CODE) == audioop.ulaw2lin(EVERY_CODE, 2)


def test_alaw_is_that_of_the_standard_library() -> None:
    codec = media_codec(media_format("alaw"))
    assert codec.encode(EVERY_SAMPLE) == audioop.lin2alaw(EVERY_SAMPLE, 2)
    assert codec.decode(EVERY_CODE) == audioop.alaw2lin(EVERY_CODE, 2)


@given(pieces=st.lists(st.binary(max_size=50), max_size=10))
def test_slin_is_joined_to_whole_samples(pieces: list[bytes]) -> None:
    codec = media_codec(media_format("slin16"))
    decoded = [codec.decode(piece) for piece in pieces]
    sent = b"".join(pieces)
    assert b"".join(decoded) == sent[: len(sent) // 2 * 2]
    assert all(len(piece) % 2 == 0 for piece in decoded)
    assert codec.encode(sent) == sent
    assert codec.flush() == b""


def test_g722_both_ways() -> None:
    pytest.importorskip("av")
    codec = media_codec(media_format("g722"))
    said = tone(16_000, 1.01)
    wire = b"".join(codec.encode(said[at : at + 1_001 * 2]) for at in range(0, len(said), 2_002))
    assert len(wire) == 8_000  # whole frames of 20 ms
    wire += codec.flush()
    assert len(wire) == 8_160
    assert codec.flush() == b""
    heard = b"".join(codec.decode(wire[at : at + 160]) for at in range(0, len(wire), 160))
    assert len(heard) == 8_160 * 4
    assert pitch(heard[:32_000], 16_000) == pytest.approx(440, abs=2)
    assert level(heard[3_200:28_800]) == pytest.approx(level(said), rel=0.05)


def test_g722_drops_what_was_interrupted() -> None:
    pytest.importorskip("av")
    codec = media_codec(media_format("g722"))
    assert codec.encode(bytes(400)) == b""
    codec.clear()
    assert codec.flush() == b""


def test_g722_without_its_library_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    find = builtins.__import__

    def no_av(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return find(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_av)
    with pytest.raises(Unavailable, match=r"antiphon\[codecs\].*slin16"):
        media_codec(media_format("g722"))


def test_opus_is_refused_with_a_way_out() -> None:
    with pytest.raises(Unavailable, match=r"c\(slin48\)"):
        media_codec(media_format("opus"))


def test_channels_are_mixed_to_their_mean() -> None:
    stereo = np.array([[100, 300], [-32_768, 32_767]], np.int16).tobytes()
    assert np.frombuffer(mono(stereo, 2), np.int16).tolist() == [200, 0]
    assert mono(stereo, 1) is stereo
