"""One call's pipeline, built and driven.

    transport.input -> VAD -> speech-to-text -> keys -> user aggregator -> language model
        -> text-to-speech -> transport.output -> assistant aggregator

Keys pressed on a telephone are gathered to a number, which is a turn like a spoken one. The
caller's audio stops at the speech-to-text service (unless the end of a turn is decided by a
model that needs it), so that it crosses three processors and not eight.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InputDTMFFrame,
    InterruptionFrame,
    LLMMessagesAppendFrame,
    STTMuteFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.dtmf_aggregator import DTMFAggregator
from pipecat.processors.aggregators.llm_context import LLMContext, LLMContextMessage
from pipecat.processors.aggregators.llm_response_universal import (
    AssistantTurnStoppedMessage,
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.turns.user_mute import BaseUserMuteStrategy
from pipecat.workers.runner import WorkerRunner

from antiphon.clock import Clock
from antiphon.domain.agent import AgentDefinition
from antiphon.event_log import EventLog
from antiphon.inference.vad import SharedSileroVADAnalyzer
from antiphon.pipeline.observer import SessionObserver
from antiphon.pipeline.tools import register_tools, tools_schema
from antiphon.pipeline.turns import turn_strategies, vad_params
from antiphon.tools.base import Tool, ToolContext
from antiphon.transports.participant import CallOutput, CallTransport

log = logging.getLogger(__name__)

CANCEL_TIMEOUT_SECS = 5.0
_KEYPAD = frozenset(entry.value for entry in KeypadEntry)


@dataclass(frozen=True, slots=True)
class CallServices:
    """The services of one call, made for it alone."""

    stt: STTService
    llm: LLMService
    tts: TTSService


class CallPipeline:
    """A running pipeline and what can be done to it.

    Args:
        session_id: For logs and Pipecat's conversation id.
        agent: The agent that answers.
        prompt: Its system prompt for this call.
        services: The call's services.
        transport: The session's transport.
        tools: Tools the agent may call.
        tool_context: What tool handlers know about the call.
        event_log: Where facts go.
        clock: Source of time.
    """

    def __init__(
        self,
        *,
        session_id: str,
        agent: AgentDefinition,
        prompt: str,
        services: CallServices,
        transport: CallTransport,
        tools: Sequence[Tool],
        tool_context: ToolContext,
        event_log: EventLog,
        clock: Clock,
    ):
        self.services = services
        self.transport = transport
        self.context = LLMContext(messages=_prompt_messages(prompt), tools=tools_schema(tools))
        register_tools(services.llm, tools, tool_context)
        self._ears = _Ears()
        self.observer = SessionObserver(log=event_log, clock=clock, language=agent.language)
        aggregators = LLMContextAggregatorPair(
            self.context,
            user_params=LLMUserAggregatorParams(
                user_mute_strategies=[self._ears],
                user_turn_strategies=turn_strategies(agent.turns),
                user_idle_timeout=agent.turns.user_idle_secs,
            ),
        )
        self._idle_phrase = agent.idle_phrase
        aggregators.user().add_event_handler("on_user_turn_idle", self._on_user_idle)
        aggregators.assistant().add_event_handler(
            "on_assistant_turn_stopped", self._on_assistant_turn_stopped
        )
        vad = VADProcessor(vad_analyzer=SharedSileroVADAnalyzer(params=vad_params(agent.turns)))
        cast("CallOutput", transport.output()).on_spoken = self.observer.on_spoken
        self.worker = PipelineWorker(
            Pipeline(
                [
                    transport.input(),
                    vad,
                    services.stt,
                    _Keys(self._ears, timeout=agent.turns.keys_timeout_secs),
                    aggregators.user(),
                    services.llm,
                    services.tts,
                    transport.output(),
                    aggregators.assistant(),
                ]
            ),
            params=PipelineParams(
                audio_in_sample_rate=transport.input_sample_rate,
                audio_out_sample_rate=transport.output_sample_rate,
                enable_metrics=True,
                enable_usage_metrics=True,
                send_initial_empty_metrics=False,
            ),
            observers=[self.observer],
            conversation_id=session_id,
            # Idle time, turns and RTVI are the session's and the transports' business.
            idle_timeout_secs=None,
            enable_turn_tracking=False,
            enable_rtvi=False,
            cancel_timeout_secs=CANCEL_TIMEOUT_SECS,
        )
        self.started = asyncio.Event()
        self.worker.add_event_handler("on_pipeline_started", self._on_started)

    async def run(self) -> None:
        """Run until the pipeline ends. Cancelling ends it at once and cleans up."""
        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        await runner.add_workers(self.worker)
        await runner.run()

    async def say(self, text: str) -> None:
        """Have the agent speak `text`, after what it is saying now."""
        self.observer.will_say(text)
        await self.worker.queue_frame(TTSSpeakFrame(text=text))

    async def interrupt(self) -> None:
        """Stop the agent's speech and answer at once."""
        await self.worker.queue_frame(InterruptionFrame())

    async def listen(self, *, on: bool) -> None:
        """Whether what is heard is for the agent; off, it is neither a turn nor an interruption."""
        self._ears.closed = not on
        await self.worker.queue_frame(STTMuteFrame(mute=not on))

    async def type(self, text: str) -> None:
        """Take a typed user turn and answer it."""
        await self.interrupt()
        self.observer.on_typed(text)
        message = cast(LLMContextMessage, {"role": "user", "content": text})
        await self.worker.queue_frame(LLMMessagesAppendFrame(messages=[message], run_llm=True))

    async def press(self, digit: str) -> None:
        """The caller pressed a key: `0-9`, `*`, `#` or `A-D`."""
        if digit in _KEYPAD:
            await self.worker.queue_frame(InputDTMFFrame(button=KeypadEntry(digit)))
        else:
            self.observer.on_dtmf(digit)

    def set_prompt(self, prompt: str) -> None:
        """Replace the system prompt; the next answer follows it."""
        rest = [m for m in self.context.get_messages() if not _is_system(m)]
        self.context.set_messages([*_prompt_messages(prompt), *rest])

    async def finish(self, last_words: str = "") -> None:
        """Say `last_words`, let them be heard, then end."""
        if last_words:
            await self.interrupt()
            await self.say(last_words)
        await self.worker.queue_frame(EndFrame())

    async def cancel(self) -> None:
        """End now."""
        await self.worker.cancel()

    async def _on_started(self, _worker: object, _frame: object) -> None:
        self.started.set()

    async def _on_user_idle(self, _aggregator: object) -> None:
        if self._idle_phrase:
            await self.say(self._idle_phrase)

    async def _on_assistant_turn_stopped(
        self, _aggregator: object, message: AssistantTurnStoppedMessage
    ) -> None:
        # An interrupted turn was ended when the caller began to speak; an empty one called a tool.
        if message.content and not message.interrupted:
            self.observer.on_agent_turn_ended(message.content)


class _Ears(BaseUserMuteStrategy):
    """Mutes the user while it is closed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.closed = False

    async def process_frame(self, frame: Frame) -> bool:
        """Whether the user is muted."""
        return self.closed


class _Keys(DTMFAggregator):
    """Gathers the keys a caller presses; none while the ears are closed."""

    def __init__(self, ears: _Ears, *, timeout: float):
        super().__init__(timeout=timeout)
        self._ears = ears

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Leave out keys that are not for the agent."""
        if not (isinstance(frame, InputDTMFFrame) and self._ears.closed):
            await super().process_frame(frame, direction)


def _prompt_messages(prompt: str) -> list[LLMContextMessage]:
    if not prompt:
        return []
    return [cast(LLMContextMessage, {"role": "system", "content": prompt})]


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "system"
