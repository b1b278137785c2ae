"""Milliseconds, samples and bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.audio import AudioFormat


@pytest.mark.parametrize(
    ("rate", "ms", "size"),
    [(16_000, 20, 640), (8000, 20, 320), (24_000, 20, 960), (48_000, 100, 9600), (16_000, 0, 0)],
)
def test_the_usual_frames_have_the_usual_sizes(rate: int, ms: int, size: int) -> None:
    audio = AudioFormat(rate)
    assert audio.bytes_in(ms) == size
    assert audio.ms_in(size) == ms
    assert audio.bytes_per_second == rate * 2


@given(rate=st.integers(8000, 192_000), ms=st.floats(0, 1e6))
def test_bytes_are_whole_samples_within_half_a_sample_of_the_time(rate: int, ms: float) -> None:
    audio = AudioFormat(rate)
    size = audio.bytes_in(ms)
    assert size % 2 == 0
    assert abs(audio.ms_in(size) - ms) <= 500.001 / rate


@pytest.mark.parametrize("rate", [-1, 0, 7999, 192_001])
def test_a_rate_out_of_range_is_refused_with_the_range(rate: int) -> None:
    with pytest.raises(ValueError, match=f"{rate} Hz; it must be from 8000 to 192000"):
        AudioFormat(rate)
