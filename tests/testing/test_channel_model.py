"""What no capture shows, and what must hold for any traffic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.testing.asterisk import ChannelModel

FRAME = 320


def model(**options: object) -> ChannelModel:
    settings = {"frame_bytes": FRAME, "json": False, "channel_id": "1.1", "started_at": 0.0}
    return ChannelModel(**(settings | options))  # type: ignore[arg-type]


def frames(count: int) -> bytes:
    return b"".join(bytes([n % 251]) * FRAME for n in range(count))


def test_frames_are_played_one_a_tick_and_silence_is_left_out() -> None:
    channel = model()
    channel.receive_bytes(frames(3), 0.005)
    assert channel.tick(0.019).played == []
    assert channel.tick(0.020).played == [bytes(FRAME)]
    assert channel.tick(0.050).played == [bytes([1]) * FRAME]
    assert channel.tick(1.0).played == [bytes([2]) * FRAME]
    assert channel.counters.silent_ticks == 47


def test_a_remainder_is_dropped_outside_buffering_and_kept_in_it() -> None:
    channel = model()
    channel.receive_bytes(bytes(FRAME + 100), 0.0)
    assert channel.counters.remainder_bytes_dropped == 100
    channel.receive_text("START_MEDIA_BUFFERING", 0.0)
    channel.receive_bytes(bytes([7]) * 100, 0.0)
    channel.receive_bytes(bytes([7]) * 100, 0.0)
    channel.receive_text("STOP_MEDIA_BUFFERING", 0.0)
    assert channel.queue_length == 2
    assert channel.tick(0.04).played[1] == (bytes([7]) * 200).ljust(FRAME, b"\0")


def test_short_frames_are_padded_with_the_codecs_silence() -> None:
    channel = model(silence=0xFF)
    channel.receive_text("START_MEDIA_BUFFERING", 0.0)
    channel.receive_bytes(b"\x80", 0.0)
    channel.receive_text("STOP_MEDIA_BUFFERING", 0.0)
    assert channel.tick(0.02).played == [b"\x80".ljust(FRAME, b"\xff")]


def test_marks_without_an_id() -> None:
    plain, as_json = model(), model(json=True)
    plain.receive_text("MARK_MEDIA", 0.0)
    as_json.receive_text('{"command":"MARK_MEDIA"}', 0.0)
    assert plain.tick(0.02).texts == ["MEDIA_MARK_PROCESSED"]
    assert as_json.tick(0.02).texts == [
        '{"event":"MEDIA_MARK_PROCESSED","channel_id":"1.1","correlation_id":""}'
    ]


def test_lost_ticks_make_all_that_is_queued_late() -> None:
    channel = model()
    channel.receive_bytes(frames(10), 0.0)
    channel.lose_ticks(5)
    assert len(channel.tick(0.2).played) == 5
    assert len(channel.tick(0.3).played) == 5


def test_nothing_happens_after_the_end() -> None:
    channel = model()
    channel.receive_bytes(frames(10), 0.0)
    assert channel.receive_text("HANGUP", 0.05) == []
    assert channel.close_code == 1000
    assert channel.receive_text("GET_STATUS", 0.06) == []
    assert channel.receive_bytes(frames(1), 0.06) == []
    # Two frames were played before the end.
    assert (len(channel.tick(9.0).played), channel.next_tick_at) == (2, None)


@pytest.mark.parametrize(
    ("text", "refused"), [("[]", False), ('"GET_STATUS"', True), ("NaN", True)]
)
def test_json_that_is_no_object_is_an_unknown_command_or_no_json(text: str, refused: bool) -> None:
    answers = model(json=True).receive_text(text, 0.0)
    assert bool(answers) is refused


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        model(frame_bytes=0)


STEPS = st.one_of(
    st.tuples(st.just("bytes"), st.integers(0, 65_531)),
    st.tuples(st.just("wait"), st.integers(0, 3_000)),
    st.tuples(
        st.sampled_from(
            [
                "START_MEDIA_BUFFERING",
                "STOP_MEDIA_BUFFERING",
                "FLUSH_MEDIA",
                "MARK_MEDIA a",
                "PAUSE_MEDIA",
                "CONTINUE_MEDIA",
                "REPORT_QUEUE_DRAINED",
                "GET_STATUS",
                "rubbish",
            ]
        ),
        st.just(0),
    ),
)


@given(st.lists(STEPS, max_size=60))
def test_every_byte_is_accounted_for(steps: list[tuple[str, int]]) -> None:
    """Sent is dropped, queued or a remainder; queued is played, flushed or still there."""
    channel, now, sent, texts, played = model(), 0.0, 0, [], 0
    for name, amount in steps:
        if name == "bytes":
            sent += amount
            texts += channel.receive_bytes(bytes(amount), now)
        elif name == "wait":
            now += amount / 1000
            tick = channel.tick(now)
            texts += tick.texts
            played += len(tick.played)
        else:
            texts += channel.receive_text(name, now)
        assert channel.queue_length <= 1000 + 65_535 // FRAME
    counters = channel.counters
    assert played == counters.frames_played
    left = counters.frames_queued - counters.frames_played - counters.frames_flushed
    assert channel.queue_length == left
    # Padded frames hold between 1 byte and one short of a frame.
    low = (counters.frames_queued - counters.frames_padded) * FRAME + counters.frames_padded
    dropped = counters.bytes_dropped + counters.remainder_bytes_dropped
    remainder = sent - dropped - low
    assert 0 <= remainder < (counters.frames_padded + 1) * FRAME
    flow = [text for text in texts if text in {"MEDIA_XOFF", "MEDIA_XON"}]
    assert flow == (["MEDIA_XOFF", "MEDIA_XON"] * 30)[: len(flow)]


def test_a_drained_queue_is_reported_once() -> None:
    channel = model()
    channel.receive_text("REPORT_QUEUE_DRAINED", 0.0)
    assert channel.tick(0.1).texts == ["QUEUE_DRAINED"]
    channel.receive_bytes(frames(1), 0.1)
    assert channel.tick(1.0).texts == []
