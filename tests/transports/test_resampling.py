"""The streaming resampler: length, tone, aliasing, and no dependence on how a stream is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.transports.resampling import Resampler

RATES = [8000, 16000, 22050, 24000, 44100, 48000]


def _tone(rate: int, hertz: float, secs: float = 0.5) -> np.ndarray:
    at = np.arange(int(rate * secs)) / rate
    return (10_000 * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


def _through(resampler: Resampler, samples: np.ndarray) -> np.ndarray:
    out = resampler.process(samples.tobytes()) + resampler.flush()
    return np.frombuffer(out, np.int16).astype(float)


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("target", [8000, 16000, 24000, 48000])
def test_a_tone_keeps_its_length_level_and_pitch(source: int, target: int) -> None:
    if source == target:
        assert Resampler.between(source, target) is None
        return
    out = _through(Resampler(source, target), _tone(source, 1000))
    assert abs(len(out) - target * 0.5) <= 0.01 * target
    middle = out[target // 20 : -target // 20]
    at = np.arange(len(middle)) / target
    basis = np.c_[np.sin(2 * np.pi * 1000 * at), np.cos(2 * np.pi * 1000 * at)]
    weights, *_ = np.linalg.lstsq(basis, middle, rcond=None)
    noise = middle - basis @ weights
    assert np.hypot(*weights) == pytest.approx(10_000, rel=0.01)
    assert noise.std() < 10_000 * 10 ** (-60 / 20)


@pytest.mark.parametrize(("source", "target"), [(48000, 16000), (24000, 16000), (16000, 8000)])
def test_what_the_target_cannot_hold_does_not_fold_back(source: int, target: int) -> None:
    out = _through(Resampler(source, target), _tone(source, target * 0.7))
    assert out[200:-200].std() < 10_000 * 10 ** (-55 / 20)


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.integers(min_value=1, max_value=700), min_size=1, max_size=20),
    rates=st.sampled_from([(8000, 16000), (24000, 16000), (16000, 24000), (22050, 16000)]),
)
def test_a_stream_sounds_the_same_however_it_is_cut(
    pieces: list[int], rates: tuple[int, int]
) -> None:
    samples = np.random.default_rng(1).integers(-9000, 9000, sum(pieces)).astype(np.int16)
    whole = Resampler(*rates).process(samples.tobytes())
    cut = Resampler(*rates)
    parts, at = b"", 0
    for size in pieces:
        parts += cut.process(samples[at : at + size].tobytes())
        at += size
    assert parts == whole


def test_every_20_ms_in_gives_20_ms_out_at_once() -> None:
    resampler = Resampler(8000, 16000)
    assert {len(resampler.process(bytes(320))) for _ in range(20)} == {640}
    assert resampler.delay_ms <= 3.0


def test_full_scale_is_clipped_not_wrapped() -> None:
    square = np.tile(np.repeat([32767, -32768], 40), 50).astype(np.int16)
    out = _through(Resampler(8000, 16000), square)
    assert out.max() == 32767
    assert out.min() == -32768
