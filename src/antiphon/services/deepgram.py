"""Deepgram: speech-to-text (nova) and text-to-speech (aura), streamed over WebSockets."""

from typing import TYPE_CHECKING

from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.deepgram.tts import DeepgramTTSService

if TYPE_CHECKING:
    from antiphon.services.catalog import ServiceContext

DEFAULT_STT_MODEL = "nova-3"
DEFAULT_VOICE = "aura-2-helena-en"


def stt(context: "ServiceContext") -> DeepgramSTTService:
    """Live transcription."""
    return DeepgramSTTService(
        api_key=context.secret("deepgram_api_key"),
        settings=DeepgramSTTService.Settings(
            model=context.option("model", "stt_model", DEFAULT_STT_MODEL),
            language=context.option("language", "stt_language", context.agent.language),
        ),
    )


def tts(context: "ServiceContext") -> DeepgramTTSService:
    """Streaming speech; Deepgram's voice name is its model."""
    return DeepgramTTSService(
        api_key=context.secret("deepgram_api_key"),
        settings=DeepgramTTSService.Settings(
            voice=context.option("voice", "tts_model", DEFAULT_VOICE)
        ),
    )
