"""From frames to facts: whole exchanges, as the frames of a pipeline come."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    TranscriptionFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import (
    LLMTokenUsage,
    LLMUsageMetricsData,
    ProcessingMetricsData,
    TTFBMetricsData,
    TTSUsageMetricsData,
)
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.asyncio.task_manager import TaskManager

from antiphon.domain import events as facts
from antiphon.domain.transcript import to_text, transcript_of
from antiphon.event_log import EventLog
from antiphon.pipeline.observer import SessionObserver

STAMP = "2026-11-21T10:00:00.000Z"


class HandClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.secs = 100.0

    def monotonic(self) -> float:
        return self.secs

    def utc_now(self) -> datetime:
        return datetime.fromtimestamp(1_700_000_000 + self.secs, UTC)


class Watched:
    """An observer, and the frames that it is shown."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.log = EventLog("s", self.clock)
        self.observer = SessionObserver(log=self.log, clock=self.clock, language="en")
        self._processor = FrameProcessor()

    async def show(
        self, *frames: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM
    ) -> None:
        for frame in frames:
            self.clock.secs += 0.01
            await self.observer.on_push_frame(
                FramePushed(self._processor, self._processor, frame, direction, 0)
            )

    async def user_says(self, text: str) -> None:
        await self.show(
            VADUserStartedSpeakingFrame(),
            UserStartedSpeakingFrame(),
            VADUserStoppedSpeakingFrame(stop_secs=0.2),
            TranscriptionFrame(text, "", STAMP),
            UserStoppedSpeakingFrame(),
        )

    async def agent_begins(self, text: str) -> None:
        await self.show(
            LLMFullResponseStartFrame(),
            LLMTextFrame(text),
            LLMFullResponseEndFrame(),
            TTSStartedFrame(),
            BotStartedSpeakingFrame(),
        )

    def bodies(self, *kinds: type[facts.EventBody]) -> list[facts.EventBody]:
        return [event.body for event in self.log.history if isinstance(event.body, kinds)]

    @property
    def names(self) -> list[str]:
        return [event.type.value for event in self.log.history]


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    made = Watched()
    await made.observer.setup(TaskManager())
    yield made
    await made.observer.cleanup()


async def test_an_exchange_is_two_turns_with_their_texts(watched: Watched) -> None:
    await watched.user_says("what is in my cart")
    await watched.agent_begins("Your cart is empty.")
    watched.observer.on_spoken("Your cart")
    watched.observer.on_spoken("is empty.")
    await watched.show(TTSStoppedFrame(), BotStoppedSpeakingFrame())
    watched.observer.on_agent_turn_ended("Your cart is empty.")

    assert watched.names == [
        "speech_started",
        "turn_started",
        "speech_stopped",
        "transcript_final",
        "turn_ended",
        "turn_started",
        "llm_started",
        "llm_text",
        "llm_ended",
        "tts_started",
        "agent_speech_started",
        "agent_spoke",
        "agent_spoke",
        "tts_ended",
        "agent_speech_stopped",
        "turn_ended",
    ]
    assert watched.bodies(facts.TurnEnded) == [
        facts.TurnEnded(turn=1, role="user", text="what is in my cart", interrupted=False),
        facts.TurnEnded(turn=2, role="agent", text="Your cart is empty.", interrupted=False),
    ]
    assert watched.bodies(facts.TtsStarted) == [
        facts.TtsStarted(turn=2, text="Your cart is empty.")
    ]


async def test_a_caller_who_breaks_in_leaves_only_what_was_heard(watched: Watched) -> None:
    await watched.agent_begins("We have mugs, lamps and keyboards.")
    watched.observer.on_spoken("We have")
    watched.observer.on_spoken("mugs,")
    await watched.show(
        VADUserStartedSpeakingFrame(),
        UserStartedSpeakingFrame(),
        InterruptionFrame(),
        BotStoppedSpeakingFrame(),
    )
    await watched.show(TranscriptionFrame("stop", "", STAMP), UserStoppedSpeakingFrame())

    assert watched.bodies(facts.TurnEnded, facts.Interrupted) == [
        facts.TurnEnded(turn=1, role="agent", text="We have mugs,", interrupted=True),
        facts.Interrupted(turn=1),
        facts.TurnEnded(turn=2, role="user", text="stop", interrupted=False),
    ]
    shown = to_text(transcript_of(watched.log.history))
    assert "We have mugs, (interrupted)" in shown
    assert "lamps" not in shown


async def test_an_operator_who_interrupts_is_named(watched: Watched) -> None:
    await watched.agent_begins("One moment please.")
    watched.observer.on_spoken("One moment")
    await watched.show(InterruptionFrame())
    assert watched.bodies(facts.TurnEnded, facts.Interrupted) == [
        facts.TurnEnded(turn=1, role="agent", text="One moment", interrupted=True),
        facts.Interrupted(turn=1, by="operator"),
    ]


async def test_an_interruption_of_nobody_is_no_fact(watched: Watched) -> None:
    await watched.show(InterruptionFrame())
    assert watched.names == []


def _call(name: str, call_id: str, **arguments: Any) -> FunctionCallInProgressFrame:
    return FunctionCallInProgressFrame(
        function_name=name, tool_call_id=call_id, arguments=arguments, cancel_on_interruption=True
    )


def _result(name: str, call_id: str, result: object) -> FunctionCallResultFrame:
    return FunctionCallResultFrame(
        function_name=name, tool_call_id=call_id, arguments={}, result=result
    )


async def test_tool_calls_carry_their_time_and_their_outcome(watched: Watched) -> None:
    await watched.show(_call("add_to_cart", "1", product="blue mug", quantity=2))
    watched.clock.secs += 0.25
    await watched.show(_result("add_to_cart", "1", {"ok": True}))
    await watched.show(_call("place_order", "2"), _result("place_order", "2", {"ok": False}))
    cancel = FunctionCallCancelFrame(function_name="view_cart", tool_call_id="3")
    await watched.show(_call("view_cart", "3"), cancel)

    started = watched.bodies(facts.ToolCallStarted)
    assert [(body.name, body.arguments) for body in started] == [  # type: ignore[attr-defined]
        ("add_to_cart", {"product": "blue mug", "quantity": 2}),
        ("place_order", {}),
        ("view_cart", {}),
    ]
    ended = [
        (body.call_id, body.ok, body.duration_ms)
        for body in watched.bodies(facts.ToolCallEnded)
        if isinstance(body, facts.ToolCallEnded)
    ]
    assert ended == [("1", True, 260), ("2", False, 10), ("3", False, 10)]


async def test_frames_going_up_are_the_siblings_of_those_counted(watched: Watched) -> None:
    await watched.show(BotStartedSpeakingFrame(), direction=FrameDirection.UPSTREAM)
    await watched.show(UserStartedSpeakingFrame(), direction=FrameDirection.UPSTREAM)
    assert watched.names == []


async def test_errors_count_whichever_way_they_travel(watched: Watched) -> None:
    await watched.show(ErrorFrame("no route to the model"), direction=FrameDirection.UPSTREAM)
    assert watched.bodies(facts.ErrorOccurred) == [
        facts.ErrorOccurred(code="service_error", message="no route to the model", source="")
    ]


async def test_metrics_become_latencies_and_usage_and_zeros_are_left_out(watched: Watched) -> None:
    tokens = LLMTokenUsage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
    await watched.show(
        MetricsFrame(
            data=[
                TTFBMetricsData(processor="tts#0", value=0.0),
                TTFBMetricsData(processor="tts#0", value=0.125),
                ProcessingMetricsData(processor="llm#0", value=0.5),
                LLMUsageMetricsData(processor="llm#0", value=tokens),
                TTSUsageMetricsData(processor="tts#0", value=42),
            ]
        )
    )
    assert [event.body for event in watched.log.history] == [
        facts.ServiceMetric(service="tts#0", metric="ttfb", duration_ms=125),
        facts.ServiceMetric(service="llm#0", metric="processing", duration_ms=500),
        facts.Usage(service="llm#0", prompt_tokens=7, completion_tokens=3),
        facts.Usage(service="tts#0", characters=42),
    ]


async def test_interim_transcripts_keys_and_typed_turns(watched: Watched) -> None:
    await watched.show(UserStartedSpeakingFrame(), InterimTranscriptionFrame("what", "", STAMP))
    await watched.show(InputDTMFFrame(button=KeypadEntry.FIVE))
    watched.observer.on_dtmf("A")
    watched.observer.on_typed("hello")
    assert watched.bodies(facts.TranscriptInterim, facts.Dtmf, facts.TranscriptFinal) == [
        facts.TranscriptInterim(turn=1, text="what", language="en"),
        facts.Dtmf(digit="5"),
        facts.Dtmf(digit="A"),
        facts.TranscriptFinal(turn=1, text="hello", language="en"),
    ]


async def test_closing_ends_the_turn_that_is_open(watched: Watched) -> None:
    await watched.agent_begins("Goodbye for now.")
    watched.observer.on_spoken("Goodbye")
    watched.observer.close()
    watched.observer.close()
    assert watched.bodies(facts.TurnEnded) == [
        facts.TurnEnded(turn=1, role="agent", text="Goodbye", interrupted=False)
    ]
