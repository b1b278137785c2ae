"""Cartesia: speech-to-text and text-to-speech, streamed over WebSockets."""

from typing import TYPE_CHECKING

from pipecat.services.cartesia.stt import CartesiaSTTService
from pipecat.services.cartesia.tts import CartesiaTTSService

if TYPE_CHECKING:
    from antiphon.services.catalog import ServiceContext

DEFAULT_VOICE = "71a7ad14-091c-4e8e-a314-022ece01c121"
"""Cartesia's British reading lady, the voice of Pipecat's own examples."""


def stt(context: "ServiceContext") -> CartesiaSTTService:
    """Live transcription."""
    given = {"language": context.option("language", "stt_language", context.agent.language)}
    if model := context.option("model", "stt_model"):
        given["model"] = model
    return CartesiaSTTService(
        api_key=context.secret("cartesia_api_key"), settings=CartesiaSTTService.Settings(**given)
    )


def tts(context: "ServiceContext") -> CartesiaTTSService:
    """Streaming speech with word times."""
    given = {"voice": context.choice.settings.get("voice", DEFAULT_VOICE)}
    if model := context.option("model", "tts_model"):
        given["model"] = model
    return CartesiaTTSService(
        api_key=context.secret("cartesia_api_key"), settings=CartesiaTTSService.Settings(**given)
    )
