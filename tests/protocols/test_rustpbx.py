"""RustPBX's codec against a strict reading of the client's serde types."""

import json
import string
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.domain import events as facts
from antiphon.domain.events import EventBody
from antiphon.errors import InvalidMessage, InvalidRequest
from antiphon.protocols.framing import (
    AudioIn,
    Configure,
    Disconnect,
    Invalid,
    Message,
    Ping,
)
from antiphon.protocols.rustpbx import RustpbxCodec, RustpbxOptions
from support.facts import AT_MS, any_body, any_text, at, json_values

# `PipecatResponse` of parvbhullar/media-gateway, src/pipecat/mod.rs: field -> Rust type.
PIPECAT_RESPONSE = {
    "audio": {
        "audio_data": "Vec<u8>",
        "sample_rate": "u32",
        "channels": "u32",
        "frame_id": "String",
    },
    "transcription": {
        "text": "String",
        "is_final": "bool",
        "timestamp": "u64",
        "language": "String",
    },
    "llm_response": {"text": "String", "is_complete": "bool", "timestamp": "u64"},
    "tts_started": {"text": "String", "timestamp": "u64"},
    "tts_completed": {"text": "String", "timestamp": "u64"},
    "error": {"message": "String", "code": "Option<i32>", "timestamp": "u64"},
    "metrics": {"key": "String", "duration": "u64", "timestamp": "u64"},
    "ping": {"timestamp": "u64"},
    "pong": {"timestamp": "u64"},
    "connected": {"server": "String", "version": "String", "timestamp": "u64"},
    "configured": {"call_id": "String", "status": "String", "timestamp": "u64"},
}
RUST_INTEGERS = {"u8": (0, 2**8), "u32": (0, 2**32), "u64": (0, 2**64), "i32": (-(2**31), 2**31)}


def _rust_accepts(value: object, rust_type: str) -> bool:
    if rust_type.startswith("Option<"):
        return value is None or _rust_accepts(value, rust_type[7:-1])
    if rust_type.startswith("Vec<"):
        return isinstance(value, list) and all(_rust_accepts(v, rust_type[4:-1]) for v in value)
    if rust_type in RUST_INTEGERS:
        low, end = RUST_INTEGERS[rust_type]
        return type(value) is int and low <= value < end
    return type(value) is {"String": str, "bool": bool}[rust_type]


def rust_reads(text: str) -> dict[str, Any]:
    """What the client's `serde_json::from_str::<PipecatResponse>` gives, or the failure."""

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs), "serde: duplicate field"
        return dict(pairs)

    def no_constant(name: str) -> None:
        raise AssertionError(f"serde: {name} is not JSON")

    text.encode("utf-8")  # a String is valid UTF-8
    message = json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constant)
    shape = PIPECAT_RESPONSE[message["type"]]
    for name, rust_type in shape.items():
        if name not in message:
            assert rust_type.startswith("Option<"), f"serde: missing field {name}"
            continue
        assert _rust_accepts(message[name], rust_type), f"serde: {name} is no {rust_type}"
    # A lone surrogate escape is an error of serde_json, though not of Python's json.
    json.dumps(message, ensure_ascii=False).encode("utf-8")
    return message


def told(codec: RustpbxCodec, body: EventBody) -> list[dict[str, Any]]:
    return [rust_reads(text) for text in codec.event_out(at(body))]


def only_error(messages: list[Message]) -> InvalidMessage:
    (message,) = messages
    assert isinstance(message, Invalid)
    return message.error


# What the client sends.


def test_generation_b_and_c_configure_with_null_hints() -> None:
    text = (
        '{"command":"configure","room_id":"rustpbx_5f6c","system_prompt":null,'
        '"stt_config":null,"llm_config":null,"tts_config":null}'
    )
    (message,) = RustpbxCodec().receive_text(text)
    assert message == Configure(room="rustpbx_5f6c", raw=json.loads(text))


def test_configure_carries_the_clients_hints() -> None:
    hints = {
        "stt_config": {"sample_rate": 16000, "language": "en", "model": "nova"},
        "llm_config": {"model": "gpt-4o-mini", "max_tokens": 150, "temperature": 0.7},
        "tts_config": {"model": "aura", "sample_rate": 16000, "encoding": "linear16"},
    }
    (message,) = RustpbxCodec().receive_text(
        json.dumps({"command": "configure", "room_id": "r", "system_prompt": "Be brief.", **hints})
    )
    assert isinstance(message, Configure)
    assert message.system_prompt == "Be brief."
    assert (message.stt, message.llm, message.tts) == tuple(hints.values())


def test_the_documents_own_examples_are_understood() -> None:
    codec = RustpbxCodec()
    (configure,) = codec.receive_text(
        '{\n  "command": "configure",\n  "room_id": "rustpbx_123",\n'
        '  "system_prompt": "You are a helpful assistant..."\n}'
    )
    assert isinstance(configure, Configure)
    assert (configure.room, configure.system_prompt) == (
        "rustpbx_123",
        "You are a helpful assistant...",
    )
    assert codec.receive_text('{"command": "ping", "timestamp": 1234567890}') == [Ping(1234567890)]


@pytest.mark.parametrize("tag", ["command", "type", "event"])
def test_the_tag_may_have_any_of_three_names(tag: str) -> None:
    codec = RustpbxCodec()
    assert codec.receive_text(json.dumps({tag: "ping", "timestamp": 1})) == [Ping(1)]
    assert codec.receive_text(json.dumps({tag: " Disconnect ", "reason": "bye"})) == [
        Disconnect("bye")
    ]


@pytest.mark.parametrize(
    "name", ["room_id", "call_id", "session_id", "roomId", "callId", "sessionId"]
)
def test_the_room_may_have_other_names_and_be_a_number(name: str) -> None:
    for value in ("r 1", 41):
        (message,) = RustpbxCodec().receive_text(json.dumps({"command": "configure", name: value}))
        assert isinstance(message, Configure)
        assert message.room == str(value)


@pytest.mark.parametrize(
    "where",
    [
        {"system_prompt": "P"},
        {"systemPrompt": "P"},
        {"system_prompt": None, "config": {"pipecat": {"systemPrompt": "P"}}},
        {"system_prompt": "", "config": {"pipecat": {"system_prompt": "P"}}},
        {"config": {"pipecat": None, "systemPrompt": "P"}},
    ],
)
def test_the_prompt_is_found_wherever_a_client_puts_it(where: dict[str, Any]) -> None:
    (message,) = RustpbxCodec().receive_text(json.dumps({"command": "configure", **where}))
    assert isinstance(message, Configure)
    assert message.system_prompt == "P"


def test_a_blank_prompt_and_room_count_as_not_given() -> None:
    (message,) = RustpbxCodec().receive_text(
        '{"command":"configure","room_id":" ","system_prompt":" \\n"}'
    )
    assert isinstance(message, Configure)
    assert (message.room, message.system_prompt) == (None, None)


def test_every_problem_of_a_configure_is_told_and_none_of_it_applied() -> None:
    codec = RustpbxCodec()
    messages = codec.receive_text(
        json.dumps(
            {"command": "configure", "room_id": [], "system_prompt": 7, "llm_config": "gpt-4o"}
        )
    )
    assert [m.error.field for m in messages if isinstance(m, Invalid)] == [
        "room_id",
        "system_prompt",
        "llm_config",
    ]
    assert not any(isinstance(message, Configure) for message in messages)


@pytest.mark.parametrize(("field", "size"), [("room_id", 256), ("system_prompt", 100_001)])
def test_oversized_fields_are_refused_with_their_limit(field: str, size: int) -> None:
    error = only_error(
        RustpbxCodec().receive_text(json.dumps({"command": "configure", field: "x" * size}))
    )
    assert error.field == field
    assert str(size - 1) in error.message


@pytest.mark.parametrize("stamp", [None, -1, 2**64, 1.0, "1", True, [], {}])
def test_a_ping_without_a_proper_timestamp_is_still_a_ping(stamp: object) -> None:
    codec = RustpbxCodec()
    (ping,) = codec.receive_text(json.dumps({"command": "ping", "timestamp": stamp}))
    assert ping == Ping(None)
    assert isinstance(ping, Ping)
    assert rust_reads(codec.pong(ping, AT_MS))["timestamp"] == AT_MS


def test_a_pong_carries_the_pings_timestamp() -> None:
    assert rust_reads(RustpbxCodec().pong(Ping(2**64 - 1), 5))["timestamp"] == 2**64 - 1


def test_pongs_are_swallowed_and_unknown_commands_named() -> None:
    codec = RustpbxCodec()
    assert codec.receive_text('{"command":"pong","timestamp":1}') == []
    error = only_error(codec.receive_text('{"command":"dance\\u0007"}'))
    assert (error.error_code, error.field) == ("unknown_command", "command")
    assert "dance\ufffd" in error.message


def test_generation_a_sends_audio_as_json_bytes() -> None:
    message = {
        "command": "audio",
        "audio_data": [1, 2, 255, 127],
        "sample_rate": 16000,
        "channels": 1,
        "timestamp": 12345,
        "frame_id": "test_frame",
    }
    assert RustpbxCodec().receive_text(json.dumps(message)) == [AudioIn(b"\x01\x02\xff\x7f", 16000)]
    message["sample_rate"] = 8000
    assert RustpbxCodec().receive_text(json.dumps(message)) == [AudioIn(b"\x01\x02\xff\x7f", 8000)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("audio_data", None),
        ("audio_data", 640),
        ("audio_data", "AAAA"),
        ("audio_data", {"0": 1}),
        ("audio_data", [0, 256]),
        ("audio_data", [0, -1]),
        ("audio_data", [0.0, 1.0]),
        ("audio_data", ["1"]),
        ("audio_data", [[1]]),
        ("audio_data", [10**400]),
        ("channels", 2),
        ("sample_rate", 0),
        ("sample_rate", 10**30),
        ("sample_rate", 16000.5),
        ("sample_rate", "16000"),
        ("sample_rate", True),
    ],
)
def test_malformed_json_audio_names_the_field(field: str, value: object) -> None:
    message = {"command": "audio", "audio_data": [1, 2], "sample_rate": 16000, field: value}
    assert only_error(RustpbxCodec().receive_text(json.dumps(message))).field == field


@given(pieces=st.lists(st.binary(max_size=9), max_size=30))
def test_binary_audio_in_pieces_of_any_size_never_shifts_a_sample(pieces: list[bytes]) -> None:
    codec = RustpbxCodec()
    heard = b""
    for piece in pieces:
        for message in codec.receive_bytes(piece):
            assert isinstance(message, AudioIn)
            assert message.pcm
            assert len(message.pcm) % 2 == 0
            assert message.sample_rate == 16000
            heard += message.pcm
    sent = b"".join(pieces)
    assert heard == sent[: len(sent) // 2 * 2]


@given(pieces=st.lists(st.binary(max_size=9), max_size=10))
def test_json_audio_in_pieces_of_any_size_never_shifts_a_sample(pieces: list[bytes]) -> None:
    codec = RustpbxCodec()
    heard = b""
    for piece in pieces:
        for message in codec.receive_text(
            json.dumps({"command": "audio", "audio_data": list(piece)})
        ):
            assert isinstance(message, AudioIn)
            heard += message.pcm
    sent = b"".join(pieces)
    assert heard == sent[: len(sent) // 2 * 2]


known_keys = st.sampled_from(
    [
        "command", "type", "event", "room_id", "call_id", "sessionId", "system_prompt",
        "systemPrompt",
        "config", "pipecat", "stt_config", "llm_config", "tts_config", "audio_data", "sample_rate",
        "channels", "timestamp", "reason",
    ]
)  # fmt: skip
commands = st.sampled_from(["configure", "ping", "audio", "disconnect", "pong", "x"])


@st.composite
def near_messages(draw: st.DrawFn) -> str:
    """JSON that looks like a command and has anything for values."""
    data = draw(st.dictionaries(known_keys, json_values, max_size=8))
    if draw(st.booleans()):
        data["command"] = draw(commands)
    return json.dumps(data)


@given(text=st.text(st.characters(), max_size=60) | near_messages())
@example("[" * 100_000)
@example('{"command":' * 50_000)
@example('{"command":"ping","timestamp":' + "9" * 5000 + "}")
@example('{"command":"audio","audio_data":[NaN]}')
@example('{"command":"audio","audio_data":[1e999]}')
@example('{"command":"configure","system_prompt":"\\ud800","room_id":"\\udfff"}')
@example("\ud800")
@example("\x00")
@example("")
@example("null")
def test_any_text_gives_messages_and_never_an_exception(text: str) -> None:
    codec = RustpbxCodec()
    for message in codec.receive_text(text):
        assert isinstance(message, Message)
        if isinstance(message, Invalid):
            assert len(message.error.message) < 300
            rust_reads(codec.error(message.error, AT_MS))
        elif isinstance(message, AudioIn):
            assert len(message.pcm) % 2 == 0
        elif isinstance(message, Configure):
            for value in (message.room, message.system_prompt):
                assert value is None or value.encode("utf-8")
    rust_reads(codec.configured("", AT_MS))


# What the server sends.


def test_the_greeting_ping_and_error_have_the_clients_shapes() -> None:
    codec = RustpbxCodec()
    connected = rust_reads(codec.connected(AT_MS))
    assert (connected["server"], connected["timestamp"]) == ("antiphon", AT_MS)
    assert rust_reads(codec.ping(AT_MS)) == {"type": "ping", "timestamp": AT_MS}
    error = rust_reads(codec.error(InvalidMessage("no", field="room_id"), AT_MS))
    assert error == {
        "type": "error",
        "message": "no",
        "code": 400,
        "timestamp": AT_MS,
        "error_code": "invalid_message",
        "field": "room_id",
    }


@given(pcm=st.binary(max_size=1000), rate=st.sampled_from([8000, 16000, 48000]))
def test_json_audio_is_read_back_byte_for_byte(pcm: bytes, rate: int) -> None:
    codec = RustpbxCodec(sample_rate=rate)
    seen = []
    for _ in range(2):
        text = codec.audio_out(pcm)
        assert isinstance(text, str)
        message = rust_reads(text)
        assert bytes(message["audio_data"]) == pcm
        assert (message["sample_rate"], message["channels"]) == (rate, 1)
        seen.append(message["frame_id"])
    assert seen[0] != seen[1]


def test_our_json_audio_is_understood_by_the_same_codec_as_generation_as() -> None:
    text = RustpbxCodec().audio_out(b"\x01\x80")
    assert isinstance(text, str)
    assert RustpbxCodec().receive_text(text) == [AudioIn(b"\x01\x80", 16000)]


def test_binary_output_is_the_audio_itself() -> None:
    assert RustpbxCodec(output="binary").audio_out(b"\1\2") == b"\1\2"


def configure(codec: RustpbxCodec) -> None:
    codec.receive_text('{"command":"configure","room_id":"r"}')


def test_by_default_all_three_generations_get_json() -> None:
    a, b, c = (RustpbxCodec(path_is_root=root) for root in (False, False, True))
    for codec in (a, b, c):
        codec.connected(AT_MS)
        configure(codec)
    a.receive_text('{"command":"audio","audio_data":[1,2]}')
    b.receive_bytes(b"\1\2")
    c.receive_bytes(b"\1\2")
    for codec in (a, b, c):
        assert not codec.audio_is_binary
        assert isinstance(codec.audio_out(b"\1\2"), str)


@pytest.mark.parametrize("spoke_first", [True, False])
@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("up", ["binary", "json", "both", "nothing"])
def test_auto_is_binary_only_for_a_client_that_proved_to_be_generation_c(
    spoke_first: bool, root: bool, up: str
) -> None:
    codec = RustpbxCodec(path_is_root=root)
    if spoke_first:
        configure(codec)
    codec.connected(AT_MS)
    if up in ("binary", "both"):
        codec.receive_bytes(b"\1\2")
    if up in ("json", "both"):
        codec.receive_text('{"command":"audio","audio_data":[1,2]}')
    assert codec.audio_is_binary == (spoke_first and root and up == "binary")


def test_json_output_stays_json_whatever_the_client_does() -> None:
    codec = RustpbxCodec(output="json", path_is_root=True)
    configure(codec)
    codec.receive_bytes(b"\1\2")
    assert isinstance(codec.audio_out(b"\1\2"), str)


def test_transcripts_always_have_a_language() -> None:
    codec = RustpbxCodec(language="de")
    assert told(codec, facts.TranscriptInterim(turn=1, text="Hal", language="en")) == [
        {
            "type": "transcription",
            "text": "Hal",
            "is_final": False,
            "language": "en",
            "timestamp": AT_MS,
        }
    ]
    (final,) = told(codec, facts.TranscriptFinal(turn=1, text="Hallo", language=""))
    assert (final["is_final"], final["language"]) == (True, "de")
    (unset,) = told(RustpbxCodec(language=""), facts.TranscriptFinal(turn=1, text="x", language=""))
    assert unset["language"] == "en"


def test_an_answer_streams_in_pieces_and_ends_with_the_whole() -> None:
    codec = RustpbxCodec()
    assert told(codec, facts.LlmText(turn=2, text="How can ")) == [
        {"type": "llm_response", "text": "How can ", "is_complete": False, "timestamp": AT_MS}
    ]
    assert told(codec, facts.LlmEnded(turn=2, text="How can I help?")) == [
        {"type": "llm_response", "text": "How can I help?", "is_complete": True, "timestamp": AT_MS}
    ]


def test_speech_synthesis_is_told() -> None:
    codec = RustpbxCodec()
    assert [m["type"] for m in told(codec, facts.TtsStarted(turn=2, text="Hi"))] == ["tts_started"]
    assert [m["type"] for m in told(codec, facts.TtsEnded(turn=2, text="Hi"))] == ["tts_completed"]


def test_latencies_become_metrics_with_whole_milliseconds() -> None:
    codec = RustpbxCodec()
    body = facts.TurnLatency(
        turn=2, voice_to_voice_ms=812, llm_first_token_ms=230, tools={"add_to_cart": 12}
    )
    assert {m["key"]: m["duration"] for m in told(codec, body)} == {
        "latency.voice_to_voice": 812,
        "latency.llm_first_token": 230,
        "latency.tool.add_to_cart": 12,
    }
    (metric,) = told(codec, facts.ServiceMetric(service="stt", metric="ttfb", duration_ms=-3))
    assert (metric["key"], metric["duration"]) == ("ttfb.stt", 0)


def test_configured_echoes_the_room_the_client_named() -> None:
    codec = RustpbxCodec(room="fallback")
    (message,) = told(codec, facts.Configured(room=""))
    assert message["call_id"] == "fallback"
    codec.receive_text('{"command":"configure","room_id":"rustpbx_9"}')
    (message,) = told(codec, facts.Configured(room=""))
    assert message["call_id"] == "rustpbx_9"
    assert rust_reads(codec.configured("r", AT_MS))["call_id"] == "r"


def test_errors_of_services_are_told_with_a_number_and_the_stable_code() -> None:
    (message,) = told(
        RustpbxCodec(), facts.ErrorOccurred(code="service_error", message="no voice", source="tts")
    )
    assert (message["code"], message["error_code"]) == (502, "service_error")


@given(body=any_body)
def test_any_fact_gives_only_messages_the_client_reads(body: EventBody) -> None:
    for text in RustpbxCodec().event_out(at(body)):
        assert rust_reads(text)["timestamp"] == AT_MS


def test_facts_the_protocol_has_no_word_for_are_not_told() -> None:
    assert told(RustpbxCodec(), facts.SpeechStarted()) == []
    assert told(RustpbxCodec(), facts.TurnEnded(turn=1, role="agent", text="x")) == []


# The URL.


def test_options_default_to_the_servers_settings() -> None:
    assert RustpbxOptions.from_query({}) == RustpbxOptions()
    options = RustpbxOptions.from_query({}, output="binary", sample_rate=8000, frame_ms=60)
    assert (options.output, options.sample_rate, options.frame_ms) == ("binary", 8000, 60)


def test_options_are_read_from_the_url_and_the_rest_is_kept_without_secrets() -> None:
    options = RustpbxOptions.from_query(
        [
            ("output", "Binary"),
            ("sample_rate", "48000"),
            ("frame_ms", "100"),
            ("agent", "shop"),
            ("call_id", "c1"),
            ("token", "k"),
            ("colour", "red"),
            ("api_key", "secret"),
        ]
    )
    assert options == RustpbxOptions(
        output="binary",
        sample_rate=48000,
        frame_ms=100,
        agent="shop",
        room="c1",
        token="k",
        ignored={"colour": "red"},
    )
    assert "'k'" not in repr(options)


def test_all_problems_of_a_url_are_told_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        RustpbxOptions.from_query(
            {"output": "wav", "sample_rate": "fast", "frame_ms": "5", "room": "x" * 256}
        )
    assert [p["field"] for p in caught.value.details["problems"]] == [
        "output",
        "sample_rate",
        "frame_ms",
        "room",
    ]
    assert caught.value.field == "output"
    assert "auto, json, binary" in caught.value.message


@pytest.mark.parametrize(
    "query",
    [
        {"sample_rate": "4000"},
        {"sample_rate": "96000"},
        {"sample_rate": "-8000"},
        {"sample_rate": "١٦٠٠٠"},
        {"sample_rate": "9" * 5000},
        {"frame_ms": "101"},
        {"frame_ms": "20.5"},
        {"sample_rate": "22050", "frame_ms": "15"},
    ],
)
def test_an_impossible_rate_or_frame_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        RustpbxOptions.from_query(query)


query_names = st.sampled_from(
    ["output", "sample_rate", "rate", "frame_ms", "agent", "room", "token"]
)


@given(
    query=st.dictionaries(
        query_names | any_text,
        st.text(string.printable, max_size=8) | any_text | st.integers().map(str),
        max_size=6,
    )
)
def test_any_query_gives_usable_options_or_a_refusal(query: dict[str, str]) -> None:
    try:
        options = RustpbxOptions.from_query(query)
    except InvalidRequest as error:
        refusal = error
    else:
        refusal = None
    if refusal is not None:
        assert refusal.field
        refusal.message.encode("utf-8")
        return
    assert 8000 <= options.sample_rate <= 48000
    assert 10 <= options.frame_ms <= 100
    assert options.sample_rate * options.frame_ms % 1000 == 0
