"""Callers are as strict as the real peers: what they would drop is dropped, and counted."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cli.caller.browser import BrowserCaller
from antiphon.cli.caller.codecs import codec_for
from antiphon.cli.caller.messages import (
    AgentAudio,
    AgentText,
    Dropped,
    Flush,
    Notice,
    PeerError,
    ToolCall,
    Transcript,
)
from antiphon.cli.caller.pcm import PcmCaller
from antiphon.cli.caller.rustpbx import FIELDS, Generation, RustpbxCaller
from antiphon.domain.events import Event, Role, body_classes
from antiphon.errors import InvalidRequest
from antiphon.protocols.browser import BrowserCodec
from antiphon.protocols.framing import AudioIn, Configure, Ping
from antiphon.protocols.pcm import PcmCodec
from antiphon.protocols.rustpbx import RustpbxCodec

GOOD: dict[str, dict[str, Any]] = {
    "audio": {"audio_data": [0, 255, 1, 2], "sample_rate": 16000, "channels": 1, "frame_id": "f"},
    "transcription": {"text": "hi", "is_final": True, "timestamp": 1, "language": "en"},
    "llm_response": {"text": "hi", "is_complete": False, "timestamp": 1},
    "tts_started": {"text": "hi", "timestamp": 1},
    "tts_completed": {"text": "hi", "timestamp": 1},
    "error": {"message": "bad", "timestamp": 1, "code": -5},
    "metrics": {"key": "ttfb", "duration": 12, "timestamp": 1},
    "ping": {"timestamp": 1},
    "pong": {"timestamp": 1},
    "connected": {"server": "s", "version": "v", "timestamp": 1},
    "configured": {"call_id": "c", "status": "ok", "timestamp": 1},
}


def wire(kind: str, **changes: Any) -> str:
    data = {"type": kind, **GOOD[kind], **changes}
    return json.dumps({name: value for name, value in data.items() if value is not ...})


def read_one(codec: Any, message: str | bytes) -> Any:
    (heard,) = codec.read(message)
    return heard


def test_every_message_of_rustpbx_is_understood() -> None:
    codec = RustpbxCaller()
    heard = {kind: read_one(codec, wire(kind, extra="ignored")) for kind in FIELDS}
    assert heard["audio"] == AgentAudio(b"\x00\xff\x01\x02", 16000)
    assert heard["transcription"] == Transcript("hi", True)
    assert heard["llm_response"] == AgentText("hi", False)
    assert heard["error"] == PeerError("bad")
    rest = {kind: h for kind, h in heard.items() if isinstance(h, Notice)}
    assert set(rest) == set(FIELDS) - {"audio", "transcription", "llm_response", "error"}


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_rustpbx_drops_a_message_with_a_missing_field(kind: str) -> None:
    for name in FIELDS[kind]:
        heard = read_one(RustpbxCaller(), wire(kind, **{name: ...}))
        assert heard == Dropped(f"{kind}.{name} is missing")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("ping", {"timestamp": 1.0}),
        ("ping", {"timestamp": -1}),
        ("ping", {"timestamp": True}),
        ("ping", {"timestamp": 2**64}),
        ("ping", {"timestamp": "1"}),
        ("metrics", {"duration": 12.5}),
        ("audio", {"audio_data": [256]}),
        ("audio", {"audio_data": [-1]}),
        ("audio", {"audio_data": "AAA="}),
        ("audio", {"sample_rate": 0}),
        ("transcription", {"is_final": 1}),
        ("transcription", {"language": 7}),
        ("llm_response", {"text": None}),
        ("error", {"code": 2**31}),
        ("error", {"code": 1.5}),
    ],
)
def test_rustpbx_drops_a_value_of_the_wrong_form(kind: str, changes: dict[str, Any]) -> None:
    heard = read_one(RustpbxCaller(), wire(kind, **changes))
    assert isinstance(heard, Dropped)
    assert next(iter(changes)) in heard.reason


def test_optional_fields_of_rustpbx_may_be_null_or_absent() -> None:
    codec = RustpbxCaller(generation="B")
    assert read_one(codec, wire("transcription", language=None)) == Transcript("hi", True)
    assert read_one(codec, wire("transcription", language=...)) == Transcript("hi", True)
    assert read_one(codec, wire("error", code=None)) == PeerError("bad")


def test_generations_differ_in_language_binary_audio_and_who_speaks_first() -> None:
    a, b, c = (RustpbxCaller(generation=g) for g in ("A", "B", "C"))
    assert isinstance(read_one(a, wire("transcription", language=...)), Dropped)
    assert isinstance(read_one(a, b"\0\0"), Dropped)
    assert isinstance(read_one(b, b"\0\0"), Dropped)
    assert read_one(c, b"\1\0") == AgentAudio(b"\1\0", 16000)
    assert [x.waits_for_server for x in (a, b, c)] == [True, True, False]
    assert b.audio(b"\1\0", 5) == b"\1\0"
    up = json.loads(a.audio(b"\1\xff", 5))
    assert up["command"] == "audio"
    assert up["audio_data"] == [1, 255]
    assert (up["sample_rate"], up["channels"], up["timestamp"]) == (16000, 1, 5)


def test_rustpbx_opens_with_configure_and_a_ping() -> None:
    configure, ping = (json.loads(m) for m in RustpbxCaller(room="r1").opening(77))
    assert configure["command"] == "configure"
    assert configure["room_id"] == "r1"
    assert configure["system_prompt"] is None
    assert ping == {"command": "ping", "timestamp": 77}
    assert RustpbxCaller().room.startswith("rustpbx_")


def test_the_browser_reads_its_messages_strictly() -> None:
    codec = BrowserCaller()
    said = {
        "type": "transcription",
        "text": "hi",
        "role": "user",
        "user_id": "u",
        "timestamp": "2026-01-02T03:04:05+00:00",
    }
    assert read_one(codec, json.dumps(said)) == Transcript("hi")
    assert read_one(codec, json.dumps({**said, "role": "assistant"})) == AgentText("hi")
    assert isinstance(read_one(codec, json.dumps({**said, "timestamp": 17})), Dropped)
    assert isinstance(read_one(codec, json.dumps({**said, "timestamp": "noon"})), Dropped)
    call = {"type": "function_call", "name": "view_cart", "arguments": {}}
    assert read_one(codec, json.dumps(call)) == ToolCall("view_cart", {})
    assert isinstance(read_one(codec, json.dumps({"type": "function_call"})), Dropped)
    assert read_one(codec, '{"type": "interrupted", "turn": 2, "by": "user"}') == Flush()
    assert read_one(codec, '{"type": "level", "rms": 1}') == Notice("level", {"rms": 1})
    assert read_one(codec, b"\1\0") == AgentAudio(b"\1\0", 24000)
    assert isinstance(read_one(codec, b"\1"), Dropped)


@given(st.text() | st.binary())
def test_no_message_breaks_a_caller(message: str | bytes) -> None:
    for codec in (RustpbxCaller(), RustpbxCaller(generation="A"), BrowserCaller(), PcmCaller(8000)):
        assert len(codec.read(message)) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(FIELDS)), st.dictionaries(st.sampled_from(["text", "type"]), JSON))
def test_no_json_breaks_a_caller(kind: str, changes: dict[str, Any]) -> None:
    for codec in (RustpbxCaller(), BrowserCaller(), PcmCaller(8000)):
        assert len(codec.read(wire(kind, **changes))) == 1


def test_the_path_of_the_url_chooses_the_transport() -> None:
    def kind(url: str, transport: str = "auto") -> tuple[str, int]:
        codec = codec_for(url, transport)
        return codec.name, codec.sample_rate

    assert kind("ws://h/ws/rustpbx") == ("rustpbx", 16000)
    assert kind("ws://h") == ("rustpbx", 16000)
    assert kind("wss://h/api/realtime/pipecat/ws/x?voice=a") == ("browser", 24000)
    assert kind("ws://h/ws/pcm?rate=16000") == ("pcm", 16000)
    assert kind("ws://h/ws/pcm") == ("pcm", 8000)
    assert kind("ws://h/api/realtime/pipecat/ws/x?sample_rate=16000") == ("browser", 16000)
    assert kind("ws://h/anything", "browser") == ("browser", 24000)
    with pytest.raises(InvalidRequest, match="--transport"):
        codec_for("ws://h/anything")
    with pytest.raises(InvalidRequest, match="ws://"):
        codec_for("http://h/ws/rustpbx")


def test_the_url_tells_the_rate_of_the_agents_binary_audio() -> None:
    codec = codec_for("ws://h/?output=binary&sample_rate=8000")
    assert codec.sample_rate == 16000
    assert read_one(codec, b"\1\0") == AgentAudio(b"\1\0", 8000)


def all_events() -> list[Event]:
    """One event of every kind, with every field set to something of its type."""
    values = {int: 7, int | None: 7, str: "text", bool: True, Role: "agent", Any: {"a": 1}}
    events = []
    for number, cls in enumerate(body_classes().values(), start=1):
        fields = {f.name: values.get(f.type, {}) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        at = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
        events.append(Event("s1", number, at, number * 10, cls(**fields)))
    return events


@pytest.mark.parametrize("generation", ["A", "B", "C"])
def test_no_message_of_this_server_is_dropped_by_rustpbx(generation: Generation) -> None:
    server, caller = RustpbxCodec(room="r1"), RustpbxCaller(generation=generation)
    sent = [server.connected(1), server.pong(Ping(5), 6), server.configured("r1", 7)]
    sent += [server.error(InvalidRequest("no", field="x"), 8), str(server.audio_out(b"\1\0"))]
    sent += [text for event in all_events() for text in server.event_out(event)]
    heard = [read_one(caller, message) for message in sent]
    assert [what for what in heard if isinstance(what, Dropped)] == []
    assert AgentAudio(b"\1\0", 16000) in heard
    assert Transcript("text") in heard


def test_no_message_of_this_server_is_dropped_by_the_browser() -> None:
    server, caller = BrowserCodec(), BrowserCaller()
    sent = [server.session(session_id="s1", resume_token="t", agent="shop", room="r1")]
    sent += [server.error(InvalidRequest("no"), 8)]
    sent += [text for event in all_events() for text in server.event_out(event)]
    heard = [read_one(caller, message) for message in sent]
    assert [what for what in heard if isinstance(what, Dropped)] == []
    assert {Transcript, AgentText, ToolCall, Flush, PeerError} <= {type(what) for what in heard}


def test_this_server_understands_every_caller() -> None:
    for generation in ("A", "B", "C"):
        server, caller = RustpbxCodec(), RustpbxCaller(generation=generation, room="r1")
        configure, ping = (server.receive_text(str(m))[0] for m in caller.opening(77))
        assert isinstance(configure, Configure)
        assert configure.room == "r1"
        assert ping == Ping(77)
        up = caller.audio(b"\1\0", 78)
        heard = server.receive_bytes(up) if isinstance(up, bytes) else server.receive_text(up)
        assert heard == [AudioIn(b"\1\0", 16000)]
    for other, codec in ((BrowserCodec(), BrowserCaller()), (PcmCodec(), PcmCaller())):
        assert other.receive_bytes(codec.audio(b"\1\0", 0)) == [AudioIn(b"\1\0", codec.sample_rate)]
