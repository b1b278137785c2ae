"""From frames to facts: the one observer of a session.

It sees each frame once (its first push), looks its type up in a table, and appends typed events to
the session's log. Pipecat's own `UserBotLatencyObserver` runs inside it, fed only with the frames
it needs, so that a session has one observer queue and not two.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ClientConnectedFrame,
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
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import (
    LLMUsageMetricsData,
    ProcessingMetricsData,
    TTFBMetricsData,
    TTSUsageMetricsData,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.observers.user_bot_latency_observer import LatencyBreakdown, UserBotLatencyObserver
from pipecat.processors.frame_processor import FrameDirection
from pipecat.utils.asyncio.task_manager import BaseTaskManager

from antiphon.clock import Clock
from antiphon.domain import events as facts
from antiphon.domain.turn import Floor
from antiphon.event_log import EventLog

_LATENCY_FRAMES = frozenset(
    {
        BotStartedSpeakingFrame,
        ClientConnectedFrame,
        FunctionCallInProgressFrame,
        FunctionCallResultFrame,
        InterruptionFrame,
        LLMFullResponseStartFrame,
        LLMTextFrame,
        MetricsFrame,
        TTSAudioRawFrame,
        TranscriptionFrame,
        UserStoppedSpeakingFrame,
        VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
    }
)

Handler = Callable[[Any], None]


class SessionObserver(BaseObserver):
    """Turns one session's frames into events.

    Args:
        log: The session's event log.
        clock: Source of monotonic time, for tool durations.
        language: Language of transcripts that carry none.
    """

    def __init__(self, *, log: EventLog, clock: Clock, language: str):
        super().__init__(observe_every_push=False)
        self._log = log
        self._clock = clock
        self._language = language
        self._floor = Floor()
        self._user_text: list[str] = []
        self._spoken: list[str] = []
        self._llm_text: list[str] = []
        self._tts_text = ""
        self._tool_started: dict[str, tuple[str, float]] = {}
        self._speech_turn = 0
        self._latency = UserBotLatencyObserver()
        self._latency.add_event_handler("on_latency_breakdown", self._on_latency_breakdown)
        self._handlers: Mapping[type[Frame], Handler] = {
            VADUserStartedSpeakingFrame: self._on_speech_started,
            VADUserStoppedSpeakingFrame: self._on_speech_stopped,
            UserStartedSpeakingFrame: self._on_user_turn_started,
            UserStoppedSpeakingFrame: self._on_user_turn_stopped,
            InterimTranscriptionFrame: self._on_interim,
            TranscriptionFrame: self._on_transcription,
            LLMFullResponseStartFrame: self._on_llm_start,
            LLMTextFrame: self._on_llm_text,
            LLMFullResponseEndFrame: self._on_llm_end,
            TTSStartedFrame: self._on_tts_started,
            TTSStoppedFrame: self._on_tts_stopped,
            BotStartedSpeakingFrame: self._on_bot_started,
            BotStoppedSpeakingFrame: self._on_bot_stopped,
            InterruptionFrame: self._on_interruption,
            FunctionCallInProgressFrame: self._on_tool_started,
            FunctionCallResultFrame: self._on_tool_result,
            FunctionCallCancelFrame: self._on_tool_cancelled,
            MetricsFrame: self._on_metrics,
            ErrorFrame: self._on_error,
            InputDTMFFrame: self._on_dtmf,
        }

    @property
    def turn(self) -> int:
        """Number of the turn that is open, or of the next one."""
        return self._floor.turn

    async def setup(self, task_manager: BaseTaskManager) -> None:
        """Set up, with the latency observer inside."""
        await super().setup(task_manager)
        await self._latency.setup(task_manager)

    async def cleanup(self) -> None:
        """Clean up, with the latency observer inside."""
        await super().cleanup()  # type: ignore[no-untyped-call]
        await self._latency.cleanup()  # type: ignore[no-untyped-call]

    async def on_pipeline_started(self) -> None:
        """Tell the latency observer."""
        await self._latency.on_pipeline_started()  # type: ignore[no-untyped-call]

    async def on_push_frame(self, data: FramePushed) -> None:
        """Handle a frame the first time it is pushed."""
        frame = data.frame
        kind = type(frame)
        if kind in _LATENCY_FRAMES:
            await self._latency.on_push_frame(data)
        handler = self._handlers.get(kind)
        # Broadcast frames travel both ways as two siblings: count the one going down.
        if handler is not None and (
            data.direction is FrameDirection.DOWNSTREAM or kind is ErrorFrame
        ):
            handler(frame)

    # Facts that do not come as frames.

    def on_spoken(self, text: str) -> None:
        """A piece of text whose audio has been sent to the caller."""
        self._spoken.append(text)
        self._log.append(facts.AgentSpoke(turn=self._floor.turn, text=text))

    def on_agent_turn_ended(self, text: str) -> None:
        """The agent has said all of an answer; `text` is what was heard of it."""
        self._end_agent_turn(text, interrupted=False)

    def on_typed(self, text: str) -> None:
        """The user typed a turn instead of speaking it."""
        self._start_user_turn()
        self._log.append(
            facts.TranscriptFinal(turn=self._floor.turn, text=text, language=self._language)
        )
        self._append_all(self._floor.user_stopped(text))

    def on_dtmf(self, digit: str) -> None:
        """A key that Pipecat has no name for."""
        self._log.append(facts.Dtmf(digit=digit))

    def close(self) -> None:
        """End whatever turn is open: the session is over."""
        self._end_agent_turn(self._heard(), interrupted=False)
        self._append_all(self._floor.user_stopped(" ".join(self._user_text)))

    # Turns.

    def _append_all(self, bodies: list[facts.EventBody]) -> None:
        for body in bodies:
            self._log.append(body)

    def _heard(self) -> str:
        return " ".join(piece.strip() for piece in self._spoken if piece.strip())

    def _start_user_turn(self) -> None:
        self._end_agent_turn(self._heard(), interrupted=True)
        self._user_text.clear()
        self._append_all(self._floor.user_started())

    def _start_agent_turn(self) -> None:
        if not self._floor.agent_speaks:
            # An operator's words may cut into the caller's turn: keep what was said so far.
            self._append_all(self._floor.user_stopped(" ".join(self._user_text)))
        self._append_all(self._floor.agent_started())

    def _end_agent_turn(self, text: str, *, interrupted: bool) -> None:
        self._append_all(self._floor.agent_stopped(text, interrupted))
        self._spoken.clear()

    # The caller.

    def _on_speech_started(self, _: VADUserStartedSpeakingFrame) -> None:
        self._log.append(facts.SpeechStarted())

    def _on_speech_stopped(self, frame: VADUserStoppedSpeakingFrame) -> None:
        self._log.append(facts.SpeechStopped(silence_ms=round(frame.stop_secs * 1000)))

    def _on_user_turn_started(self, _: UserStartedSpeakingFrame) -> None:
        self._start_user_turn()

    def _on_user_turn_stopped(self, _: UserStoppedSpeakingFrame) -> None:
        self._append_all(self._floor.user_stopped(" ".join(self._user_text)))
        self._user_text.clear()

    def _on_interim(self, frame: InterimTranscriptionFrame) -> None:
        self._log.append(
            facts.TranscriptInterim(
                turn=self._floor.turn, text=frame.text, language=self._language_of(frame)
            )
        )

    def _on_transcription(self, frame: TranscriptionFrame) -> None:
        self._user_text.append(frame.text)
        self._log.append(
            facts.TranscriptFinal(
                turn=self._floor.turn, text=frame.text, language=self._language_of(frame)
            )
        )

    def _language_of(self, frame: TranscriptionFrame | InterimTranscriptionFrame) -> str:
        return str(frame.language.value) if frame.language else self._language

    def _on_dtmf(self, frame: InputDTMFFrame) -> None:
        self._log.append(facts.Dtmf(digit=frame.button.value))

    # The agent.

    def _on_llm_start(self, _: LLMFullResponseStartFrame) -> None:
        self._start_agent_turn()
        self._llm_text.clear()
        self._log.append(facts.LlmStarted(turn=self._floor.turn))

    def _on_llm_text(self, frame: LLMTextFrame) -> None:
        self._llm_text.append(frame.text)
        self._log.append(facts.LlmText(turn=self._floor.turn, text=frame.text))

    def _on_llm_end(self, _: LLMFullResponseEndFrame) -> None:
        text = "".join(self._llm_text)
        self._llm_text.clear()
        if text:
            self._tts_text = text
            self._log.append(facts.LlmEnded(turn=self._floor.turn, text=text))

    def _on_tts_started(self, _: TTSStartedFrame) -> None:
        self._start_agent_turn()
        self._tts_text = self._tts_text or "".join(self._llm_text)
        self._log.append(facts.TtsStarted(turn=self._floor.turn, text=self._tts_text))

    def _on_tts_stopped(self, _: TTSStoppedFrame) -> None:
        self._log.append(facts.TtsEnded(turn=self._floor.turn, text=self._tts_text))
        self._tts_text = ""

    def will_say(self, text: str) -> None:
        """The session is about to have `text` spoken without the language model."""
        self._tts_text = text

    def _on_bot_started(self, _: BotStartedSpeakingFrame) -> None:
        self._start_agent_turn()
        self._speech_turn = self._floor.turn
        self._log.append(facts.AgentSpeechStarted(turn=self._speech_turn))

    def _on_bot_stopped(self, _: BotStoppedSpeakingFrame) -> None:
        self._log.append(facts.AgentSpeechStopped(turn=self._speech_turn))

    def _on_interruption(self, _: InterruptionFrame) -> None:
        if interrupted := self._floor.take_interrupted():
            self._log.append(facts.Interrupted(turn=interrupted))
        elif self._floor.agent_speaks:
            turn = self._floor.turn
            self._end_agent_turn(self._heard(), interrupted=True)
            self._log.append(facts.Interrupted(turn=turn, by="operator"))

    # Tools, metrics, errors.

    def _on_tool_started(self, frame: FunctionCallInProgressFrame) -> None:
        self._start_agent_turn()
        self._tool_started[frame.tool_call_id] = (frame.function_name, self._clock.monotonic())
        self._log.append(
            facts.ToolCallStarted(
                turn=self._floor.turn,
                call_id=frame.tool_call_id,
                name=frame.function_name,
                arguments=dict(frame.arguments or {}),
            )
        )

    def _on_tool_result(self, frame: FunctionCallResultFrame) -> None:
        result = frame.result
        ok = frame.error is None and not (isinstance(result, dict) and result.get("ok") is False)
        self._end_tool(frame.tool_call_id, frame.function_name, result, ok=ok)

    def _on_tool_cancelled(self, frame: FunctionCallCancelFrame) -> None:
        self._end_tool(frame.tool_call_id, frame.function_name, {"error": "cancelled"}, ok=False)

    def _end_tool(self, call_id: str, name: str, result: object, *, ok: bool) -> None:
        _, started = self._tool_started.pop(call_id, (name, self._clock.monotonic()))
        self._log.append(
            facts.ToolCallEnded(
                turn=self._floor.turn,
                call_id=call_id,
                name=name,
                result=result,
                ok=ok,
                duration_ms=round((self._clock.monotonic() - started) * 1000),
            )
        )

    def _on_metrics(self, frame: MetricsFrame) -> None:
        for item in frame.data:
            if isinstance(item, TTFBMetricsData | ProcessingMetricsData):
                if item.value > 0:
                    metric = "ttfb" if isinstance(item, TTFBMetricsData) else "processing"
                    self._log.append(
                        facts.ServiceMetric(
                            service=item.processor,
                            metric=metric,
                            duration_ms=round(item.value * 1000),
                        )
                    )
            elif isinstance(item, LLMUsageMetricsData):
                self._log.append(
                    facts.Usage(
                        service=item.processor,
                        prompt_tokens=item.value.prompt_tokens,
                        completion_tokens=item.value.completion_tokens,
                    )
                )
            elif isinstance(item, TTSUsageMetricsData):
                self._log.append(facts.Usage(service=item.processor, characters=item.value))

    def _on_error(self, frame: ErrorFrame) -> None:
        category = getattr(frame, "category", None)
        self._log.append(
            facts.ErrorOccurred(
                code=f"service_{category.value}" if category else "service_error",
                message=frame.error,
                source=str(frame.processor) if frame.processor else "",
            )
        )

    async def _on_latency_breakdown(self, _: object, breakdown: LatencyBreakdown) -> None:
        if breakdown.user_turn_start_time is None:
            return
        spent = {c.key: round(c.duration_secs * 1000) for c in breakdown.contributions}
        transcript = spent.get("endpointing_wait", 0) + spent.get("transcription", 0)
        self._log.append(
            facts.TurnLatency(
                turn=self._floor.turn,
                voice_to_voice_ms=round(breakdown.total_secs * 1000),
                end_of_speech_to_transcript_ms=transcript or None,
                end_of_turn_ms=(
                    round(breakdown.user_turn_secs * 1000)
                    if breakdown.user_turn_secs is not None
                    else None
                ),
                llm_first_token_ms=spent.get("llm_inference"),
                tts_first_audio_ms=spent.get("speech_synthesis"),
                tools={
                    call.function_name: round(call.duration_secs * 1000)
                    for call in breakdown.function_calls
                },
            )
        )
