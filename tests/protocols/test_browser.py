"""The browser's codec: the original's messages exactly, and our extensions beside them."""

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.domain import events as facts
from antiphon.domain.events import EventBody
from antiphon.errors import InvalidMessage, InvalidRequest, LimitExceeded
from antiphon.protocols.browser import (
    DOCUMENTED_VOICES,
    PROTOCOL_VERSION,
    BrowserCodec,
    BrowserOptions,
)
from antiphon.protocols.framing import (
    AudioIn,
    Disconnect,
    Dtmf,
    Interrupt,
    Invalid,
    Message,
    Mute,
    Ping,
    UserText,
)
from support.facts import AT_MS, any_body, any_text, at, json_values

TYPES = {
    "session", "transcription", "transcription_interim", "agent_text", "state", "interrupted",
    "function_call", "function_result", "latency", "error", "ended", "pong",
}  # fmt: skip


def js_reads(text: str) -> dict[str, Any]:
    """`JSON.parse` of what arrived: no NaN, no lone surrogate, one object with a known type."""

    def no_constant(name: str) -> None:
        raise AssertionError(f"JSON.parse: {name}")

    text.encode("utf-8")
    message = json.loads(text, parse_constant=no_constant)
    assert message["type"] in TYPES
    return message


def told(codec: BrowserCodec, *bodies: EventBody) -> list[dict[str, Any]]:
    return [js_reads(text) for body in bodies for text in codec.event_out(at(body))]


def of_type(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


# The original's two messages.


def test_a_users_transcription_has_the_documented_fields() -> None:
    (message,) = told(BrowserCodec(), facts.TranscriptFinal(turn=1, text="Hello", language="en"))
    documented = {key: message[key] for key in ("type", "text", "role", "user_id", "timestamp")}
    assert documented == {
        "type": "transcription",
        "text": "Hello",
        "role": "user",
        "user_id": "user",
        "timestamp": "2025-12-03T13:00:00.123Z",
    }
    assert datetime.fromisoformat(message["timestamp"]).timestamp() * 1000 == AT_MS


def test_the_assistants_transcription_is_what_was_heard_and_comes_once_at_its_turns_end() -> None:
    messages = told(
        BrowserCodec(),
        facts.TurnStarted(turn=2, role="agent"),
        facts.LlmText(turn=2, text="We have apples and pears."),
        facts.LlmEnded(turn=2, text="We have apples and pears."),
        facts.AgentSpeechStarted(turn=2),
        facts.AgentSpoke(turn=2, text="We have apples"),
        facts.TurnEnded(turn=2, role="agent", text="We have apples", interrupted=True),
        facts.Interrupted(turn=2),
    )
    (message,) = of_type(messages, "transcription")
    assert (message["text"], message["role"], message["user_id"]) == (
        "We have apples",
        "assistant",
        "assistant",
    )
    assert message["interrupted"] is True
    assert [(m["text"], m["spoken"]) for m in of_type(messages, "agent_text")] == [
        ("We have apples and pears.", False),
        ("We have apples", True),
    ]


def test_a_user_turns_end_and_a_silent_agent_turn_make_no_transcription() -> None:
    messages = told(
        BrowserCodec(),
        facts.TurnEnded(turn=1, role="user", text="Hello"),
        facts.TurnEnded(turn=2, role="agent", text=" "),
    )
    assert of_type(messages, "transcription") == []


def test_a_function_call_has_the_documented_fields() -> None:
    (message, _) = told(
        BrowserCodec(),
        facts.ToolCallStarted(
            turn=2,
            call_id="c1",
            name="send_to_nested",
            arguments={"text": "Search for Python tutorials"},
        ),
    )
    assert {key: message[key] for key in ("type", "name", "arguments")} == {
        "type": "function_call",
        "name": "send_to_nested",
        "arguments": {"text": "Search for Python tutorials"},
    }


# The extensions.


def test_the_session_message_tells_all_a_client_needs_to_come_back() -> None:
    text = BrowserCodec(sample_rate=16000).session(
        session_id="s1", resume_token="t", agent="shop", room="r"
    )
    assert js_reads(text) == {
        "type": "session",
        "session_id": "s1",
        "resume_token": "t",
        "protocol_version": PROTOCOL_VERSION,
        "sample_rate": 16000,
        "agent": "shop",
        "room": "r",
    }


def test_interim_transcripts_have_a_type_of_their_own() -> None:
    (message,) = told(BrowserCodec(), facts.TranscriptInterim(turn=1, text="Hel", language="en"))
    assert (message["type"], message["role"]) == ("transcription_interim", "user")


def test_results_latency_errors_and_the_end_are_told() -> None:
    codec = BrowserCodec()
    messages = told(
        codec,
        facts.ToolCallEnded(
            turn=2, call_id="c1", name="cart", result={"ok": False}, ok=False, duration_ms=7
        ),
        facts.TurnLatency(turn=2, voice_to_voice_ms=640, llm_first_token_ms=200),
        facts.ErrorOccurred(code="service_error", message="no voice", fatal=True),
        facts.SessionEnded(reason="idle", duration_ms=90_000),
    )
    result, latency, error, ended = messages
    assert (result["type"], result["ok"], result["duration_ms"]) == ("function_result", False, 7)
    assert (latency["voice_to_voice_ms"], latency["end_of_turn_ms"]) == (640, None)
    assert (error["code"], error["fatal"]) == ("service_error", True)
    assert (ended["reason"], ended["duration_ms"]) == ("idle", 90_000)


def test_a_result_that_json_cannot_hold_is_told_all_the_same() -> None:
    endless: list[Any] = []
    endless.append(endless)
    result = {"price": float("nan"), "when": {1, 2}, 3: object, "loop": endless, "n": 10**5000}
    body = facts.ToolCallEnded(turn=1, call_id="c", name="n", result=result)
    (message,) = told(BrowserCodec(), body)
    assert message["result"]["price"] is None
    assert message["result"]["when"] == [1, 2]
    assert message["result"]["n"] is None


def test_errors_name_the_field() -> None:
    codec = BrowserCodec()
    error = js_reads(codec.error(InvalidMessage("text is blank", field="text"), AT_MS))
    assert (error["code"], error["field"], error["fatal"]) == ("invalid_message", "text", False)
    assert js_reads(codec.error(LimitExceeded("slow down"), AT_MS))["code"] == "limit_exceeded"


def test_a_conversation_goes_from_listening_over_thinking_to_speaking() -> None:
    codec = BrowserCodec()
    script: list[tuple[EventBody, str | None]] = [
        (
            facts.SessionStarted(agent="a", transport="browser", room="r", language="en"),
            "listening",
        ),
        (facts.TurnStarted(turn=1, role="agent"), None),
        (facts.AgentSpeechStarted(turn=1), "speaking"),
        (facts.TurnEnded(turn=1, role="agent", text="Hello!"), None),
        (facts.AgentSpeechStopped(turn=1), "listening"),
        (facts.SpeechStarted(), None),
        (facts.TurnStarted(turn=2, role="user"), None),
        (facts.SpeechStopped(), None),
        (facts.TurnEnded(turn=2, role="user", text="Apples."), "thinking"),
        (facts.LlmStarted(turn=3), None),
        (facts.AgentSpeechStarted(turn=3), "speaking"),
        (facts.ToolCallStarted(turn=3, call_id="c", name="n"), None),
        (facts.SpeechStarted(), None),  # not an interruption yet
        (facts.TurnStarted(turn=4, role="user"), "listening"),
        (facts.Interrupted(turn=3), None),
        (facts.AgentSpeechStopped(turn=3), None),
        (facts.TurnEnded(turn=4, role="user", text=""), None),  # a cough
        (facts.LlmStarted(turn=5), "thinking"),
        (facts.TurnEnded(turn=5, role="agent", text=""), "listening"),
    ]
    for number, (body, expected) in enumerate(script):
        states = of_type(told(codec, body), "state")
        assert [m["state"] for m in states] == ([expected] if expected else []), (number, body)


def test_an_interruption_tells_the_client_to_drop_its_audio_before_anything_else() -> None:
    codec = BrowserCodec()
    told(codec, facts.AgentSpeechStarted(turn=1))
    messages = told(codec, facts.Interrupted(turn=1, by="operator"))
    assert messages == [
        {"type": "interrupted", "turn": 1, "by": "operator"},
        {"type": "state", "state": "listening"},
    ]


@given(bodies=st.lists(any_body, max_size=12))
def test_any_facts_give_messages_a_browser_reads_and_states_that_differ(
    bodies: list[EventBody],
) -> None:
    states = [m["state"] for m in of_type(told(BrowserCodec(), *bodies), "state")]
    assert set(states) <= {"listening", "thinking", "speaking"}
    assert all(one != following for one, following in pairwise(states))


# What the client sends.


@given(pieces=st.lists(st.binary(max_size=9), max_size=20))
def test_audio_in_pieces_of_any_size_never_shifts_a_sample(pieces: list[bytes]) -> None:
    codec = BrowserCodec()
    messages = [message for piece in pieces for message in codec.receive_bytes(piece)]
    assert all(isinstance(m, AudioIn) and m.sample_rate == 24_000 for m in messages)
    sent = b"".join(pieces)
    assert b"".join(m.pcm for m in messages if isinstance(m, AudioIn)) == sent[: len(sent) // 2 * 2]


def test_audio_goes_out_as_it_is() -> None:
    assert BrowserCodec().audio_out(b"\1\2") == b"\1\2"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"type": "ping", "timestamp": 5}, Ping(5)),
        ({"type": "ping"}, Ping(None)),
        ({"event": "PING"}, Ping(None)),
        ({"type": "text", "text": " two apples "}, UserText("two apples")),
        ({"type": "interrupt"}, Interrupt()),
        ({"type": "mute"}, Mute(True)),
        ({"type": "mute", "muted": False}, Mute(False)),
        ({"type": "unmute"}, Mute(False)),
        ({"type": "dtmf", "digit": "a"}, Dtmf("A")),
        ({"type": "dtmf", "digit": 7}, Dtmf("7")),
        ({"type": "end"}, Disconnect("")),
        ({"command": "disconnect", "reason": "bye"}, Disconnect("bye")),
    ],
)
def test_the_clients_messages_are_understood(data: dict[str, Any], expected: Message) -> None:
    assert BrowserCodec().receive_text(json.dumps(data)) == [expected]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "type"),
        ({"type": 5}, "type"),
        ({"type": "dance"}, "type"),
        ({"type": "text"}, "text"),
        ({"type": "text", "text": "  "}, "text"),
        ({"type": "text", "text": ["x"]}, "text"),
        ({"type": "text", "text": "x" * 4001}, "text"),
        ({"type": "mute", "muted": "yes"}, "muted"),
        ({"type": "dtmf"}, "digit"),
        ({"type": "dtmf", "digit": "12"}, "digit"),
        ({"type": "dtmf", "digit": True}, "digit"),
    ],
)
def test_a_wrong_message_is_answered_with_the_field_that_is_wrong(
    data: dict[str, Any], field: str
) -> None:
    (message,) = BrowserCodec().receive_text(json.dumps(data))
    assert isinstance(message, Invalid)
    assert message.error.field == field


keys = st.sampled_from(["type", "event", "text", "muted", "digit", "reason", "timestamp"])
kinds = st.sampled_from(["ping", "text", "mute", "dtmf", "end", "interrupt"])


@given(
    text=any_text
    | st.dictionaries(keys, json_values | kinds, max_size=5).map(json.dumps)
    | st.tuples(kinds, st.dictionaries(keys, json_values, max_size=3)).map(
        lambda pair: json.dumps({**pair[1], "type": pair[0]})
    )
)
@example("[" * 100_000)
@example("9" * 5000)
@example('{"type":"text","text":"\\udc00"}')
def test_any_text_gives_messages_and_never_an_exception(text: str) -> None:
    codec = BrowserCodec()
    for message in codec.receive_text(text):
        assert isinstance(message, Message)
        if isinstance(message, Invalid):
            js_reads(codec.error(message.error, AT_MS))
        elif isinstance(message, UserText):
            message.text.encode("utf-8")
        elif isinstance(message, Ping):
            assert type(js_reads(codec.pong(message, AT_MS))["timestamp"]) is int


# The URL.


def test_options_are_the_documented_ones_and_ours() -> None:
    assert BrowserOptions.from_query({}) == BrowserOptions()
    options = BrowserOptions.from_query(
        {
            "voice": "alloy",
            "agent_name": "MainConversation",
            "system_prompt": "Be brief.\nBe kind.",
            "sample_rate": "16000",
            "resume": "r1",
            "token": "t1",
            "utm": "x",
        }
    )
    assert options == BrowserOptions(
        voice="alloy",
        agent_name="MainConversation",
        system_prompt="Be brief.\nBe kind.",
        sample_rate=16000,
        resume="r1",
        token="t1",
        ignored={"utm": "x"},
    )
    assert "r1" not in repr(options)
    assert "t1" not in repr(options)


@pytest.mark.parametrize("voice", [*DOCUMENTED_VOICES, "aura-asteria-en", "en_GB-alba.medium"])
def test_the_documented_voices_and_others_are_passed_on(voice: str) -> None:
    assert BrowserOptions.from_query({"voice": voice}).voice == voice


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"voice": "x" * 65}, "voice"),
        ({"voice": "../../etc/passwd"}, "voice"),
        ({"voice": "al\nloy"}, "voice"),
        ({"system_prompt": "x" * 100_001}, "system_prompt"),
        ({"sample_rate": "96000"}, "sample_rate"),
        ({"agent_name": "x" * 65}, "agent_name"),
    ],
)
def test_wrong_options_are_refused_by_name(query: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        BrowserOptions.from_query(query)
    assert caught.value.field == field


def test_a_codec_for_an_impossible_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="96000"):
        BrowserCodec(sample_rate=96_000)
