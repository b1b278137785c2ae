"""The pacer, against a model of the peer: a buffer that is played in real time."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.protocols.pacing import Pacer

FRAME = 640  # bytes in 20 ms at 16 kHz


def speech(frames: float) -> bytes:
    """Audio in which every sample differs from its neighbours."""
    samples = round(frames * FRAME / 2)
    return b"".join((n % 65536).to_bytes(2, "little") for n in range(samples))


@dataclass
class PlayingPeer:
    """Plays what it gets at once and in real time; knows how far it is ahead."""

    played_until: float = -math.inf
    received: bytearray = field(default_factory=bytearray)

    def receive(self, pcm: bytes, now: float, secs: float) -> float:
        self.received += pcm
        self.played_until = max(self.played_until, now) + secs
        return self.played_until - now


def test_a_whole_frame_is_due_at_once_and_a_part_waits() -> None:
    pacer = Pacer(16_000, 20)
    pacer.push(b"\1\2" * 319)
    assert (pacer.next_due(), pacer.due(5.0)) == (None, [])
    pacer.push(b"\1\2")
    assert pacer.next_due() == -math.inf
    assert pacer.due(5.0) == [b"\1\2" * 320]
    assert pacer.next_due() is None


def test_frames_leave_on_absolute_deadlines_behind_an_opening_burst_of_the_lead() -> None:
    pacer = Pacer(16_000, 20, lead_ms=100)
    pacer.push(speech(10))
    assert len(pacer.due(50.0)) == 6  # the frame that plays now, and 100 ms ahead
    assert pacer.next_due() == pytest.approx(50.02)
    assert pacer.due(50.019) == []
    assert len(pacer.due(50.021)) == 1
    assert pacer.next_due() == pytest.approx(50.04)  # not 50.041: no drift


def test_late_wake_ups_are_made_good_and_never_add_up() -> None:
    pacer = Pacer(16_000, 20)
    pacer.push(speech(1000))
    now, sent = 100.0, len(pacer.due(100.0))
    while (due := pacer.next_due()) is not None:
        now = due + 0.019  # nearly a frame late, each time
        sent += len(pacer.due(now))
    assert sent == 1000
    assert now == pytest.approx(100.0 + 999 * 0.020 + 0.019)


@given(
    rate=st.sampled_from([8000, 16_000, 22_050, 24_000, 48_000]),
    frame_ms=st.sampled_from([20, 60, 100]),
)
def test_n_frames_take_exactly_n_frame_times(rate: int, frame_ms: int) -> None:
    pacer = Pacer(rate, frame_ms, lead_ms=100)
    pacer.push(bytes(pacer.frame_bytes * 3000))
    start = 1e6
    sent, now = len(pacer.due(start)), start
    while (due := pacer.next_due()) is not None:
        now = due
        sent += len(pacer.due(now))
    assert sent == 3000
    assert now - start == pytest.approx(2999 * frame_ms / 1000 - 0.1, abs=1e-6)


def test_after_a_stall_of_the_caller_at_most_the_lead_is_caught_up() -> None:
    pacer = Pacer(16_000, 20, lead_ms=60)
    pacer.push(speech(200))
    pacer.due(10.0)
    assert len(pacer.due(12.0)) == 4  # 2 s later: 60 ms and the frame that plays now
    assert pacer.lateness == pytest.approx(12.0 - (10.0 + 4 * 0.02 - 0.06))
    assert pacer.next_due() == pytest.approx(12.02)  # anchored anew
    assert len(pacer.due(12.021)) == 1
    assert pacer.lateness == pytest.approx(0.001)


def test_a_stall_shorter_than_the_lead_is_caught_up_without_a_new_anchor() -> None:
    pacer = Pacer(16_000, 20, lead_ms=100)
    pacer.push(speech(200))
    pacer.due(10.0)
    assert len(pacer.due(10.09)) == 4
    assert pacer.next_due() == pytest.approx(10.1)


def test_audio_pushed_after_a_pause_is_not_late() -> None:
    pacer = Pacer(16_000, 20)
    pacer.push(speech(1))
    pacer.due(1.0)
    pacer.push(speech(2))
    assert len(pacer.due(9.0)) == 1
    assert pacer.lateness == 0
    assert pacer.next_due() == pytest.approx(9.02)


def test_a_short_gap_in_production_keeps_the_stream_continuous() -> None:
    pacer = Pacer(16_000, 20, lead_ms=100)
    pacer.push(speech(6))
    assert len(pacer.due(1.0)) == 6
    pacer.push(speech(1))
    assert pacer.next_due() == pytest.approx(1.02)


def test_the_tail_is_filled_up_with_silence() -> None:
    pacer = Pacer(16_000, 20)
    pacer.push(b"\1\2" * 100)
    assert pacer.flush_tail() == 440
    assert pacer.due(0.0) == [b"\1\2" * 100 + bytes(440)]
    assert pacer.flush_tail() == 0
    assert pacer.due(9.0) == []


def test_clearing_drops_what_is_held_and_grants_no_second_burst() -> None:
    pacer = Pacer(16_000, 20, lead_ms=100)
    pacer.push(speech(50))
    assert len(pacer.due(1.0)) == 6
    assert pacer.clear() == 44 * FRAME
    assert (pacer.buffered_ms, pacer.sent_ms, pacer.next_due()) == (0, 120, None)
    pacer.push(speech(50))
    assert pacer.due(1.01) == []
    assert len(pacer.due(1.02)) == 1


def test_what_is_held_and_sent_is_told_in_milliseconds() -> None:
    pacer = Pacer(8000, 20)
    pacer.push(bytes(800))
    assert pacer.buffered_ms == 50
    pacer.due(0.0)
    assert (pacer.buffered_ms, pacer.sent_ms) == (30, 20)


@pytest.mark.parametrize(
    ("rate", "frame_ms", "lead_ms"),
    [(11_025, 20, 0), (16_000, 0, 0), (16_000, -20, 0), (16_000, 20, -1), (4000, 20, 0)],
)
def test_impossible_formats_are_refused(rate: int, frame_ms: int, lead_ms: int) -> None:
    with pytest.raises(ValueError, match="is"):
        Pacer(rate, frame_ms, lead_ms=lead_ms)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 4000)),
        st.tuples(st.just("wait"), st.floats(0, 0.05)),
        st.tuples(st.just("stall"), st.floats(0, 10)),
        st.tuples(st.just("wake"), st.floats(0, 0.03)),
        st.tuples(st.just("clear"), st.just(0)),
        st.tuples(st.just("tail"), st.just(0)),
    ),
    max_size=60,
)


@given(
    steps=steps,
    lead_ms=st.sampled_from([0, 10, 20, 60, 100, 200]),
    origin=st.sampled_from([0.0, 12345.678, 1e6]),
)
def test_whatever_happens_the_peer_is_never_far_ahead_and_gets_every_byte_in_order(
    steps: list[tuple[str, float]], lead_ms: int, origin: float
) -> None:
    pacer, peer, now = Pacer(16_000, 20, lead_ms=lead_ms), PlayingPeer(), origin
    cushion = max(lead_ms, 20) / 1000
    expected, pushed, sent = bytearray(), 0, 0
    for kind, amount in steps:
        if kind == "push":
            pcm = bytes((pushed + n) % 251 for n in range(int(amount)))
            pushed += len(pcm)
            pacer.push(pcm)
            expected += pcm
        elif kind == "clear":
            held = len(expected) - sent
            assert pacer.clear() == held
            del expected[sent:]
        elif kind == "tail":
            expected += bytes(pacer.flush_tail())
        elif kind == "wake":
            due = pacer.next_due()
            assert (due is None) == (len(expected) - sent < FRAME)
            now = max(now, now if due is None else due) + amount
        else:
            now += amount
        frames = pacer.due(now)
        assert len(frames) <= math.floor(cushion / 0.02 + 1e-6) + 1
        for frame in frames:
            assert len(frame) == FRAME
            ahead = peer.receive(frame, now, 0.02)
            assert ahead <= cushion + 0.02 + 1e-6
        sent += len(frames) * FRAME
        assert peer.received == expected[:sent]
        assert pacer.buffered_ms == pytest.approx((len(expected) - sent) / 32)
        assert pacer.lateness >= 0


@given(
    pieces=st.lists(st.integers(0, 3000), min_size=1, max_size=30),
    lead_ms=st.sampled_from([0, 50, 100]),
)
def test_waking_when_told_to_always_sends_something(pieces: list[int], lead_ms: int) -> None:
    pacer, now = Pacer(16_000, 20, lead_ms=lead_ms), 7.0
    for piece in pieces:
        pacer.push(bytes(piece))
        while (due := pacer.next_due()) is not None:
            now = max(now, due)
            assert pacer.due(now)
    assert pacer.buffered_ms < 20
