"""The caller's ear and mouth: play-out, pacing, who speaks when. No clock, no network."""

import numpy as np
import pytest

from antiphon.cli.caller.ear import Ear
from antiphon.cli.caller.messages import AgentText
from antiphon.cli.caller.mouth import Mouth
from antiphon.cli.caller.report import Turn
from antiphon.cli.caller.sound import samples_of
from antiphon.errors import InvalidRequest

RATE = 16_000
FRAME = np.tile(np.array([8_000, -8_000], "<i2"), 160).tobytes()
SILENCE = bytes(640)


def stream(ear: Ear, start: float, frames: int, *, step: float = 0.02, pcm: bytes = FRAME) -> float:
    for number in range(frames):
        ear.hear(start + number * step, pcm, RATE)
    return start + frames * step


def test_audio_in_time_is_never_late_and_its_lead_is_measured() -> None:
    ear = Ear()
    for number in range(10):
        ear.hear(1.0 + number * 0.02 - min(number, 5) * 0.02, FRAME, RATE)
    stats = ear.stats()
    assert (stats.messages, stats.late_messages) == (10, 0)
    assert stats.audio_ms == pytest.approx(200)
    assert stats.max_lead_ms == pytest.approx(100)


def test_a_late_frame_is_counted_and_a_pause_is_not() -> None:
    ear = Ear()
    end = stream(ear, 0.0, 5)
    ear.hear(end + 0.03, FRAME, RATE)
    stream(ear, end + 2.0, 5)
    stats = ear.stats()
    assert stats.late_messages == 1
    assert stats.max_late_ms == pytest.approx(30)


def test_the_answer_begins_with_the_first_sound_after_the_mark() -> None:
    ear = Ear()
    ear.mark(0.0)
    stream(ear, 0.5, 10, pcm=SILENCE)
    assert ear.first_loud is None
    stream(ear, 0.7, 10)
    assert ear.first_loud == pytest.approx(0.7)
    assert ear.loud_until == pytest.approx(0.9)
    assert ear.speaking(0.85)
    assert not ear.speaking(0.95)


def test_speech_that_goes_on_over_the_mark_is_no_answer() -> None:
    ear = Ear()
    stream(ear, 0.0, 50)
    ear.mark(0.9)
    stream(ear, 1.0, 20)
    assert ear.first_loud is None
    stream(ear, 2.0, 5)
    assert ear.first_loud == pytest.approx(2.0)


def test_the_stop_after_a_barge_in_is_the_last_sound_before_a_pause() -> None:
    ear = Ear()
    stream(ear, 0.0, 60)
    sent, heard = ear.stop_after(1.0) or (0, 0)
    assert sent == pytest.approx(1.18)
    assert heard == pytest.approx(1.2)
    stream(ear, 2.5, 5)
    assert ear.stop_after(1.0) == (sent, heard)


def test_an_agent_that_had_stopped_already_was_stopped_at_once() -> None:
    ear = Ear()
    stream(ear, 0.0, 10)
    assert ear.stop_after(0.5) == (0.5, 0.5)
    assert Ear().stop_after(0.5) is None


def test_a_flush_ends_what_would_still_have_been_played() -> None:
    ear = Ear()
    stream(ear, 0.0, 50, step=0.001)
    assert ear.loud_until == pytest.approx(1.0)
    ear.flush(0.25)
    assert ear.loud_until == pytest.approx(0.25)
    assert len(samples_of(ear.recording(0.0, RATE))) == pytest.approx(0.25 * RATE, abs=2)
    ear.hear(0.4, FRAME, RATE)
    assert ear.loud_until == pytest.approx(0.42)


def test_the_recording_has_everything_at_its_time() -> None:
    ear = Ear()
    stream(ear, 10.1, 5)
    stream(ear, 10.5, 5)
    track = np.abs(samples_of(ear.recording(10.0, RATE)).astype(int))
    loud = np.flatnonzero(track > 1_000) / RATE
    assert loud[0] == pytest.approx(0.1, abs=0.001)
    assert not ((loud > 0.201) & (loud < 0.499)).any()
    assert loud[-1] == pytest.approx(0.6, abs=0.001)


def test_the_mouth_sends_silence_between_utterances_and_times_the_sound_in_them() -> None:
    mouth = Mouth(RATE, 20)
    assert mouth.frame(0.0) == (SILENCE, None)
    # 40 ms of silence, 60 ms of sound, 20 ms of silence, and a third of a frame.
    utterance = mouth.say(SILENCE * 2 + FRAME * 3 + SILENCE + SILENCE[:200], "hello")
    sent, finished = [], None
    for number in range(1, 8):
        pcm, finished = mouth.frame(number * 0.02)
        sent.append(pcm)
    assert finished is utterance
    assert {len(pcm) for pcm in sent} == {640}
    assert utterance.started_at == pytest.approx(0.04)
    assert utterance.ended_at == pytest.approx(0.10)
    assert mouth.frame(0.2) == (SILENCE, None)


def test_silence_can_not_be_said() -> None:
    with pytest.raises(InvalidRequest, match="silent"):
        Mouth(RATE, 20).say(SILENCE, "nothing")


@pytest.mark.parametrize(
    "pieces",
    [
        [("Hello ", False), ("there.", False), ("Hello there.", True)],
        [("Hello ", False), ("there.", True)],
        [("Hello ", False), ("there.", False), ("", True)],
        [("Hello there.", True)],
        [("Hello ", False), ("there.", False)],
    ],
)
def test_the_agents_text_is_whole_however_it_is_streamed(pieces: list[tuple[str, bool]]) -> None:
    turn = Turn(1)
    for text, complete in pieces:
        turn.add_agent_text(AgentText(text, complete))
    assert turn.agent_text == "Hello there."
