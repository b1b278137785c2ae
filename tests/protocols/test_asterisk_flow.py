"""The flow controller against the model of Asterisk's queue, in virtual time."""

import math
from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from antiphon.protocols.asterisk import (
    MAX_COMMAND_BYTES,
    AsteriskCodec,
    Command,
    ContinueMedia,
    FlushMedia,
    GetStatus,
    MarkMedia,
    MediaBufferingCompleted,
    MediaMarkProcessed,
    MediaXoff,
    MediaXon,
    PauseMedia,
    QueueDrained,
    ReportQueueDrained,
    StartMediaBuffering,
    Status,
    StopMediaBuffering,
)
from antiphon.protocols.asterisk_flow import MARK_PREFIX, FlowController, Outgoing
from antiphon.testing.asterisk import ChannelModel

FRAME_BYTES, FRAME_MS, FRAME = 320, 20, 0.02  # slin
HIGH, LOW, MIN_BATCH, MARK_FRAMES = 800, 100, 50, 10
WORD = 4


def speech(size: int, start: int = 0) -> bytes:
    """Audio in which every word of four bytes is its own position, so that nothing can hide."""
    assert size % WORD == start % WORD == 0
    return np.arange(start // WORD + 1, (start + size) // WORD + 1, dtype=">u4").tobytes()


def position_after(frame: bytes) -> int:
    """Where in the pushed stream the audio of a played frame ends."""
    return int(np.frombuffer(frame, ">u4").max()) * WORD


def without_padding(frames: Iterable[bytes]) -> bytes:
    words = np.frombuffer(b"".join(frames), ">u4")
    return words[words > 0].tobytes()


class Stall(NamedTuple):
    """Somebody stands still for a while: we, the network both ways, or the peer's player."""

    who: Literal["us", "network", "player"]
    start: float
    secs: float

    @property
    def end(self) -> float:
        return self.start + self.secs


class Call:
    """A controller and a model of its peer, with a network between them, in virtual time."""

    def __init__(
        self,
        *,
        frame_bytes: int = FRAME_BYTES,
        as_json: bool = True,
        latency: float = 0.0,
        stalls: Iterable[Stall] = (),
        flow: FlowController | None = None,
    ):
        self.flow = flow or FlowController(frame_bytes=frame_bytes, frame_ms=FRAME_MS)
        self.model = ChannelModel(frame_bytes=frame_bytes, json=as_json, started_at=0.0)
        self.codec = AsteriskCodec()
        self.codec.receive_text(self.model.events.bare("MEDIA_XON"))
        self.latency = latency
        self.stalls = sorted(stalls, key=lambda stall: stall.start)
        self.now = 0.0
        self.up: deque[tuple[float, Outgoing]] = deque()
        self.down: deque[tuple[float, str]] = deque()
        self.played: list[bytes] = []
        self.sent: list[tuple[float, Outgoing]] = []
        self.flush_arrived_at: float | None = None
        self.truth_at_flush = 0
        self.asks = 0

    # Time.

    def _held_until(self, who: str, at: float) -> float:
        for stall in self.stalls:
            if stall.who == who and stall.start <= at < stall.end:
                at = stall.end
        return at

    def _model_now(self, now: float) -> float:
        """The player's own clock, which its stalls stop."""
        stood = sum(
            min(max(now - stall.start, 0.0), stall.secs)
            for stall in self.stalls
            if stall.who == "player"
        )
        return now - stood

    def _next_tick_at(self) -> float:
        at = self.model.next_tick_at
        assert at is not None
        for stall in self.stalls:
            if stall.who == "player" and at > stall.start:
                at += stall.secs
        return at

    def run(self, until: float) -> None:
        """Let time pass; the controller is asked whenever it wants to be."""
        while True:
            wanted = self.flow.next_due(self.now)
            ours = math.inf if wanted is None else self._held_until("us", max(wanted, self.now))
            times = [ours, self._next_tick_at()]
            if self.up:
                times.append(self.up[0][0])
            if self.down:
                times.append(self._held_until("us", self.down[0][0]))
            at = min(times)
            if at > until:
                self.now = max(self.now, until)
                return
            assert at >= self.now - 1e-9
            self.now = max(at, self.now)
            self._deliver()
            if self._held_until("us", self.now) == self.now and ours <= self.now:
                out = self.flow.due(self.now)
                self.asks += 1
                self.send(out)

    def _deliver(self) -> None:
        now, model_now = self.now, self._model_now(self.now)
        while self.up and self.up[0][0] <= now:
            _, message = self.up.popleft()
            if isinstance(message, bytes):
                self._answer(self.model.receive_bytes(message, model_now))
            else:
                if isinstance(message, FlushMedia):
                    self._take_played(model_now)
                    self.truth_at_flush = position_after(self.played[-1]) if self.played else 0
                    self.flush_arrived_at = now
                self._answer(self.model.receive_text(self.codec.command(message), model_now))
        self._take_played(model_now)
        awake = self._held_until("us", now) == now
        while awake and self.down and self.down[0][0] <= now:
            _, text = self.down.popleft()
            self.flow.receive(self.codec.receive_text(text), now)

    def _take_played(self, model_now: float) -> None:
        tick = self.model.tick(model_now)
        self.played += tick.played
        self._answer(tick.texts)

    def _answer(self, texts: list[str]) -> None:
        for text in texts:
            at = self._held_until("network", self.now + self.latency)
            self.down.append((max(at, self.down[-1][0] if self.down else 0.0), text))

    # What we do.

    def send(self, out: list[Outgoing]) -> None:
        for message in out:
            if isinstance(message, Command):
                assert len(self.codec.command(message).encode()) <= MAX_COMMAND_BYTES
            at = self._held_until("network", self.now + self.latency)
            self.up.append((max(at, self.up[-1][0] if self.up else 0.0), message))
            self.sent.append((self.now, message))

    def say(self, size: int, *, end: bool = True) -> None:
        self.flow.push(speech(size, self.flow.pushed_bytes))
        if end:
            self.flow.end_utterance()

    def interrupt(self) -> None:
        self.flush_arrived_at = None
        self.send(self.flow.interrupt(self.now))

    # What must always hold.

    @property
    def truth(self) -> int:
        """Position in the pushed stream that the player has really reached."""
        return position_after(self.played[-1]) if self.played else 0

    def commands(self) -> list[Command]:
        return [message for _, message in self.sent if isinstance(message, Command)]

    def sound(self) -> bytes:
        return without_padding(self.played)

    def check_nothing_lost(self) -> None:
        counters = self.model.counters
        assert counters.messages_dropped == 0
        assert counters.remainder_bytes_dropped == 0
        assert counters.texts_ignored == 0
        assert self.model.close_code is None
        assert self.model.max_queue_length <= HIGH + MIN_BATCH


def seconds(secs: float) -> int:
    """Bytes of slin."""
    return round(secs * 16_000) // WORD * WORD


# Must show 1: five minutes, bit-exact, never over high water and a batch.


@pytest.mark.parametrize("stalled", [False, True], ids=["calm", "stalls"])
def test_a_reply_of_five_minutes_at_slin48_is_played_bit_exact(stalled: bool) -> None:
    speaker: list[Literal["us", "network", "player"]] = ["us", "network", "player"]
    stalls = [Stall(speaker[n % 3], 0.05 + 3.7 * n, 0.5) for n in range(80)] if stalled else []
    call = Call(frame_bytes=1920, latency=0.01, stalls=stalls)
    call.say(300 * 96_000)
    call.run(330.0)
    call.check_nothing_lost()
    assert call.sound() == speech(300 * 96_000)
    assert call.flow.confirmed_bytes == call.flow.pushed_bytes
    # Once it has begun, the player is never without a frame.
    first = next(at for at, message in call.sent if isinstance(message, bytes))
    assert first == 0.0
    played_secs = 300 + call.latency + sum(stall.secs for stall in stalls if stall.who == "player")
    waited = call.model.counters.silent_ticks * FRAME
    assert waited <= 330.0 - played_secs + 2 * FRAME + (0.5 if stalled else 0.0)
    # Asked only when there is something to do: not a busy loop.
    assert call.asks < 4 * 300 / FRAME


def test_a_monologue_of_ten_minutes_in_pieces_loses_nothing() -> None:
    call = Call(latency=0.03, stalls=[Stall("network", 60.0 * n, 0.8) for n in range(1, 10)])
    for _ in range(100):  # sentences, as speech synthesis makes them
        call.say(seconds(6))
    call.run(640.0)
    call.check_nothing_lost()
    assert call.sound() == speech(seconds(600))
    assert call.flow.confirmed_bytes == call.flow.pushed_bytes


def test_a_long_reply_keeps_the_queue_near_high_water() -> None:
    call = Call()
    call.say(seconds(120))
    call.run(5.0)
    levels = []
    while call.now < 90:
        call.run(call.now + 0.5)
        levels.append(call.model.queue_length)
    assert min(levels) >= HIGH - 2 * MIN_BATCH - MARK_FRAMES
    assert max(levels) <= HIGH


# Any utterances, any stalls.

_stalls = st.lists(
    st.builds(
        Stall,
        st.sampled_from(["us", "network", "player"]),
        st.floats(0, 40).map(lambda at: round(at, 3)),
        st.floats(0, 6).map(lambda secs: round(secs, 3)),
    ),
    max_size=4,
)
_apart = _stalls.map(
    lambda stalls: [
        stall
        for n, stall in enumerate(stalls)
        if all(stall.end < other.start or other.end < stall.start for other in stalls[:n])
    ]
)
_utterance = st.tuples(
    st.floats(0.004, 45).map(seconds),
    st.sampled_from([0.0, 0.02, 0.3, 1.0]),  # how much is pushed at a time; 0: all
    st.sampled_from([0.0, 0.02, 0.5, 3.0]),  # pause after it
)


@settings(max_examples=60, deadline=None)
@given(
    utterances=st.lists(_utterance, min_size=1, max_size=5),
    stalls=_apart,
    latency=st.sampled_from([0.0, 0.02, 0.15]),
    as_json=st.booleans(),
)
@example([(seconds(40), 0.0, 0.0)], [Stall("network", 0.0, 6.0)], 0.15, True)
@example([(seconds(40), 0.0, 0.0)], [Stall("player", 0.1, 6.0)], 0.0, False)
@example([(seconds(0.2), 0.0, 0.02)] * 5, [], 0.0, True)
def test_nothing_is_lost_whatever_is_said_and_whoever_stalls(
    utterances: list[tuple[int, float, float]], stalls: list[Stall], latency: float, as_json: bool
) -> None:
    call = Call(stalls=stalls, latency=latency, as_json=as_json)
    for size, piece_secs, pause in utterances:
        piece = seconds(piece_secs) if piece_secs else size
        for at in range(0, size, piece):
            call.say(min(piece, size - at), end=False)
            call.run(call.now + (piece_secs / 3 if piece_secs else 0.0))
        call.flow.end_utterance()
        call.run(call.now + pause)
    total = sum(size for size, _, _ in utterances)
    call.run(call.now + total / 16_000 + sum(stall.secs for stall in stalls) + 60)
    call.check_nothing_lost()
    assert call.sound() == speech(total)
    assert call.model.max_queue_length <= HIGH + MARK_FRAMES
    flow = call.flow
    assert flow.pushed_bytes == flow.confirmed_bytes == flow.played_bytes(call.now) == total
    assert (flow.remote_bytes(call.now), flow.waiting_bytes) == (0, 0)
    ends = [command for command in call.commands() if isinstance(command, StopMediaBuffering)]
    starts = [command for command in call.commands() if isinstance(command, StartMediaBuffering)]
    assert len(ends) == len(starts) == len(utterances)
    ids = [c.correlation_id for c in call.commands() if isinstance(c, MarkMedia)]
    ids += [command.correlation_id for command in ends]
    assert len(set(ids)) == len(ids)
    assert all(one and one.startswith(MARK_PREFIX) for one in ids)


@settings(max_examples=60, deadline=None)
@given(
    first=st.floats(0.1, 60).map(seconds),
    second=st.floats(0.1, 5).map(seconds),
    talk=st.floats(0.0, 40).map(lambda at: round(at, 3)),
    gap=st.sampled_from([0.0, 0.005, 0.1, 1.0]),
    latency=st.sampled_from([0.0, 0.01, 0.08]),
    stalls=_apart,
)
def test_an_interruption_leaves_nothing_stale_and_knows_what_was_heard(
    first: int, second: int, talk: float, gap: float, latency: float, stalls: list[Stall]
) -> None:
    call = Call(latency=latency, stalls=stalls)
    call.say(first)
    call.run(talk)
    call.interrupt()
    call.run(call.now + gap)
    heard_so_far = len(call.played)
    call.say(second)
    call.run(call.now + second / 16_000 + sum(stall.secs for stall in stalls) + 30)
    call.check_nothing_lost()
    # Not one word of the first after the flush, and all of the second.
    assert call.flush_arrived_at is not None
    sound = np.frombuffer(call.sound(), ">u4") * WORD
    split = int(np.searchsorted(sound, first, side="right"))
    assert sound[:split].tobytes() == (np.arange(1, split + 1) * WORD).astype(sound.dtype).tobytes()
    assert split * WORD == call.truth_at_flush
    assert without_padding(call.played)[split * WORD :] == speech(second, first)
    assert heard_so_far <= len(call.played)
    # What was heard, within an interval of marks, the frame that is being played and the network's
    # delay. A stall of ours or the network's delays the flush: what is played meanwhile is extra.
    heard = call.flow.heard_until()
    quiet = not any(stall.start - 1 <= talk <= stall.end + latency for stall in stalls)
    allowed = (MARK_FRAMES + 1) * FRAME + 2 * latency if quiet else MARK_FRAMES * FRAME + 7
    assert abs(heard - call.truth_at_flush) <= seconds(allowed) + FRAME_BYTES
    assert heard <= first
    assert call.flow.generation == 1
    assert call.flow.played_bytes(call.now) == call.flow.pushed_bytes == first + second


@settings(max_examples=40, deadline=None)
@given(size=st.floats(1, 60).map(seconds), stalls=_apart, at=st.lists(st.floats(0, 50), min_size=9))
def test_the_position_is_within_an_interval_of_marks_of_the_truth(
    size: int, stalls: list[Stall], at: list[float]
) -> None:
    """Whoever stalls, but for a network that keeps back the news: then it never runs ahead."""
    call = Call(stalls=stalls)
    call.say(size)
    slack = (MARK_FRAMES + 1) * FRAME_BYTES
    for when in sorted(at):
        call.run(when)
        position = call.flow.played_bytes(call.now)
        assert position <= call.truth + slack
        if not any(s.who != "player" and s.start <= when <= s.end + 0.5 for s in stalls):
            assert position >= call.truth - slack
        assert call.flow.remote_bytes(call.now) <= (HIGH + MARK_FRAMES) * FRAME_BYTES


# Latency.


@pytest.mark.parametrize("idle", [0.0, 0.3, 100.0])
def test_the_first_audio_after_idle_goes_at_once(idle: float) -> None:
    call = Call()
    call.say(seconds(3))
    call.run(5.0 + idle)
    before = len(call.played)
    call.say(FRAME_BYTES, end=False)  # one frame, far less than a batch
    out = call.flow.due(call.now)
    assert out[0] == StartMediaBuffering()
    assert out[1] == speech(FRAME_BYTES, seconds(3))
    call.send(out)
    call.run(call.now + FRAME + 0.001)
    assert len(call.played) == before + 1


def test_audio_that_trickles_in_is_sent_at_once_below_low_water() -> None:
    call = Call()
    for n in range(100):
        call.say(FRAME_BYTES, end=False)
        out = call.flow.due(call.now)
        assert speech(FRAME_BYTES, n * FRAME_BYTES) in out
        call.send(out)
        call.run(call.now + FRAME)
    assert call.model.counters.silent_ticks <= 1


def test_between_the_waters_a_batch_is_waited_for() -> None:
    call = Call()
    call.say((LOW + 40) * FRAME_BYTES, end=False)
    call.run(5 * FRAME)
    call.say((MIN_BATCH - 1) * FRAME_BYTES, end=False)
    assert call.flow.due(call.now) == []
    call.say(FRAME_BYTES, end=False)
    call.run(6 * FRAME)
    assert call.flow.waiting_bytes == 0
    call.say((MIN_BATCH - 1) * FRAME_BYTES, end=False)
    call.run(88 * FRAME)
    assert call.flow.waiting_bytes > 0
    call.run(92 * FRAME)  # 190 frames were sent, 90 played: low water
    assert call.flow.waiting_bytes == 0


def test_the_end_of_an_utterance_does_not_wait_for_a_batch() -> None:
    call = Call()
    call.say((LOW + 40) * FRAME_BYTES, end=False)
    call.run(5 * FRAME)
    call.say(FRAME_BYTES + 8, end=True)
    call.run(5 * FRAME)
    assert call.flow.waiting_bytes == 0
    assert isinstance(call.sent[-1][1], StopMediaBuffering)


def test_near_high_water_there_is_no_room_before_there_is_for_a_batch() -> None:
    call = Call()
    call.say(seconds(60))
    call.run(3.0)
    batches = [at for at, message in call.sent if isinstance(message, bytes) and at > 2.0]
    assert batches
    assert call.model.queue_length <= HIGH
    starts = sorted(set(batches))
    assert all(b - a > (MIN_BATCH - MARK_FRAMES) * FRAME for a, b in pairwise(starts))


def test_a_part_of_a_frame_waits_for_the_rest() -> None:
    flow = FlowController(frame_bytes=320, frame_ms=20)
    flow.push(bytes(319))
    assert flow.due(0.0) == []
    assert flow.next_due(0.0) is None
    flow.push(bytes(2))
    assert flow.due(0.0) == [StartMediaBuffering(), bytes(320)]
    flow.end_utterance()
    flow.end_utterance()
    assert flow.next_due(0.0) == 0.0
    assert flow.due(0.0) == [bytes(1), StopMediaBuffering("fc-1")]


def test_an_utterance_that_was_sent_already_is_stopped_at_once() -> None:
    flow = FlowController(frame_bytes=320, frame_ms=20)
    flow.push(bytes(320))
    flow.due(0.0)
    flow.end_utterance()
    flow.receive(MediaXoff(), 0.01)
    assert StopMediaBuffering("fc-1") in flow.due(0.01)  # a mark takes no place in the queue
    flow.end_utterance()
    assert flow.due(2.0) == []


def test_messages_are_whole_frames_of_at_most_the_longest_message() -> None:
    flow = FlowController(frame_bytes=7680, frame_ms=20)  # slin192: 200 ms are more than a message
    flow.push(bytes(7680 * 101))
    sizes = [len(message) for message in flow.due(0.0) if isinstance(message, bytes)]
    assert set(sizes) <= {n * 7680 for n in range(1, 9)}
    assert max(sizes) <= 65_500
    assert sum(sizes) == 7680 * LOW  # up to low water at once
    assert flow.due(0.0) == []
    flow.push(bytes(7680 * 100))
    out = flow.due(FRAME)
    assert sum(len(message) for message in out if isinstance(message, bytes)) == 7680 * 8
    assert flow.due(FRAME) == []  # a batch a frame
    assert flow.next_due(FRAME) == pytest.approx(2 * FRAME)


def test_a_mark_follows_every_200_ms() -> None:
    flow = FlowController(frame_bytes=320, frame_ms=20)
    flow.push(bytes(320 * 25))
    out = flow.due(0.0)
    marks = [n for n, message in enumerate(out) if isinstance(message, MarkMedia)]
    assert out[: marks[0]] == [StartMediaBuffering(), bytes(3200)]
    assert out[marks[0] + 1] == bytes(3200)
    assert len(marks) == 2
    assert len({message.correlation_id for message in out if isinstance(message, MarkMedia)}) == 2


# XOFF, XON, STATUS.


def _filled() -> FlowController:
    flow = FlowController(frame_bytes=320, frame_ms=20)
    flow.push(bytes(320 * 2000))
    flow.due(0.0)
    return flow


def _status(queue_length: int, *, full: bool = False, paused: bool = False) -> Status:
    return Status(
        queue_length=queue_length,
        xon_level=800,
        xoff_level=900,
        queue_full=full,
        bulk_media=True,
        media_paused=paused,
    )


def test_a_queue_without_a_low_water_still_gets_its_last_frames() -> None:
    flow = FlowController(frame_bytes=320, frame_ms=20, low_water=0)
    flow.push(bytes(320))
    assert flow.due(0.0) == [StartMediaBuffering(), bytes(320)]


def test_xoff_stops_sending_until_xon() -> None:
    flow = _filled()
    flow.receive(MediaXoff(), 0.1)
    assert flow.due(0.1) == [GetStatus()]
    flow.receive(_status(950, full=True), 0.11)
    assert not any(isinstance(message, bytes) for message in flow.due(9.0))
    flow.receive(MediaXon(), 9.1)
    assert any(isinstance(message, bytes) for message in flow.due(9.1))


def test_a_status_below_the_level_is_as_good_as_xon() -> None:
    flow = _filled()
    flow.receive(MediaXoff(), 0.1)
    flow.due(0.1)
    flow.receive(_status(10, full=True), 0.2)
    assert any(isinstance(message, bytes) for message in flow.due(0.2))


def test_while_xoff_lasts_the_level_is_asked_for() -> None:
    flow = _filled()
    flow.receive(MediaXoff(), 0.1)
    flow.due(0.1)
    flow.receive(_status(950, full=True), 0.2)
    wake = flow.next_due(0.2)
    assert wake == pytest.approx(1.1)
    assert flow.due(1.1) == [GetStatus()]
    assert flow.due(1.2) == []


def test_a_flush_after_xoff_asks_for_the_status_and_waits_for_nobody() -> None:
    flow = _filled()
    flow.receive(MediaXoff(), 0.1)
    assert flow.interrupt(0.2) == [FlushMedia(), GetStatus()]
    flow.push(bytes(320))
    assert flow.due(0.2) == [StartMediaBuffering(), bytes(320)]


def test_a_player_that_stands_still_is_asked_and_believed() -> None:
    call = Call(stalls=[Stall("player", 1.0, 30.0)])
    call.say(seconds(60))
    call.run(20.0)
    assert 1 < sum(isinstance(command, GetStatus) for command in call.commands()) < 25
    truth = 50 * FRAME_BYTES
    assert call.truth == pytest.approx(truth, abs=FRAME_BYTES)
    assert call.flow.played_bytes(call.now) == pytest.approx(truth, abs=MARK_FRAMES * FRAME_BYTES)
    assert call.model.max_queue_length <= HIGH + MARK_FRAMES


def test_a_peer_without_marks_is_followed_by_its_status() -> None:
    """Releases of Asterisk before MARK_MEDIA only log it as unknown."""
    call = Call()
    flow = call.flow
    flow.push(speech(seconds(60)))
    queue, at = 0.0, 0.0
    while at < 30.0:
        for message in flow.due(at):
            if isinstance(message, bytes):
                queue += len(message) / FRAME_BYTES
            elif isinstance(message, GetStatus):
                flow.receive(_status(math.ceil(queue)), at)
        queue = max(queue - 1, 0.0)
        assert 0 < queue <= HIGH + MIN_BATCH or at < FRAME
        at += FRAME
    assert flow.played_bytes(at) == pytest.approx(seconds(30), abs=seconds(1.3))


def test_a_pause_stops_the_clock_and_a_mark_starts_it_again() -> None:
    call = Call()
    call.say(seconds(30))
    call.run(2.0)
    call.send([PauseMedia()])
    call.flow.ask_status()
    call.run(12.0)
    assert call.truth == seconds(2)
    assert call.flow.played_bytes(call.now) == pytest.approx(seconds(2), abs=FRAME_BYTES)
    assert sum(isinstance(command, GetStatus) for command in call.commands()) == 1
    call.send([ContinueMedia()])
    call.run(14.0)
    assert call.truth == seconds(4)
    assert call.flow.played_bytes(call.now) == pytest.approx(seconds(4), abs=2 * FRAME_BYTES)
    call.run(50.0)
    call.check_nothing_lost()
    assert call.sound() == speech(seconds(30))


def test_a_status_tells_of_the_end_of_a_pause_too() -> None:
    flow = _filled()
    flow.ask_status()
    flow.due(0.5)
    flow.receive(_status(100, paused=True), 0.5)
    still = flow.played_bytes(0.5)
    assert flow.played_bytes(5.0) == still
    flow.receive(_status(100), 5.0)
    assert flow.played_bytes(5.1) > still


def test_a_drained_queue_that_should_hold_something_is_asked_for() -> None:
    call = Call(latency=0.05)
    call.say(seconds(1))
    call.send([ReportQueueDrained()])
    call.run(0.0)
    call.flow.receive(QueueDrained(), 0.1)
    assert call.flow.due(0.1) == [GetStatus()]
    calm = FlowController(frame_bytes=320, frame_ms=20)
    calm.receive(QueueDrained(), 0.1)
    assert calm.due(0.1) == []


def test_a_late_mark_sets_the_clock_right() -> None:
    flow = _filled()
    assert flow.played_bytes(5.0) == 10 * 320  # never past a mark that was not reached
    flow.receive(MediaMarkProcessed("fc-1"), 5.0)
    assert flow.played_bytes(5.0) == 10 * 320
    assert flow.played_bytes(5.1) == pytest.approx(15 * 320)
    assert flow.remote_bytes(5.1) == pytest.approx(
        (65_500 // 320 - 15) * 320
    )  # one message was sent


def test_a_status_sets_the_clock_right() -> None:
    flow = _filled()
    out = flow.due(0.6)
    assert out[-1] == GetStatus()  # the first mark should have come after 0.2 s
    sent = flow.remote_bytes(0.6) + flow.played_bytes(0.6)
    flow.receive(_status(round(sent / 320) - 3), 0.61)
    assert flow.played_bytes(0.61) == 3 * 320
    assert flow.played_bytes(0.65) == pytest.approx(5 * 320)


@pytest.mark.parametrize("queue_length", [0, 150])
def test_a_status_asked_for_before_an_interruption_is_not_taken_for_the_new_queue(
    queue_length: int,
) -> None:
    flow = _filled()
    flow.ask_status()
    assert flow.due(0.1)[-1] == GetStatus()
    flow.interrupt(0.2)
    flow.push(bytes(320 * 40))
    flow.due(0.2)
    flow.receive(_status(queue_length), 0.25)  # of the old queue
    assert flow.remote_bytes(0.3) == pytest.approx((40 - 5) * 320)


def test_events_of_others_are_ignored() -> None:
    flow = _filled()
    before = flow.played_bytes(0.1)
    for event in (
        MediaMarkProcessed(None),
        MediaMarkProcessed("word-7"),
        MediaMarkProcessed("fc-999"),
        _status(3),  # nobody asked
        _status(5000),
    ):
        flow.receive(event, 0.1)
    assert flow.played_bytes(0.1) == before


# Interruption, step by step.


def test_a_flush_goes_first_and_buffering_starts_anew() -> None:
    flow = _filled()
    assert flow.interrupt(1.0) == [FlushMedia()]
    assert (flow.generation, flow.waiting_bytes, flow.remote_bytes(1.0)) == (1, 0, 0)
    assert flow.due(1.0) == []
    assert flow.next_due(1.0) is None
    flow.push(b"\x01" * 320)
    assert flow.due(5.0) == [StartMediaBuffering(), b"\x01" * 320]
    assert flow.pushed_bytes == 320 * 2001


def test_a_mark_of_an_old_generation_tells_what_was_heard_and_moves_nothing_else() -> None:
    flow = _filled()
    flow.interrupt(0.1)  # the clock says five frames
    assert flow.heard_until() == 5 * 320
    flow.push(bytes(320 * 50))
    flow.due(0.1)
    start = flow.played_bytes(0.1)
    flow.receive(MediaMarkProcessed("fc-1"), 0.1)  # was on its way when the flush was
    assert flow.heard_until() == MARK_FRAMES * 320
    assert flow.played_bytes(0.1) == start == 2000 * 320


def test_what_was_heard_is_never_beyond_the_next_mark() -> None:
    flow = _filled()
    flow.receive(MediaMarkProcessed("fc-1"), 0.2)
    flow.interrupt(30.0)
    assert flow.heard_until() == 2 * MARK_FRAMES * 320


def test_what_was_heard_is_never_beyond_what_was_sent() -> None:
    flow = FlowController(frame_bytes=320, frame_ms=20)
    flow.push(bytes(320 * 3 + 100))
    flow.due(0.0)
    flow.interrupt(9.0)
    assert flow.heard_until() == 320 * 3
    flow.push(bytes(100))
    flow.interrupt(10.0)  # nothing of it was sent
    assert flow.heard_until() == 320 * 3
    assert flow.pushed_bytes == 320 * 3 + 200


def test_a_tail_is_no_longer_than_it_is() -> None:
    flow = FlowController(frame_bytes=320, frame_ms=20)
    flow.push(bytes(100))
    flow.end_utterance()
    flow.due(0.0)
    assert flow.played_bytes(0.01) == 100
    assert (flow.played_bytes(1.0), flow.remote_bytes(1.0), flow.confirmed_bytes) == (100, 0, 0)
    flow.receive(MediaBufferingCompleted("fc-1"), 1.0)
    assert flow.confirmed_bytes == 100


def test_a_queue_longer_than_what_was_sent_is_not_reckoned_with() -> None:
    flow = _filled()
    flow.receive(MediaMarkProcessed("fc-1"), 0.2)
    flow.ask_status()
    flow.due(0.2)
    flow.receive(_status(700), 0.2)  # somebody else's audio
    assert flow.played_bytes(0.2) == MARK_FRAMES * 320


def test_a_tail_counts_with_its_own_length() -> None:
    call = Call()
    for n in range(20):
        call.flow.push(speech(FRAME_BYTES + 8, n * (FRAME_BYTES + 8)))
        call.flow.end_utterance()
    call.run(0.41)  # ten utterances of two frames
    heard = call.flow.played_bytes(call.now)
    assert heard == pytest.approx(call.truth, abs=FRAME_BYTES + 8)
    call.interrupt()
    assert call.flow.heard_until() == pytest.approx(call.truth, abs=FRAME_BYTES + 8)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"frame_bytes": 0}, "passthrough"),
        ({"frame_ms": 0}, "passthrough"),
        ({"low_water": 0.9}, "low_water"),
        ({"high_water": 1.1}, "high_water"),
        ({"max_send_bytes": 100}, "max_send_bytes"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, float], named: str) -> None:
    arguments: dict[str, float] = {"frame_bytes": 320, "frame_ms": 20, **wrong}
    with pytest.raises(ValueError, match=named):
        FlowController(**arguments)  # type: ignore[arg-type]
