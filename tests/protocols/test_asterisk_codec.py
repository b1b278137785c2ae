"""Asterisk's control messages against traffic captured from a real Asterisk, line by line."""

import ast
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.protocols.asterisk import (
    DIRECTIONS,
    MAX_COMMAND_BYTES,
    MAX_MEDIA_BYTES,
    Answer,
    AsteriskCodec,
    AsteriskEvent,
    ChannelError,
    Command,
    ContinueMedia,
    ControlFormat,
    DtmfEnd,
    FlushMedia,
    GetStatus,
    Hangup,
    Malformed,
    MarkMedia,
    MediaBufferingCompleted,
    MediaMarkProcessed,
    MediaStart,
    MediaXoff,
    MediaXon,
    PauseMedia,
    QueueDrained,
    ReportQueueDrained,
    SetMediaDirection,
    StartMediaBuffering,
    Status,
    StopMediaBuffering,
    UnknownEvent,
)

CAPTURES = Path(__file__).parents[1] / "captures" / "asterisk"
_LINE = re.compile(r"^\[ *\d+\.\d+\] ", re.MULTILINE)
_COMMANDS: dict[str, type[Command]] = {
    kind.NAME: kind
    for kind in (
        Answer,
        Hangup,
        StartMediaBuffering,
        StopMediaBuffering,
        MarkMedia,
        FlushMedia,
        PauseMedia,
        ContinueMedia,
        GetStatus,
        ReportQueueDrained,
        SetMediaDirection,
    )
}
PLAIN_START = (
    "MEDIA_START connection_id:pipecat channel:WebSocket/pipecat/0x7f6f2400b840 "
    "channel_id:1795212378.14 format:slin16 optimal_frame_size:640 ptime:20"
)


class Capture(NamedTuple):
    name: str
    received: list[str]
    sent: list[str]


def _capture(path: Path) -> Capture:
    """The text messages of a capture; a received text may go on in lines without a time."""
    received, sent = [], []
    for entry in _LINE.split(path.read_text())[1:]:
        # A text's own line feed is kept, the file's is not.
        line = entry.removesuffix("\n")
        if line.startswith("AST -> APP TEXT  "):
            received.append(line.removeprefix("AST -> APP TEXT  "))
        elif line.startswith("APP -> AST TEXT  "):
            sent.append(ast.literal_eval(line.removeprefix("APP -> AST TEXT  ")))
    return Capture(path.stem, received, sent)


ALL = [_capture(path) for path in sorted(CAPTURES.glob("*.txt"))]
TALKING = [capture for capture in ALL if capture.received]


def test_the_captures_are_there() -> None:
    assert len(ALL) >= 55
    assert sum(len(capture.received) for capture in ALL) >= 173
    assert sum(len(capture.sent) for capture in ALL) >= 170


@pytest.mark.parametrize("capture", TALKING, ids=lambda capture: capture.name)
def test_every_captured_event_is_understood(capture: Capture) -> None:
    codec = AsteriskCodec()
    for text in capture.received:
        event = codec.receive_text(text)
        assert not isinstance(event, Malformed | UnknownEvent), event
        if codec.control_format is ControlFormat.JSON:
            _agrees_with_json(event, json.loads(text))
        else:
            _agrees_with_plain(event, text)
    assert isinstance(codec.media, MediaStart)


def _agrees_with_json(event: AsteriskEvent, told: dict[str, object]) -> None:
    for key, value in told.items():
        if key == "event":
            assert _wire_name(event) == value
        elif key == "error_text":
            assert isinstance(event, ChannelError)
            assert event.error_text == str(value).strip()
        else:
            assert getattr(event, key) == value


def _agrees_with_plain(event: AsteriskEvent, text: str) -> None:
    """Written out again from its fields, the event is the text."""
    if isinstance(event, MediaStart):
        again = (
            f"MEDIA_START connection_id:{event.connection_id} channel:{event.channel} "
            f"channel_id:{event.channel_id} format:{event.format} "
            f"optimal_frame_size:{event.optimal_frame_size} ptime:{event.ptime}"
        )
    elif isinstance(event, Status):
        again = (
            (
                f"STATUS channel_id:{event.channel_id} queue_length:{event.queue_length} "
                f"xon_level:{event.xon_level} xoff_level:{event.xoff_level} "
                f"queue_full:{event.queue_full} bulk_media:{event.bulk_media} "
                f"media_paused:{event.media_paused}"
            )
            .replace(":True", ":true")
            .replace(":False", ":false")
        )
    elif isinstance(event, DtmfEnd):
        again = f"DTMF_END digit:{event.digit} channel_id:{event.channel_id}"
    elif isinstance(event, ChannelError):
        again = f"ERROR channel_id:{event.channel_id} error_text:{event.error_text}\n"
    elif isinstance(event, MediaMarkProcessed | MediaBufferingCompleted):
        again = f"{_wire_name(event)} {event.correlation_id}"
    else:
        again = _wire_name(event)
    assert again == text


def _wire_name(event: AsteriskEvent) -> str:
    special = {MediaXoff: "MEDIA_XOFF", MediaXon: "MEDIA_XON", ChannelError: "ERROR"}
    words = re.findall("[A-Z][a-z]+", type(event).__name__)
    return special.get(type(event), "_".join(words).upper())


def _command_of(text: str) -> Command | None:
    """The command of a captured text; None for the wrong ones some captures try."""
    if text.startswith("{"):
        try:
            arguments = json.loads(text)
        except ValueError:
            return None
        name = arguments.pop("command", None)
    else:
        name, _, argument = text.partition(" ")
        key = "direction" if name == "SET_MEDIA_DIRECTION" else "correlation_id"
        arguments = {key: argument} if argument else {}
    kind = _COMMANDS.get(name)
    if kind is None or (kind is SetMediaDirection and arguments.get("direction") not in DIRECTIONS):
        return None
    return kind(**arguments)


@pytest.mark.parametrize("capture", TALKING, ids=lambda capture: capture.name)
def test_commands_are_encoded_as_those_asterisk_obeyed(capture: Capture) -> None:
    codec = AsteriskCodec()
    codec.receive_text(capture.received[0])
    for text in capture.sent:
        command = _command_of(text)
        is_json = codec.control_format is ControlFormat.JSON
        if command is None or text.startswith("{") != is_json:
            continue  # what Asterisk answers with an error, or not at all
        if len(text) > MAX_COMMAND_BYTES or (
            isinstance(command, SetMediaDirection) and not is_json
        ):
            with pytest.raises(ValueError, match=command.NAME):
                codec.command(command)
        else:
            assert codec.command(command) == text


def test_the_captures_hold_every_event_and_every_command() -> None:
    codecs = {capture.name: AsteriskCodec() for capture in TALKING}
    events = {
        type(codecs[capture.name].receive_text(text))
        for capture in TALKING
        for text in capture.received
    }
    assert events == {
        MediaStart,
        MediaXoff,
        MediaXon,
        QueueDrained,
        MediaBufferingCompleted,
        MediaMarkProcessed,
        DtmfEnd,
        Status,
        ChannelError,
    }
    commands = {type(_command_of(text)) for capture in ALL for text in capture.sent}
    assert commands >= set(_COMMANDS.values())


def _codec(form: ControlFormat) -> AsteriskCodec:
    codec = AsteriskCodec()
    codec.receive_text(PLAIN_START if form is ControlFormat.PLAIN else '{"event":"MEDIA_XON"}')
    assert codec.control_format is form
    return codec


# Details of the plain text form.


def test_an_absent_correlation_id_is_none() -> None:
    plain, as_json = _codec(ControlFormat.PLAIN), _codec(ControlFormat.JSON)
    assert plain.receive_text("MEDIA_MARK_PROCESSED") == MediaMarkProcessed(None)
    assert plain.receive_text("MEDIA_BUFFERING_COMPLETED") == MediaBufferingCompleted(None)
    # Asterisk's S_OR(id, ""): JSON has the key all the same.
    text = '{"event":"MEDIA_MARK_PROCESSED","channel_id":"1.2","correlation_id":""}'
    assert as_json.receive_text(text) == MediaMarkProcessed(None, channel_id="1.2")


def test_a_correlation_id_may_look_like_a_field() -> None:
    event = _codec(ControlFormat.PLAIN).receive_text("MEDIA_MARK_PROCESSED turn:3 word:7")
    assert event == MediaMarkProcessed("turn:3 word:7")


def test_values_may_hold_colons_and_blanks() -> None:
    event = AsteriskCodec().receive_text(
        "MEDIA_START connection_id:my bot channel:WebSocket/my bot/0x7f:1 channel_id:pbx:1.2 "
        "format:slin optimal_frame_size:320 ptime:20 something_new:1"
    )
    assert isinstance(event, MediaStart)
    assert (event.connection_id, event.channel) == ("my bot", "WebSocket/my bot/0x7f:1")
    assert (event.channel_id, event.ptime) == ("pbx:1.2", 20)


def test_an_error_text_is_all_that_follows() -> None:
    event = _codec(ControlFormat.PLAIN).receive_text(
        "ERROR channel_id:1.2 error_text:cannot: channel_id:9 is wrong\n"
    )
    assert event == ChannelError("cannot: channel_id:9 is wrong", channel_id="1.2")


# Format and safety.


def test_the_first_message_settles_the_format_for_good() -> None:
    codec = AsteriskCodec()
    assert codec.control_format is None
    with pytest.raises(ValueError, match="before MEDIA_START"):
        codec.command(Hangup())
    assert isinstance(codec.receive_text(" \n"), Malformed)
    assert codec.control_format is None
    codec.receive_text(PLAIN_START)
    assert isinstance(codec.receive_text('{"event":"MEDIA_XOFF","channel_id":"1"}'), Malformed)
    assert codec.control_format is ControlFormat.PLAIN
    assert codec.command(Hangup()) == "HANGUP"


def test_an_unknown_event_is_kept() -> None:
    text = '{"event":"MEDIA_WHISPER","channel_id":"1.2","loudness":3}'
    event = _codec(ControlFormat.JSON).receive_text(text)
    assert event == UnknownEvent("MEDIA_WHISPER", text, channel_id="1.2")
    event = _codec(ControlFormat.PLAIN).receive_text("MEDIA_WHISPER loudness:3 channel_id:1.2")
    assert event == UnknownEvent(
        "MEDIA_WHISPER", "MEDIA_WHISPER loudness:3 channel_id:1.2", channel_id="1.2"
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"event":"DTMF_END","digit":"55"}', "digit"),
        ('{"event":"DTMF_END"}', "digit"),
        ('{"event":"STATUS","queue_length":-1}', "queue_length"),
        ('{"event":"STATUS","queue_length":true}', "queue_length"),
        (
            '{"event":"STATUS","queue_length":1,"xon_level":800,"xoff_level":900,"queue_full":1}',
            "queue_full",
        ),
        ('{"event":"MEDIA_START","format":"slin","optimal_frame_size":1e9,"ptime":20}', "optimal"),
        ('{"event":"MEDIA_START","format":"slin","optimal_frame_size":320,"ptime":0}', "ptime"),
        ('{"event":"MEDIA_START","optimal_frame_size":320,"ptime":20}', "format"),
        ('{"event":7}', "event"),
        ("[]", "object"),
        ("{", "JSON"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_reason(text: str, named: str) -> None:
    event = _codec(ControlFormat.JSON).receive_text(text)
    assert isinstance(event, Malformed)
    assert named in event.reason
    assert event.raw == text


def test_a_media_start_that_cannot_be_read_leaves_the_media_alone() -> None:
    codec = AsteriskCodec()
    codec.receive_text(PLAIN_START)
    media = codec.media
    assert isinstance(codec.receive_text("MEDIA_START format:slin ptime:20"), Malformed)
    assert codec.media is media


@given(
    st.sampled_from([PLAIN_START, '{"event":"MEDIA_XON"}', None]),
    st.text() | st.from_regex(r"[A-Z_]+( [a-z_]+:[^ ]*)*", fullmatch=True),
)
@example('{"event":"MEDIA_XON"}', '{"event":"STATUS","channel_id":"\\ud800"}')
@example('{"event":"MEDIA_XON"}', '{"event":' * 100_000)
@example('{"event":"MEDIA_XON"}', '{"event":"DTMF_END","digit":' + "9" * 5000 + "}")
@example(PLAIN_START, "STATUS queue_length:" + "9" * 5000)
@example(PLAIN_START, "STATUS " + " " * 100_000)
@example(PLAIN_START, "ERROR channel_id:1 error_text:\ud800")
def test_nothing_a_peer_sends_raises(first: str | None, text: str) -> None:
    codec = AsteriskCodec()
    if first is not None:
        codec.receive_text(first)
    event = codec.receive_text(text)
    assert isinstance(event, AsteriskEvent)
    repr(event).encode()


_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_fields = st.sampled_from(
    [
        *("channel_id", "correlation_id", "digit", "error_text"),
        *("format", "optimal_frame_size", "ptime", "channel_variables"),
        *("queue_length", "xon_level", "queue_full"),
    ]
)
_names = st.sampled_from(
    ["MEDIA_START", "STATUS", "DTMF_END", "ERROR", "MEDIA_MARK_PROCESSED", "MEDIA_XOFF", "NEW"]
)


@given(_names, st.dictionaries(_fields, _json_values))
def test_no_value_of_any_field_raises(name: str, fields: dict[str, object]) -> None:
    event = _codec(ControlFormat.JSON).receive_text(json.dumps({"event": name, **fields}))
    repr(event).encode()


# Round trips.

_ids = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=24
).filter(lambda text: text == text.strip() and len(text.encode()) <= 60)


@given(st.sampled_from(ControlFormat), st.sampled_from([MarkMedia, StopMediaBuffering]), _ids)
def test_a_correlation_id_comes_back_as_it_was_sent(
    form: ControlFormat, kind: type[MarkMedia | StopMediaBuffering], correlation_id: str
) -> None:
    codec = _codec(form)
    try:
        text = codec.command(kind(correlation_id))
    except ValueError:  # escapes made it too long
        assert form is ControlFormat.JSON
        return
    assert len(text.encode()) <= MAX_COMMAND_BYTES
    if form is ControlFormat.JSON:
        echoed = json.loads(text).get("correlation_id", "")
        name = "MEDIA_MARK_PROCESSED"
        answer = json.dumps({"event": name, "channel_id": "1.2", "correlation_id": echoed})
    else:
        # Asterisk strips the command, splits it at the first blank and echoes the rest.
        echoed = text.strip().partition(" ")[2]
        answer = f"MEDIA_MARK_PROCESSED {echoed}".strip()
    event = codec.receive_text(answer)
    assert isinstance(event, MediaMarkProcessed)
    assert event.correlation_id == (correlation_id or None)


@given(
    queue_length=st.integers(0, 2000),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_both_formats_say_the_same(queue_length: int, flags: tuple[bool, bool, bool]) -> None:
    fields = {
        "channel_id": "1795212663.140",
        "queue_length": queue_length,
        "xon_level": 800,
        "xoff_level": 900,
        **dict(zip(("queue_full", "bulk_media", "media_paused"), flags, strict=True)),
    }
    words = json.dumps(fields, separators=(" ", ":")).replace('"', "").strip("{}")
    plain = _codec(ControlFormat.PLAIN).receive_text(f"STATUS {words}")
    assert plain == _codec(ControlFormat.JSON).receive_text(
        json.dumps({"event": "STATUS", **fields})
    )
    assert isinstance(plain, Status)
    assert plain.queue_length == queue_length


# Limits.


@pytest.mark.parametrize("form", ControlFormat)
def test_a_command_of_128_bytes_passes_and_one_more_does_not(form: ControlFormat) -> None:
    codec = _codec(form)
    head = len(codec.command(MarkMedia("x"))) - 1
    text = codec.command(MarkMedia("é" * ((128 - head) // 2) + "x" * ((128 - head) % 2)))
    assert len(text.encode()) == 128
    with pytest.raises(ValueError, match="is 129 bytes long"):
        codec.command(MarkMedia("é" * ((128 - head) // 2) + "x" * ((128 - head) % 2 + 1)))


@pytest.mark.parametrize("correlation_id", ["a\nHANGUP", " a", "a ", "a\x00"])
def test_plain_text_carries_no_control_characters(correlation_id: str) -> None:
    with pytest.raises(ValueError, match="correlation_id"):
        _codec(ControlFormat.PLAIN).command(MarkMedia(correlation_id))


def test_direction_is_json_only_and_one_of_three() -> None:
    with pytest.raises(ValueError, match="only in JSON"):
        _codec(ControlFormat.PLAIN).command(SetMediaDirection("in"))
    with pytest.raises(ValueError, match="use both, in, out"):
        _codec(ControlFormat.JSON).command(SetMediaDirection("sideways"))  # type: ignore[arg-type]


@given(st.sampled_from([160, 320, 640, 1764, 1920, 7680, 65_000, 70_000]), st.integers(0, 300_000))
def test_media_is_cut_between_frames_and_below_the_limit(frame: int, size: int) -> None:
    codec = AsteriskCodec()
    codec.receive_text(PLAIN_START.replace("640", str(frame)))
    data = bytes(size)
    messages = codec.media_out(data)
    assert b"".join(messages) == data
    assert all(0 < len(message) <= MAX_MEDIA_BYTES for message in messages)
    if frame <= MAX_MEDIA_BYTES:
        assert all(len(message) % frame == 0 for message in messages[:-1])
    else:
        assert all(len(message) % 2 == 0 for message in messages[:-1])


def test_the_media_limit_leaves_room_for_the_websocket_header() -> None:
    """`maxsize_json`: 65,531 bytes passed, 65,532 closed the call; from a client 4 less (mask)."""
    assert MAX_MEDIA_BYTES + 8 == 65_535


def test_a_frame_of_no_fixed_size_is_never_cut() -> None:
    codec = AsteriskCodec()
    codec.receive_text(
        PLAIN_START.replace("640", "0").replace("slin16", "opus"),
    )
    assert codec.media_out(b"x" * 900) == [b"x" * 900]
    with pytest.raises(ValueError, match="Asterisk reads at most"):
        codec.media_out(bytes(MAX_MEDIA_BYTES + 1))
