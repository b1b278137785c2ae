"""The embedded dialogue engine as a Pipecat language-model service."""

import re
import uuid
from collections.abc import Sequence
from typing import Any

import pipecat.adapters.llm.services.open_ai_adapter  # noqa: F401 - 0.7 s: not in the first call
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings

from antiphon.services.embedded.dialogue import CallTool, Dialogue, Say

MODEL = "embedded-dialogue"

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class EmbeddedLLMService(LLMService):
    """Answers by the agent's sentence templates, with no model and no network.

    It acts through the same path as any language model: tools are called with
    `run_function_calls`, results come back through the context, text leaves sentence by sentence.
    The system prompt is accepted and has no effect; neither have sampling settings. Tools must be
    registered under the names in the agent's responses file. The greeting is not said here.

    The usage it reports counts words, as it has no tokens.

    Args:
        dialogue: The agent's policy; may be shared by all of its sessions.
        **kwargs: For `LLMService`.
    """

    def __init__(self, *, dialogue: Dialogue, **kwargs: Any):
        super().__init__(
            settings=LLMSettings(
                model=MODEL,
                system_instruction=None,
                temperature=None,
                max_tokens=None,
                top_p=None,
                top_k=None,
                frequency_penalty=None,
                presence_penalty=None,
                seed=None,
                filter_incomplete_user_turns=False,
                user_turn_completion_config=None,
                use_provider_thinking_default=False,
            ),
            **kwargs,
        )
        self._dialogue = dialogue

    def can_generate_metrics(self) -> bool:
        """Time to first byte, processing time and usage are reported."""
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer context frames; pass everything else on."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            await self.start_processing_metrics()
            await self._process_context(frame.context)
            await self.stop_processing_metrics()
        finally:
            await self.push_frame(LLMFullResponseEndFrame())

    async def run_inference(
        self,
        context: LLMContext,
        max_tokens: int | None = None,
        system_instruction: str | None = None,
        response_schema: dict[str, Any] | None = None,
    ) -> str | None:
        """What would be said next, outside of the pipeline; None if a tool would be called."""
        action = self._dialogue.decide(context.get_messages())
        return action.text if isinstance(action, Say) else None

    async def _process_context(self, context: LLMContext) -> None:
        await self.start_ttfb_metrics()
        messages = context.get_messages()
        action = self._dialogue.decide(messages)
        await self.stop_ttfb_metrics()
        if action is None:
            return
        said = action.text if isinstance(action, Say) else ""
        await self._report_usage(messages, said)
        if isinstance(action, CallTool):
            await self._call(context, action)
            return
        for sentence in _SENTENCE_END.split(action.text):
            await self._push_llm_text(f"{sentence} ")

    async def _call(self, context: LLMContext, action: CallTool) -> None:
        call = FunctionCallFromLLM(
            function_name=action.name,
            tool_call_id=f"call_{uuid.uuid4().hex}",
            arguments=action.arguments,
            context=context,
        )
        await self.run_function_calls([call])

    async def _report_usage(self, messages: Sequence[Any], said: str) -> None:
        last = messages[-1].get("content") if messages and isinstance(messages[-1], dict) else ""
        heard = len(str(last or "").split())
        answered = len(said.split())
        await self.start_llm_usage_metrics(
            LLMTokenUsage(
                prompt_tokens=heard, completion_tokens=answered, total_tokens=heard + answered
            )
        )
