"""Telephone audio of a source that is not known is known by its sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from antiphon.domain import events
from antiphon.services.embedded.conditioning import Conditioner

SPEECH = Path(events.__file__).parents[1] / "cli" / "caller" / "audio" / "add-two-blue-mugs.wav"
RATE = 16_000


def _speech(*, by_telephone: bool) -> bytes:
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    if by_telephone:
        samples = soxr.resample(samples, rate, 8_000)
        rate = 8_000
    wide = soxr.resample(samples, rate, RATE)
    return np.clip(wide * 32767, -32768, 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("by_telephone", [True, False])
def test_a_telephone_is_told_by_its_sound(by_telephone: bool) -> None:
    conditioner = Conditioner(RATE)
    said = _speech(by_telephone=by_telephone)
    for start in range(0, len(said), 1024):
        conditioner.process(said[start : start + 1024])
    assert conditioner.narrow_band is by_telephone


@pytest.mark.parametrize(("source_rate", "narrow"), [(8_000, True), (16_000, False)])
def test_a_source_that_is_known_keeps_its_band(source_rate: int, narrow: bool) -> None:
    conditioner = Conditioner(RATE, source_rate)
    conditioner.process(_speech(by_telephone=True))
    assert conditioner.narrow_band is narrow


def test_silence_decides_nothing() -> None:
    conditioner = Conditioner(RATE)
    conditioner.process(bytes(RATE * 2))
    assert not conditioner.narrow_band
