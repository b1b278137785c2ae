"""Raw PCM: audio as it is, key presses as text."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.domain.events import EventBody
from antiphon.errors import InvalidMessage, InvalidRequest
from antiphon.protocols.framing import AudioIn, Disconnect, Dtmf, Invalid, Message, Ping
from antiphon.protocols.pcm import PcmCodec, PcmOptions
from support.facts import AT_MS, any_body, any_text, at, json_values


@given(pieces=st.lists(st.binary(max_size=9), max_size=20))
def test_audio_in_pieces_of_any_size_never_shifts_a_sample(pieces: list[bytes]) -> None:
    codec = PcmCodec(sample_rate=16_000)
    messages = [message for piece in pieces for message in codec.receive_bytes(piece)]
    assert all(isinstance(m, AudioIn) and m.sample_rate == 16_000 for m in messages)
    sent = b"".join(pieces)
    assert b"".join(m.pcm for m in messages if isinstance(m, AudioIn)) == sent[: len(sent) // 2 * 2]


def test_a_key_press_goes_both_ways_in_the_same_form() -> None:
    codec = PcmCodec()
    text = codec.dtmf_out("5", "leg-1")
    assert json.loads(text) == {"type": "dtmf", "digit": "5", "leg_id": "leg-1"}
    assert codec.receive_text(text) == [Dtmf("5", "leg-1")]
    assert codec.receive_text(codec.dtmf_out("#")) == [Dtmf("#", None)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"type": "ping", "timestamp": 3}, [Ping(3)]),
        ({"event": "dtmf", "digit": "*", "leg_id": 5}, [Dtmf("*", None)]),
        ({"type": "hangup", "reason": "busy"}, [Disconnect("busy")]),
        ({"type": "answer", "sdp": "v=0"}, []),
        ({"type": ["dtmf"]}, []),
        ({}, []),
    ],
)
def test_what_is_known_is_understood_and_the_rest_ignored(
    data: dict[str, Any], expected: list[Message]
) -> None:
    assert PcmCodec().receive_text(json.dumps(data)) == expected


@pytest.mark.parametrize("digit", [None, "", "E", "10", -1, 1.0, ["1"]])
def test_a_key_that_does_not_exist_is_refused(digit: object) -> None:
    (message,) = PcmCodec().receive_text(json.dumps({"type": "dtmf", "digit": digit}))
    assert isinstance(message, Invalid)
    assert message.error.field == "digit"


keys = st.sampled_from(["type", "event", "command", "digit", "leg_id", "reason", "timestamp"])


@given(text=any_text | st.dictionaries(keys, json_values, max_size=5).map(json.dumps))
@example("[" * 100_000)
@example('{"type":"dtmf","digit":"1","leg_id":"\\ud800"}')
def test_any_text_gives_messages_and_never_an_exception(text: str) -> None:
    for message in PcmCodec().receive_text(text):
        assert isinstance(message, Message)
        if isinstance(message, Dtmf):
            assert message.leg_id is None or message.leg_id.encode("utf-8")


@given(body=any_body)
def test_facts_are_not_told(body: EventBody) -> None:
    assert PcmCodec().event_out(at(body)) == []


def test_audio_goes_out_as_it_is_and_errors_and_pongs_as_json() -> None:
    codec = PcmCodec()
    assert codec.audio_out(b"\1\2") == b"\1\2"
    error = json.loads(codec.error(InvalidMessage("no", field="digit"), AT_MS))
    assert (error["type"], error["field"], error["timestamp"]) == ("error", "digit", AT_MS)
    assert json.loads(codec.pong(Ping(9), AT_MS)) == {"type": "pong", "timestamp": 9}
    assert json.loads(codec.pong(Ping(), AT_MS)) == {"type": "pong", "timestamp": AT_MS}


def test_without_parameters_it_is_8_khz_in_20_ms() -> None:
    options = PcmOptions.from_query({})
    assert (options.sample_rate, options.frame_ms) == (8000, 20)


@pytest.mark.parametrize("name", ["rate", "sample_rate", "samplerate"])
def test_the_rate_may_have_three_names(name: str) -> None:
    assert PcmOptions.from_query({name: "16000"}).sample_rate == 16000


def test_the_voip_bridges_repeated_parameters_are_all_known() -> None:
    options = PcmOptions.from_query(
        [("samplerate", "16000"), ("rate", "16000"), ("call_id", "c1"), ("agent", "shop")]
    )
    assert options == PcmOptions(sample_rate=16000, room="c1", agent="shop")


@pytest.mark.parametrize(
    ("packet", "rate", "frame_ms"),
    [(2560, 16000, 80), (320, 8000, 20), (2560, 8000, 100), (2560, 24000, 50), (2, 8000, 10)],
)
def test_the_packet_size_sets_the_frame_length(packet: int, rate: int, frame_ms: int) -> None:
    query = {"packet_size": str(packet), "sample_rate": str(rate)}
    assert PcmOptions.from_query(query).frame_ms == frame_ms
    assert PcmOptions.from_query({**query, "frame_ms": "40"}).frame_ms == 40


def test_wrong_parameters_are_refused_together() -> None:
    with pytest.raises(InvalidRequest) as caught:
        PcmOptions.from_query({"rate": "1", "packet_size": "many"})
    assert [p["field"] for p in caught.value.details["problems"]] == ["packet_size", "rate"]
