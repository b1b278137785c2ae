"""Transcripts: what was heard, when, and as text, data and captions."""

import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain import events as facts
from antiphon.domain.events import EventBody
from antiphon.domain.transcript import (
    ToolCall,
    TranscriptBuilder,
    TranscriptEntry,
    to_json_data,
    to_text,
    to_webvtt,
    transcript_of,
)
from support.facts import any_body, any_text, at

CALL: list[tuple[int, EventBody]] = [
    (0, facts.SessionStarted(agent="shop", transport="rustpbx", room="r", language="en")),
    (10, facts.TurnStarted(turn=1, role="agent")),
    (60, facts.AgentSpeechStarted(turn=1)),
    (1000, facts.AgentSpoke(turn=1, text="Welcome!")),
    (1500, facts.TurnEnded(turn=1, role="agent", text="Welcome!")),
    (1560, facts.AgentSpeechStopped(turn=2)),
    (2000, facts.SpeechStarted()),
    (2200, facts.TurnStarted(turn=2, role="user")),
    (3000, facts.TranscriptInterim(turn=2, text="two", language="en")),
    (4200, facts.SpeechStopped(silence_ms=200)),
    (4300, facts.TranscriptFinal(turn=2, text="two apples", language="en")),
    (4400, facts.TurnEnded(turn=2, role="user", text="two apples")),
    (4410, facts.TurnStarted(turn=3, role="agent")),
    (4420, facts.ToolCallStarted(turn=3, call_id="c", name="add", arguments={"n": 2})),
    (4430, facts.ToolCallEnded(turn=3, call_id="c", name="add", result={"ok": 1}, duration_ms=9)),
    (4500, facts.AgentSpeechStarted(turn=3)),
    (5500, facts.SpeechStarted()),
    (5700, facts.TurnEnded(turn=3, role="agent", text="Two apples", interrupted=True)),
    (5700, facts.TurnStarted(turn=4, role="user")),
    (5710, facts.AgentSpeechStopped(turn=4)),
    (6000, facts.SpeechStopped(silence_ms=200)),
    (6100, facts.TurnEnded(turn=4, role="user", text="stop <now> & listen")),
    (6200, facts.SessionEnded(reason="caller_hangup", duration_ms=6200)),
]


def transcript(*script: tuple[int, EventBody]) -> list[TranscriptEntry]:
    return transcript_of(at(body, offset, seq) for seq, (offset, body) in enumerate(script, 1))


def test_a_call_folds_into_its_turns_with_the_times_of_the_speech() -> None:
    call = ToolCall("c", "add", {"n": 2}, 4420, {"ok": 1}, True, 9)
    assert transcript(*CALL) == [
        TranscriptEntry(1, "agent", "Welcome!", 60, 1560),
        TranscriptEntry(2, "user", "two apples", 2000, 4000),
        TranscriptEntry(3, "agent", "Two apples", 4500, 5710, True, True, (call,)),
        TranscriptEntry(4, "user", "stop <now> & listen", 5500, 5800),
    ]


def test_stored_events_give_the_live_transcript() -> None:
    stored = [(offset, body) for offset, body in CALL if not body.transient]
    assert transcript(*stored) == transcript(*CALL)


def test_a_turn_that_is_still_open_shows_what_was_heard_so_far() -> None:
    entries = transcript(
        (0, facts.TurnStarted(turn=1, role="user")),
        (10, facts.TranscriptFinal(turn=1, text="two apples", language="en")),
        (20, facts.TranscriptFinal(turn=1, text=" and ", language="en")),
    )
    assert entries == [TranscriptEntry(1, "user", "two apples and", 0, 20, ended=False)]
    entries = transcript(
        (0, facts.TurnStarted(turn=1, role="agent")),
        (5, facts.LlmText(turn=1, text="We have apples")),
        (9, facts.AgentSpoke(turn=1, text="We")),
        (12, facts.AgentSpoke(turn=1, text="have")),
    )
    assert entries == [TranscriptEntry(1, "agent", "We have", 0, 12, ended=False)]


def test_what_an_ended_agent_turn_wrote_but_was_not_heard_is_left_out() -> None:
    entries = transcript(
        (0, facts.TurnStarted(turn=1, role="agent")),
        (5, facts.LlmEnded(turn=1, text="Never spoken.")),
        (9, facts.TurnEnded(turn=1, role="agent", text="", interrupted=True)),
    )
    assert entries == []


def test_a_user_turn_ended_without_text_keeps_its_transcripts() -> None:
    entries = transcript(
        (0, facts.TurnStarted(turn=1, role="user")),
        (5, facts.TranscriptFinal(turn=1, text="hello", language="en")),
        (9, facts.TurnEnded(turn=1, role="user")),
    )
    assert [entry.text for entry in entries] == ["hello"]


def test_a_transcript_that_comes_late_goes_to_the_callers_last_turn() -> None:
    entries = transcript(
        (0, facts.TurnStarted(turn=1, role="user")),
        (9, facts.TurnEnded(turn=1, role="user", text="two apples")),
        (10, facts.TurnStarted(turn=2, role="agent")),
        (12, facts.TranscriptFinal(turn=2, text="please", language="en")),
        (20, facts.TurnEnded(turn=2, role="agent", text="Sure.")),
    )
    assert [entry.text for entry in entries] == ["two apples please", "Sure."]


def test_a_transcript_that_comes_before_any_turn_goes_to_the_callers_first() -> None:
    entries = transcript(
        (5, facts.TranscriptFinal(turn=1, text="hello", language="en")),
        (6, facts.TurnStarted(turn=1, role="user")),
        (9, facts.TurnEnded(turn=1, role="user")),
    )
    assert [entry.text for entry in entries] == ["hello"]


def test_a_noise_that_opened_no_turn_does_not_lengthen_the_next() -> None:
    entries = transcript(
        (100, facts.SpeechStarted()),
        (300, facts.SpeechStopped(silence_ms=200)),
        (9000, facts.TurnStarted(turn=1, role="user")),
        (9001, facts.TranscriptFinal(turn=1, text="typed", language="en")),
        (9002, facts.TurnEnded(turn=1, role="user", text="typed")),
    )
    assert [(entry.start_ms, entry.end_ms) for entry in entries] == [(9000, 9002)]


def test_a_tool_call_that_has_not_ended_has_no_outcome() -> None:
    (entry,) = transcript(
        (0, facts.TurnStarted(turn=1, role="agent")),
        (5, facts.ToolCallStarted(turn=1, call_id="c", name="slow")),
    )
    assert [(call.ok, call.result) for call in entry.tool_calls] == [(None, None)]
    assert to_text([entry]) == "    slow() …\n"
    assert "-->" not in to_webvtt([entry])


@given(
    bodies=st.lists(any_body | st.sampled_from([body for _, body in CALL]), max_size=40),
)
def test_any_events_in_any_order_give_a_transcript_that_renders(
    bodies: list[EventBody],
) -> None:
    builder = TranscriptBuilder()
    for number, body in enumerate(bodies):
        builder.add(at(body, number * 100, number + 1))
    entries = builder.entries()
    assert [entry.turn for entry in entries] == sorted({entry.turn for entry in entries})
    assert all(entry.end_ms >= entry.start_ms >= 0 for entry in entries)
    to_text(entries).encode("utf-8")
    read_webvtt(to_webvtt(entries))


# Rendered.


def test_plain_text_has_a_line_a_turn() -> None:
    assert to_text(transcript(*CALL)) == (
        "[00:00:00.060] Agent: Welcome!\n"
        "[00:00:02.000] User: two apples\n"
        "    add(n=2) -> ok in 9 ms\n"
        "[00:00:04.500] Agent: Two apples (interrupted)\n"
        "[00:00:05.500] User: stop <now> & listen\n"
    )
    assert to_text([]) == ""


def test_plain_data_is_json() -> None:
    data = to_json_data(transcript(*CALL))
    assert json.loads(json.dumps(data)) == data
    assert data[2] == {
        "turn": 3,
        "role": "agent",
        "text": "Two apples",
        "start_ms": 4500,
        "end_ms": 5710,
        "interrupted": True,
        "ended": True,
        "tool_calls": [
            {
                "call_id": "c",
                "name": "add",
                "arguments": {"n": 2},
                "offset_ms": 4420,
                "result": {"ok": 1},
                "ok": True,
                "duration_ms": 9,
            }
        ],
    }


def test_captions_are_webvtt_and_where_speech_overlaps_the_earlier_gives_way() -> None:
    assert to_webvtt(transcript(*CALL)) == (
        "WEBVTT\n"
        "\n1\n00:00:00.060 --> 00:00:01.560\n<v Agent>Welcome!\n"
        "\n2\n00:00:02.000 --> 00:00:04.000\n<v User>two apples\n"
        "\n3\n00:00:04.500 --> 00:00:05.500\n<v Agent>Two apples\n"
        "\n4\n00:00:05.500 --> 00:00:05.800\n<v User>stop &lt;now&gt; &amp; listen\n"
    )


def test_captions_of_nothing_are_still_webvtt() -> None:
    assert to_webvtt([]) == "WEBVTT\n"


@pytest.mark.parametrize(
    ("ms", "shown"),
    [(0, "00:00:00.000"), (3_599_999, "00:59:59.999"), (360_000_001, "100:00:00.001")],
)
def test_caption_times_have_hours(ms: int, shown: str) -> None:
    (cue,) = read_webvtt(to_webvtt([TranscriptEntry(1, "user", "x", ms, ms + 1)]))
    assert cue["from"] == shown


def read_webvtt(text: str) -> list[dict[str, str]]:
    """A strict reader of the part of WebVTT we write: blocks, times, voice tag, escapes."""
    text.encode("utf-8")
    assert "\r" not in text
    assert "\0" not in text
    header, *blocks = text.split("\n\n")
    assert header.rstrip("\n") == "WEBVTT"
    cues: list[dict[str, str]] = []
    clock = 0.0
    for block in blocks:
        number, times, payload = block.rstrip("\n").split("\n")
        assert "-->" not in number + payload
        match = re.fullmatch(
            r"((\d{2,}):([0-5]\d):([0-5]\d\.\d{3})) --> (\d{2,}):([0-5]\d):([0-5]\d\.\d{3})", times
        )
        assert match
        start = int(match[2]) * 3600 + int(match[3]) * 60 + float(match[4])
        end = int(match[5]) * 3600 + int(match[6]) * 60 + float(match[7])
        assert clock <= start < end
        clock = end
        voice = re.fullmatch(r"<v (User|Agent)>([^<>]*)", payload)
        assert voice
        assert not re.search(r"&(?!amp;|lt;|gt;)", voice[2])
        cues.append({"from": match[1], "voice": voice[1], "text": html.unescape(voice[2])})
    return cues


entries = st.builds(
    TranscriptEntry,
    turn=st.integers(1, 999),
    role=st.sampled_from(["user", "agent"]),
    text=any_text | st.sampled_from(["-->", "a\n\nb", "<c>&lt;", "&", "\r\n", "x\0y"]),
    start_ms=st.integers(0, 5000),
    end_ms=st.integers(0, 5000),
)


@given(entries=st.lists(entries, max_size=10))
def test_any_entries_give_valid_captions_that_never_overlap(entries: list[TranscriptEntry]) -> None:
    cues = read_webvtt(to_webvtt(entries))
    assert len(cues) == sum(bool(entry.text) for entry in entries)


@given(text=st.text(st.sampled_from("ab<>&-/; "), min_size=1, max_size=20))
def test_captions_say_what_was_said(text: str) -> None:
    (cue,) = read_webvtt(to_webvtt([TranscriptEntry(1, "user", text, 0, 9)]))
    assert cue["text"] == " ".join(text.split())
