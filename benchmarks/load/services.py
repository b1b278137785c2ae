"""Services that cost nothing, so that what is measured is the server's own share."""

import math
from array import array
from collections.abc import AsyncGenerator

from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language

RATE = 16_000
ANSWER_SECS = 2
TONE = array(
    "h", [int(8000 * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(RATE * ANSWER_SECS)]
).tobytes()


class BenchSTT(STTService):
    """Answers every end of speech with the same transcript."""

    def __init__(self) -> None:
        super().__init__(
            audio_passthrough=False,
            ttfs_p99_latency=0.25,
            settings=STTSettings(model="bench", language=Language.EN),
        )

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            text = TranscriptionFrame("what is in my cart", "user", "", Language.EN)
            text.finalized = True
            await self.push_frame(text)


class StockSTT(BenchSTT):
    """The same where the aggregator behind it runs the VAD and needs the audio."""

    def __init__(self) -> None:
        super().__init__()
        self._audio_passthrough = True


class BenchLLM(LLMService):
    """Answers every context with the same sentence."""

    def __init__(self) -> None:
        super().__init__(
            settings=LLMSettings(
                model="bench",
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
            )
        )

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self.push_frame(LLMFullResponseStartFrame())
            await self._push_llm_text("Your cart is empty.")
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)


class BenchTTS(TTSService):
    """Speaks two seconds of a tone at once."""

    def __init__(self) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model="bench", voice="bench", language=Language.EN),
        )

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        yield TTSAudioRawFrame(TONE, RATE, 1, context_id=context_id)
