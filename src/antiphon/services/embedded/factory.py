"""The embedded services, as the catalogue makes them."""

from typing import TYPE_CHECKING

from antiphon.services.embedded.engine import EmbeddedEngine
from antiphon.services.embedded.llm import EmbeddedLLMService
from antiphon.services.embedded.stt import EmbeddedSTTService
from antiphon.services.embedded.tts import EmbeddedTTSService, EmbeddedTTSSettings

if TYPE_CHECKING:
    from antiphon.services.catalog import ServiceContext


def _engine(context: "ServiceContext") -> EmbeddedEngine:
    if context.engine is None:
        raise RuntimeError("the agent's embedded engine was not opened at start")
    return context.engine


def stt(context: "ServiceContext") -> EmbeddedSTTService:
    """Speech-to-text constrained by the agent's sentence templates."""
    return _engine(context).stt(source_sample_rate=context.source_sample_rate)


def llm(context: "ServiceContext") -> EmbeddedLLMService:
    """The dialogue of the agent's templates and responses."""
    return _engine(context).llm()


def tts(context: "ServiceContext") -> EmbeddedTTSService:
    """Speech by espeak-ng or flite; needs no dialogue files."""
    given = {"language": context.agent.language, **context.choice.settings}
    return EmbeddedTTSService(settings=EmbeddedTTSSettings(**given))
