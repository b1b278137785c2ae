"""The model answers as the real Asterisk did: every capture that holds control traffic is replayed.

Each replay feeds the commands and the audio of the capture at their captured times and compares all
texts, byte for byte, in order, with times within half a tick. Audio that the captures do not list
message by message is put where their notes and byte totals say (`UNLISTED`, and the notes read in
`_media_of_note`). The phase of the player's timer is read off the first event only it can cause.
"""

import json
import re

import pytest

from antiphon.testing.asterisk import ChannelModel
from antiphon.testing.asterisk.wire import EventWriter
from support.asterisk_captures import Capture, Line, names, read

TICK_S = 0.02
TOLERANCE_S = TICK_S / 2

NOT_REPLAYED = {
    "badsub": "the handshake fails: test_simulated_channel dials such an application",
    "http401": "the handshake fails: as badsub",
    "http404": "the handshake fails: as badsub",
    "http503": "the handshake fails: as badsub",
    "nobody": "nobody listens: as badsub",
    "slow15": "the handshake times out: as badsub",
    "stall_slin192": "no control traffic: the application stopped reading its socket, and what is "
    "seen is TCP's back-pressure on Asterisk's writes",
}
# Audio between two lines: (text of the line it follows, total bytes, bytes a message, seconds).
Burst = tuple[str, int, int, float]
UNLISTED: dict[str, list[Burst]] = {
    "flush_slin16_json": [("START_MEDIA_BUFFERING", 320_000, 6_400, 0.0)],
    "flush_slin_plain": [("START_MEDIA_BUFFERING", 160_000, 3_200, 0.0)],
    "hangup_pending_json": [("START_MEDIA_BUFFERING", 160_000, 6_400, 0.0)],
    "pause_slin16_json": [("START_MEDIA_BUFFERING", 128_000, 6_400, 0.0)],
    "tone_slin16_sip": [("MEDIA_START", 64_000, 640, 1.98)],
    "passthrough_json": [
        ('"queue_length":0', 16_000, 640, 0.5),
        ("now 1.5 s in one go", 48_000, 48_000, 0.0),
    ],
    # Sent as fast as XOFF let it: 910 frames in 0.2 s, then 110 from XON to the next XOFF.
    "xoff_slin16_json": [
        ("START_MEDIA_BUFFERING", 582_400, 6_400, 0.204),
        ('"queue_length":798', 70_400, 6_400, 0.022),
    ],
    "xoff_slin_plain": [
        ("START_MEDIA_BUFFERING", 291_200, 3_200, 0.199),
        ("queue_length:798", 35_200, 3_200, 0.022),
    ],
}
MESSAGE_BYTES_OF_OVERFLOW = {"overflow_slin16_json": 6_400, "overflow_slin_plain_65k": 65_500}
# GET_STATUS of 0.373 was answered at 0.377: Asterisk read its socket late, after a tick.
READ_LATE_S = {"inbound_json": 0.005}
# Under load the real timer loses ticks (expirations that were missed are acknowledged as one), so
# the last of 1000 frames came this many ticks late: the clock alone does not tell what was heard.
TICKS_LOST = {"overflow_slin16_json": 1, "overflow_slin_plain_65k": 5}
TIMER_EVENTS = ("XON", "MARK_PROCESSED", "QUEUE_DRAINED", "BUFFERING_COMPLETED")


class Replay:
    """One capture fed to a model."""

    def __init__(self, capture: Capture):
        self.capture = capture
        start = next(line for line in capture.events if "MEDIA_START" in line.text)
        self.json = start.text.startswith("{")
        frame = re.search(r"optimal_frame_size\W+(\d+)", start.text)
        channel_id = re.search(r"channel_id\W+([\d.]+)", start.text)
        assert frame
        assert channel_id
        self.model = ChannelModel(
            frame_bytes=int(frame[1]),
            json=self.json,
            channel_id=channel_id[1],
            passthrough="opt='p'" in capture.lines[0].text,
            started_at=_timer_start(capture, start.at),
        )
        self.now = start.at
        self.answers: list[tuple[float, str]] = []
        self.expected: list[Line] = []

    def run(self) -> None:
        bursts = list(UNLISTED.get(self.capture.name, ()))
        late = READ_LATE_S.get(self.capture.name, 0.0)
        for line in self.capture.lines:
            self._until(line.at if line.kind == "event" else line.at + late)
            match line.kind:
                case "event" if "MEDIA_START" not in line.text:
                    self.expected.append(line)
                    if pressed := re.search(r'DTMF_END.*digit\W+(\S)(?=[" ])', line.text):
                        self._say(self.model.press(pressed[1], self.now))
                case "command":
                    self._catch_up()
                    self._say(self.model.receive_text(line.text, self.now))
                case "bytes":
                    self._bytes(line.text)
                case "note":
                    self._media(*_media_of_note(self.capture.name, line.text))
            if bursts and bursts[0][0] in line.text:
                _, total, message, seconds = bursts.pop(0)
                self._media(total, message, seconds)
        assert not bursts
        self._until(self.now + 2 * TICK_S)

    def _until(self, at: float) -> None:
        """Tick by tick, so that each text has the time of its own tick."""
        while (due := self.model.next_tick_at) is not None and due <= at:
            self.now = max(self.now, due)
            self._say(self.model.tick(due).texts)
        self.now = max(self.now, at)

    def _catch_up(self) -> None:
        """A command that answers an event comes after it, be the event a tick late here."""
        limit = self.now + 2 * TICK_S
        while len(self.answers) < len(self.expected) and self.now < limit:
            due = self.model.next_tick_at
            if due is None:
                return
            self._until(due)

    def _bytes(self, text: str) -> None:
        if sizes := re.search(r"fragmented as (\[.*\])", text):
            fragments = [bytes(size) for size in json.loads(sizes[1])]
            self._say(self.model.receive_fragments(fragments, self.now))
        else:
            self._say(self.model.receive_bytes(bytes(int(text.split()[0])), self.now))

    def _media(self, total: int, message: int, seconds: float = 0.0) -> None:
        count = -(-total // message) if message else 0
        began = self.now
        for index in range(count):
            self._until(began + seconds * (index + 1) / count)
            size = min(message, total - index * message)
            self._say(self.model.receive_bytes(bytes(size), self.now))

    def _say(self, texts: list[str]) -> None:
        self.answers += [(self.now, text) for text in texts]


def _timer_start(capture: Capture, media_start: float) -> float:
    """A moment of the timer at or just before MEDIA_START."""
    for line in capture.events:
        if any(name in line.text for name in TIMER_EVENTS):
            ticks = -(-(line.at - media_start) // TICK_S)
            return line.at - ticks * TICK_S
    return media_start


def _media_of_note(name: str, note: str) -> tuple[int, int]:
    """Total bytes and bytes a message, where a note tells of audio sent."""
    if found := re.match(r"sent (\d+) bytes in chunks of (\d+)", note):
        return int(found[1]), int(found[2])
    if found := re.match(r"sent (\d+) bytes = \d+ frames as (\d+)-byte", note):
        return int(found[1]), int(found[2])
    if note.startswith("same again"):
        return 96_000, 1_000
    if found := re.match(r"sent (\d+) bytes = .*ignoring XOFF", note):
        return int(found[1]), MESSAGE_BYTES_OF_OVERFLOW[name]
    return 0, 0


def replayed() -> list[str]:
    return [name for name in names() if name not in NOT_REPLAYED]


def test_every_capture_is_replayed_or_named_with_the_reason_why_not() -> None:
    assert set(NOT_REPLAYED) < set(names())
    without_start = {name for name in names() if not read(name).events}
    assert without_start == set(NOT_REPLAYED) - {"stall_slin192"}


@pytest.mark.parametrize("name", replayed())
def test_model_answers_as_the_captured_asterisk(name: str) -> None:
    capture = read(name)
    replay = Replay(capture)
    replay.run()
    lost = TICKS_LOST.get(name, 0) * TICK_S
    assert [text for _, text in replay.answers] == [line.text for line in replay.expected]
    for (at, text), line in zip(replay.answers, replay.expected, strict=True):
        assert at == pytest.approx(line.at, abs=TOLERANCE_S + lost), text
    by_the_channel = any("HANGUP" in line.text for line in capture.lines if line.kind == "command")
    if by_the_channel or capture.closed_with == 1009:
        assert replay.model.close_code == capture.closed_with
    else:
        assert replay.model.close_code is None


@pytest.mark.parametrize("name", replayed())
def test_media_start_is_written_as_captured(name: str) -> None:
    text = read(name).events[0].text
    if text.startswith("{"):
        fields = json.loads(text)
    else:
        fields = dict(word.split(":", 1) for word in text.split()[1:])
    written = EventWriter(text.startswith("{"), fields["channel_id"]).media_start(
        connection_id=fields["connection_id"],
        channel=fields["channel"],
        media_format=fields["format"],
        optimal_frame_size=int(fields["optimal_frame_size"]),
        ptime_ms=int(fields["ptime"]),
        channel_variables=fields.get("channel_variables", {}),
    )
    assert written == text


def test_audio_totals_of_the_overflow_are_those_of_a_full_queue() -> None:
    """1500 frames sent, 1000 heard, the rest dropped whole and without a word."""
    replay = Replay(read("overflow_slin16_json"))
    replay.run()
    counters = replay.model.counters
    assert (counters.frames_queued, counters.frames_played) == (1000, 1000)
    assert counters.bytes_dropped == 500 * 640
    assert replay.model.max_queue_length == 1000
