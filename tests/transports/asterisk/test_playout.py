"""Positions of frames in the pushed audio; 32 bytes are a millisecond here."""

from pipecat.frames.frames import (
    AggregatedTextFrame,
    LLMFullResponseEndFrame,
    OutputAudioRawFrame,
    TTSTextFrame,
)
from pipecat.utils.text.base_text_aggregator import TextType

from antiphon.transports.asterisk.playout import Move, Playout

BYTES_PER_MS = 32.0
SECOND_NS = 1_000_000_000


def word(text: str, at_s: float, *, context: str | None = "c") -> TTSTextFrame:
    frame = TTSTextFrame(text, TextType.WORD, context_id=context)
    frame.pts = round(at_s * SECOND_NS)
    return frame


def chunk() -> OutputAudioRawFrame:
    return OutputAudioRawFrame(b"\0\0", 16_000, 1)


def anchored(playout: Playout, *, now_s: float = 1.0, position: float = 0.0) -> None:
    playout.anchor("c", round(now_s * SECOND_NS), position, interruptible=True, is_idle=False)


def texts(frames: list[object]) -> list[str]:
    return [str(getattr(frame, "text", type(frame).__name__)) for frame in frames]


def test_words_are_due_where_their_audio_lies() -> None:
    playout = Playout()
    anchored(playout, now_s=5.0, position=3_200)
    for text, at_s in (("one", 5.0), ("two", 5.1), ("three", 5.3)):
        assert playout.hold(word(text, at_s), bytes_per_ms=BYTES_PER_MS)
    assert playout.next_position == 3_200
    assert texts(playout.due(3_199)) == []
    assert texts(playout.due(6_400)) == ["one", "two"]
    assert playout.next_position == 3_200 + 300 * 32


def test_the_second_context_begins_after_the_last_word_of_the_first() -> None:
    """Text-to-speech does not let times of words go back: its base is the later of the two."""
    playout = Playout()
    anchored(playout, now_s=1.0, position=0)
    playout.hold(word("first", 3.0), bytes_per_ms=BYTES_PER_MS)
    playout.anchor("d", round(1.2 * SECOND_NS), 80_000, interruptible=True, is_idle=False)
    playout.hold(word("second", 3.0, context="d"), bytes_per_ms=BYTES_PER_MS)
    playout.hold(word("third", 3.1, context="d"), bytes_per_ms=BYTES_PER_MS)
    assert texts(playout.due(79_999)) == ["first"]
    assert texts(playout.due(80_000)) == ["second"]
    assert texts(playout.due(83_200)) == ["third"]


def test_frames_of_no_speech_are_not_held() -> None:
    playout = Playout()
    assert not playout.hold(word("stray", 1.0), bytes_per_ms=BYTES_PER_MS)
    anchored(playout)
    late = LLMFullResponseEndFrame()
    late.pts = 99 * SECOND_NS
    assert not playout.hold(late, bytes_per_ms=BYTES_PER_MS)


def test_the_end_of_a_reply_follows_its_last_word() -> None:
    playout = Playout()
    anchored(playout, now_s=1.0)
    last, end = word("last", 1.5), LLMFullResponseEndFrame()
    end.pts = last.pts
    playout.hold(last, bytes_per_ms=BYTES_PER_MS)
    assert playout.hold(end, bytes_per_ms=BYTES_PER_MS)
    assert playout.due(500 * 32 - 1) == []
    assert playout.due(500 * 32) == [last, end]


def test_words_said_to_lie_beyond_the_audio_are_due_at_its_end() -> None:
    playout = Playout()
    anchored(playout, now_s=1.0)
    playout.hold(word("early", 1.1), bytes_per_ms=BYTES_PER_MS)
    playout.hold(word("beyond", 9.0), bytes_per_ms=BYTES_PER_MS)
    playout.finish(16_000)
    playout.hold(word("later still", 9.5), bytes_per_ms=BYTES_PER_MS)
    assert texts(playout.due(15_999)) == ["early"]
    assert texts(playout.due(16_000)) == ["beyond", "later still"]


def test_more_audio_of_a_context_opens_it_again() -> None:
    playout = Playout()
    anchored(playout, now_s=1.0)
    playout.finish(16_000)
    anchored(playout, now_s=8.0, position=16_000)
    playout.hold(word("more", 1.9), bytes_per_ms=BYTES_PER_MS)
    assert playout.next_position == 900 * 32


def resumed(pts_s: float) -> Playout:
    """One second of speech, then two of silence, then a word at `pts_s`; 1 s is its base."""
    playout = Playout()
    anchored(playout, now_s=1.0)
    playout.anchor("c", 4 * SECOND_NS, 32_000, interruptible=True, is_idle=True)
    playout.hold(word("first", pts_s), bytes_per_ms=BYTES_PER_MS)
    playout.hold(word("second", pts_s + 0.5), bytes_per_ms=BYTES_PER_MS)
    return playout


def test_words_may_count_the_silence_in_the_middle_of_a_reply() -> None:
    playout = resumed(4.0)
    assert texts(playout.due(32_000)) == ["first"]
    assert texts(playout.due(48_000)) == ["second"]


def test_words_may_leave_out_the_silence_in_the_middle_of_a_reply() -> None:
    playout = resumed(2.0)
    assert texts(playout.due(31_999)) == []
    assert texts(playout.due(32_000)) == ["first"]
    assert texts(playout.due(48_000)) == ["second"]


def test_audio_that_comes_in_time_resumes_nothing() -> None:
    playout = Playout()
    anchored(playout, now_s=1.0)
    playout.anchor("c", 4 * SECOND_NS, 32_000, interruptible=True, is_idle=False)
    playout.hold(word("late", 4.0), bytes_per_ms=BYTES_PER_MS)
    assert playout.next_position == 3_000 * 32


def test_old_contexts_are_forgotten() -> None:
    playout = Playout()
    for number in range(20):
        playout.anchor(str(number), SECOND_NS, 0, interruptible=True, is_idle=False)
    frame = AggregatedTextFrame("old", TextType.SENTENCE, context_id="3")
    frame.pts = 2 * SECOND_NS
    assert not playout.hold(frame, bytes_per_ms=BYTES_PER_MS)


def test_an_interruption_drops_all_but_what_must_be_heard() -> None:
    playout = Playout()
    may, must = chunk(), chunk()
    must.interruptible = False
    playout.expect(may, 100)
    playout.expect(must, 200)
    anchored(playout)
    playout.hold(word("dropped", 1.0), bytes_per_ms=BYTES_PER_MS)
    playout.interrupt()
    assert playout.end_of(may) is None
    assert playout.end_of(must) == 200
    assert playout.next_position is None
    assert not playout.hold(word("dropped too", 1.0), bytes_per_ms=BYTES_PER_MS)


def test_a_flush_moves_what_was_pushed_again() -> None:
    """Kept: 1000 to 2000 and 3000 to 4000; heard until 1500; pushed again at 5000 and 5500."""
    playout = Playout()
    frames = {end: chunk() for end in (900, 1_700, 2_000, 2_600, 3_500, 4_000, 4_500)}
    for end, frame in frames.items():
        frame.interruptible = False
        playout.expect(frame, end)
    playout.keep(1_000, bytes(1_000), 0)
    playout.keep(3_000, bytes(1_000), 0)
    assert playout.take_kept(1_500) == [(1_500, bytes(500)), (3_000, bytes(1_000))]
    playout.flushed([Move(1_500, 2_000, 5_000), Move(3_000, 4_000, 5_500)])
    moved = {end: playout.end_of(frame) for end, frame in frames.items()}
    assert moved[1_700] == 5_200
    assert moved[2_000] == 5_500
    assert moved[2_600] == 5_500  # dropped audio: reached with what is before it
    assert moved[3_500] == 6_000
    assert moved[4_000] == moved[4_500] == 6_500
    assert moved[900] is not None
    assert moved[900] <= 5_000


def test_a_flush_of_everything_has_everything_reached() -> None:
    playout = Playout()
    frame = chunk()
    frame.interruptible = False
    playout.expect(frame, 700)
    playout.flushed([])
    assert playout.end_of(frame) == 0


def test_whether_all_that_waits_must_be_heard() -> None:
    playout = Playout()
    assert not playout.must_be_heard(0, 0)
    assert not playout.must_be_heard(0, 500)
    playout.keep(1_000, bytes(600), 1_000)
    assert playout.must_be_heard(1_200, 1_600)
    assert not playout.must_be_heard(1_200, 1_800)
    assert not playout.must_be_heard(900, 1_600)
    assert not playout.must_be_heard(1_600, 1_600)
    playout.keep(2_000, b"", 1_600)
    assert playout.take_kept(0) == []  # forgotten once heard


def test_kept_audio_is_cut_between_samples() -> None:
    playout = Playout()
    playout.keep(0, bytes(range(10)), 0)
    assert playout.take_kept(3) == [(2, bytes(range(2, 10)))]
