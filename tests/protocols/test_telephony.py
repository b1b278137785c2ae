"""Media streams of the telephony providers: who calls, what it means, and nonsense."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import AntiphonError, InvalidMessage
from antiphon.protocols.framing import Disconnect, Invalid, Message, Ping
from antiphon.protocols.telephony import (
    MAX_PARAMETERS,
    Encoded,
    Provider,
    ProviderError,
    StreamOpening,
    StreamStart,
    TelephonyCodec,
)
from support import telephony_messages as say
from support.facts import AT_MS, any_body, any_text, at, json_values
from support.telephony_messages import CONVERSATIONS, Conversation


def _opened(*messages: str, query: dict[str, str] | None = None) -> StreamStart:
    opening = StreamOpening(query)
    *before, last = [opening.receive(text) for text in messages]
    assert before == [None] * len(before)
    assert isinstance(last, StreamStart), last
    return last


@pytest.mark.parametrize("talk", CONVERSATIONS, ids=str)
def test_a_documented_sequence_means_what_its_document_says(talk: Conversation) -> None:
    opening, messages = StreamOpening(), list(talk.messages)
    found = opening.receive(messages.pop(0))
    if found is None:
        found = opening.receive(messages.pop(0))
    if talk.refused:
        assert isinstance(found, Invalid)
        assert found.error.error_code == talk.refused
        return
    assert isinstance(found, StreamStart)
    assert (found.provider, found.agent) == (talk.provider, talk.agent)
    codec = TelephonyCodec()
    said = [message for text in messages for message in codec.receive_text(text)]
    assert any(isinstance(message, Disconnect) for message in said) == talk.stopped
    assert not any(isinstance(message, Invalid) for message in said)
    encoded = [json.loads(message.text) for message in said if isinstance(message, Encoded)]
    assert "".join(one["dtmf"]["digit"] for one in encoded if "dtmf" in one) == talk.keys
    assert bool(talk.heard) == any("media" in one for one in encoded)


def test_there_are_ten_sequences_of_each_provider() -> None:
    assert [len([t for t in CONVERSATIONS if t.provider is one]) for one in Provider] == [10] * 4


@pytest.mark.parametrize(
    ("messages", "ids", "numbers"),
    [
        ((say.twilio_start(),), (say.TWILIO_STREAM, say.TWILIO_CALL), ("", "")),
        (
            (say.telnyx_connected(), say.telnyx_start()),
            (say.TELNYX_STREAM, say.TELNYX_CALL),
            ("+13122010094", "+13122123456"),
        ),
        ((say.plivo_start(),), (say.PLIVO_STREAM, say.PLIVO_CALL), ("", "")),
        (
            (say.exotel_connected(), say.exotel_start()),
            (say.EXOTEL_STREAM, say.EXOTEL_CALL),
            ("+919876543210", "+918047491899"),
        ),
    ],
)
def test_a_start_names_the_stream_the_call_and_the_numbers(
    messages: tuple[str, ...], ids: tuple[str, str], numbers: tuple[str, str]
) -> None:
    start = _opened(*messages)
    assert (start.stream_id, start.call_id) == ids
    assert (start.from_number, start.to_number) == numbers


def test_parameters_choose_and_the_rest_are_variables() -> None:
    start = _opened(
        say.twilio_start(
            {
                "agent": "shop",
                "room": "front",
                "language": "en",
                "from_number": "+14158675309",
                "to_number": "+18005551212",
                "FirstName": "Jane",
                "token": "a-secret-key",
            }
        )
    )
    assert (start.agent, start.room, start.language) == ("shop", "front", "en")
    assert (start.from_number, start.to_number) == ("+14158675309", "+18005551212")
    assert start.variables == {"FirstName": "Jane"}
    assert start.token == "a-secret-key"
    assert "a-secret-key" not in repr(start)


def test_the_query_counts_as_parameters_but_the_start_message_wins() -> None:
    query = {"agent": "other", "room": "front", "token": "from-the-query"}
    start = _opened(say.exotel_connected(), say.exotel_start({"agent": "shop"}), query=query)
    assert (start.agent, start.room, start.token) == ("shop", "front", "from-the-query")


def test_the_numbers_of_the_provider_win_over_parameters() -> None:
    start = _opened(say.telnyx_connected(), say.telnyx_start({"from_number": "+1900"}))
    assert start.from_number == "+13122010094"
    assert start.variables == {}


@pytest.mark.parametrize(
    "headers",
    ["agent=shop;x=a%20b", '{"X-PH-agent": "shop", "X-PH-x": "a b"}', "X-PH-agent=shop,X-PH-x=a b"],
)
def test_extra_headers_are_read_in_every_form(headers: str) -> None:
    start = _opened(say.plivo_start(headers))
    assert (start.agent, start.variables) == ("shop", {"x": "a b"})


@pytest.mark.parametrize(
    ("start", "frame_bytes", "frame_ms"),
    [
        (_opened(say.twilio_start()), 320, 20),
        (_opened(say.exotel_start()), 3200, 200),
        (_opened(say.exotel_start(rate="16000")), 3200, 100),
        (_opened(say.exotel_start(rate="24000")), 3840, 80),
    ],
)
def test_frames_are_short_but_for_exotel_which_takes_no_short_ones(
    start: StreamStart, frame_bytes: int, frame_ms: int
) -> None:
    assert (start.frame_bytes, start.frame_ms) == (frame_bytes, frame_ms)
    assert frame_bytes % 320 == 0


@pytest.mark.parametrize(
    "bad", ["../../Application/1", "..", "a/b", "a?b", "a#b", "a%2Fb", "é", "x" * 257, "a b", "a\n"]
)
@pytest.mark.parametrize(
    ("message", "name"),
    [
        (say.twilio_start(), "callSid"),
        (say.telnyx_start(), "call_control_id"),
        (say.plivo_start(), "callId"),
        (say.exotel_start(), "call_sid"),
    ],
)
def test_an_id_that_could_leave_its_place_in_a_path_is_refused(
    message: str, name: str, bad: str
) -> None:
    data = json.loads(message)
    data["start"][name] = bad
    found = StreamOpening().receive(json.dumps(data))
    assert isinstance(found, Invalid)
    assert found.error.field == name


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        (say.telnyx_start(encoding="G722"), "codec"),
        (say.telnyx_start(rate=16_000), "codec"),
        (say.plivo_start(rate=16_000), "contentType"),
        (say.twilio_start(encoding="audio/opus"), "audio/x-mulaw"),
        (say.exotel_start(rate="44100"), "applet"),
    ],
)
def test_a_format_that_is_not_served_is_refused_with_the_fix(message: str, fix: str) -> None:
    found = StreamOpening().receive(message)
    assert isinstance(found, Invalid)
    assert fix in found.error.message


def test_a_provider_that_leaves_its_format_out_sends_its_usual_one() -> None:
    for message in (say.twilio_start(), say.plivo_start(), say.exotel_start(), say.telnyx_start()):
        data = json.loads(message)
        data["start"].pop("mediaFormat", None)
        data["start"].pop("media_format", None)
        start = _opened(json.dumps(data))
        assert start.sample_rate == 8000
        assert start.encoding == ("pcm16" if start.provider is Provider.EXOTEL else "ulaw")


def test_too_many_and_too_long_parameters_are_cut() -> None:
    given = {f"p{n}": "x" * 5000 for n in range(500)}
    start = _opened(say.twilio_start(given))
    assert len(start.variables) == MAX_PARAMETERS
    assert max(len(value) for value in start.variables.values()) <= 501


def test_an_error_report_says_what_the_provider_said() -> None:
    (message,) = TelephonyCodec().receive_text(say.telnyx_error())
    assert message == ProviderError(
        "100003 malformed_frame Received frame was not formed correctly"
    )


def test_the_stops_reason_is_kept() -> None:
    assert TelephonyCodec().receive_text(say.exotel_stop("stopped")) == [Disconnect("stopped")]


@pytest.mark.parametrize("media", [None, 1, [], {}, {"payload": 5}, "AAAA"])
def test_media_without_a_payload_is_answered_not_decoded(media: Any) -> None:
    (message,) = TelephonyCodec().receive_text(json.dumps({"event": "media", "media": media}))
    assert isinstance(message, Invalid)


names = st.sampled_from(
    [
        "event",
        "start",
        "media",
        "dtmf",
        "stop",
        "payload",
        "streamSid",
        "callSid",
        "stream_id",
        "call_control_id",
        "streamId",
        "callId",
        "stream_sid",
        "call_sid",
        "customParameters",
        "custom_parameters",
        "extra_headers",
        "mediaFormat",
        "media_format",
        "encoding",
        "sampleRate",
    ]
)
words = st.sampled_from(["start", "media", "dtmf", "stop", "error", "connected", "a", "8000"])
nonsense = st.recursive(
    json_values | words,
    lambda inner: st.dictionaries(names | any_text, inner, max_size=8),
    max_leaves=30,
)


@given(values=st.lists(nonsense, max_size=4))
def test_no_json_makes_the_reader_fail(values: list[Any]) -> None:
    opening, codec = StreamOpening(), TelephonyCodec()
    for value in values:
        text = json.dumps(value)
        found = opening.receive(text)
        assert found is None or isinstance(found, StreamStart | Invalid)
        assert all(isinstance(message, Message) for message in codec.receive_text(text))


def _changed(value: Any, path: list[int], to: Any) -> Any:
    """A copy of `value` with the field at `path` (taken modulo what there is) set to `to`."""
    if not path or not isinstance(value, dict) or not value:
        return to
    name = list(value)[path[0] % len(value)]
    return {**value, name: _changed(value[name], path[1:], to)}


@given(
    talk=st.sampled_from(CONVERSATIONS),
    which=st.integers(0, 20),
    path=st.lists(st.integers(0, 20), min_size=1, max_size=3),
    to=nonsense,
)
def test_no_field_of_a_documented_message_makes_the_reader_fail(
    talk: Conversation, which: int, path: list[int], to: Any
) -> None:
    messages = list(talk.messages)
    which %= len(messages)
    messages[which] = json.dumps(_changed(json.loads(messages[which]), path, to))
    opening, codec = StreamOpening(), TelephonyCodec()
    for text in messages:
        found = opening.receive(text)
        assert found is None or isinstance(found, StreamStart | Invalid)
        assert all(isinstance(message, Message) for message in codec.receive_text(text))


@given(text=any_text, data=st.binary(max_size=20), body=any_body)
def test_no_text_bytes_or_fact_make_the_codec_fail(text: str, data: bytes, body: Any) -> None:
    codec = TelephonyCodec()
    assert isinstance(StreamOpening().receive(text), Invalid) or text.strip().startswith("{")
    assert all(isinstance(message, Message) for message in codec.receive_text(text))
    assert all(isinstance(message, Invalid) for message in codec.receive_bytes(data))
    assert codec.event_out(at(body)) == []
    assert codec.audio_out(data) == data
    error: AntiphonError = InvalidMessage(text)
    assert json.loads(codec.error(error, AT_MS))["event"] == "error"
    assert json.loads(codec.pong(Ping(), AT_MS))["event"] == "pong"


@given(
    parameters=st.dictionaries(any_text | st.sampled_from(["agent", "room", "token"]), any_text),
    query=st.dictionaries(any_text, any_text),
)
def test_any_parameters_open_a_stream(parameters: dict[str, str], query: dict[str, str]) -> None:
    start = _opened(say.twilio_start(parameters), query=query)
    assert all(value.isprintable() for value in start.variables.values())
    assert "token" not in start.variables
