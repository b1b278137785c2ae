"""The embedded default of one agent: what its calls share, loaded once."""

from collections.abc import Collection, Mapping, Sequence

from antiphon.agents.loader import LoadedAgent
from antiphon.errors import ConfigurationError
from antiphon.services.embedded.dialogue import Dialogue
from antiphon.services.embedded.llm import EmbeddedLLMService
from antiphon.services.embedded.recognizer import Recognizer
from antiphon.services.embedded.sentences import SentenceSet
from antiphon.services.embedded.stt import EmbeddedSTTService
from antiphon.tools.base import SlotValue


class EmbeddedEngine:
    """Recognizer and dialogue of one agent; its services are made for each call.

    Args:
        agent: The agent, with its dialogue files.
        slot_lists: Values of the template lists that the agent's tools supply.
        tools: Names of all tools the agent may call.

    Raises:
        ConfigurationError: the agent names no dialogue files, or they cannot be used.
    """

    def __init__(
        self,
        agent: LoadedAgent,
        *,
        slot_lists: Mapping[str, Sequence[SlotValue]],
        tools: Collection[str],
    ):
        if agent.sentences_path is None or agent.responses_path is None:
            raise ConfigurationError(
                ["dialogue: needed for the embedded services: name `sentences` and `responses`"],
                source=agent.name,
            )
        sentences = SentenceSet.load(agent.sentences_path, slot_lists)
        self._dialogue = Dialogue.load(sentences, agent.responses_path, tools)
        self._recognizer = Recognizer(sentences)

    def prepare(self, decoders: int) -> None:
        """Load `decoders` recognizers ahead of the first calls (60 to 100 ms of CPU each)."""
        self._recognizer.prepare(decoders)

    def stt(self, *, source_sample_rate: int) -> EmbeddedSTTService:
        """Speech-to-text for one call whose audio came at `source_sample_rate` Hz."""
        return EmbeddedSTTService(self._recognizer, source_sample_rate=source_sample_rate)

    def llm(self) -> EmbeddedLLMService:
        """The dialogue for one call."""
        return EmbeddedLLMService(dialogue=self._dialogue)

    def close(self) -> None:
        """Release the recognizer's files and decoders."""
        self._recognizer.close()
