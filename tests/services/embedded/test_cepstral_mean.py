"""What is learnt about a line from the decoder's own slow average."""

import pytest

from antiphon.services.embedded.cepstral_mean import REMEMBERED_FRAMES, CepstralMean

GUESS = CepstralMean.parse("40,3,-1")


def decoders_mean(given: CepstralMean, audio: tuple[float, ...], frames: int) -> str:
    """What PocketSphinx (`cmn_live.c`) makes of the given mean and audio of one constant mean."""
    sums = [value * 500 for value in given.values]
    counted = 500
    for _ in range(frames):
        sums = [one + other for one, other in zip(sums, audio, strict=True)]
        counted += 1
        if counted > 800:
            sums = [value * 500 / counted for value in sums]
            counted = 500
    return ",".join(f"{value / counted:.9g}" for value in sums)


@pytest.mark.parametrize("frames", [30, 300, 301, 302, 900, 1_500])
def test_the_first_utterance_replaces_the_guess(frames: int) -> None:
    audio = (61.5, -4.0, 7.25)
    learnt = GUESS.after(decoders_mean(GUESS, audio, frames), frames)
    assert learnt.values == pytest.approx(audio, abs=1e-3)
    assert learnt.frames == min(frames, REMEMBERED_FRAMES)


def test_utterances_weigh_by_their_length() -> None:
    known = CepstralMean((60.0, 0.0, 0.0), frames=100)
    learnt = known.after(decoders_mean(known, (40.0, 8.0, 4.0), 300), 300)
    assert learnt.values == pytest.approx((45.0, 6.0, 3.0), abs=1e-3)
    assert learnt.frames == 400


def test_what_is_long_ago_fades() -> None:
    mean = CepstralMean((60.0, 0.0, 0.0), frames=REMEMBERED_FRAMES)
    for _ in range(20):
        mean = mean.after(decoders_mean(mean, (40.0, 8.0, 4.0), 200), 200)
    assert mean.values == pytest.approx((40.0, 8.0, 4.0), abs=0.1)
    assert mean.frames == REMEMBERED_FRAMES


def test_no_audio_teaches_nothing() -> None:
    assert GUESS.after("50,3,-1", 0) is GUESS


def test_a_mean_is_written_as_it_was_read() -> None:
    assert CepstralMean.parse("41.5,-5.3,-0.12").text() == "41.5,-5.3,-0.12"
