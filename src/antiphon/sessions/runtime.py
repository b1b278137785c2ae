"""An agent ready to answer: its definition and all that its calls share."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from antiphon.agents.loader import LoadedAgent
from antiphon.clock import Clock
from antiphon.domain.agent import AgentDefinition
from antiphon.errors import ConfigurationError
from antiphon.inference.vad import shared_silero
from antiphon.pipeline.build import CallServices
from antiphon.services import catalog
from antiphon.services.embedded.engine import EmbeddedEngine
from antiphon.sessions.call_tools import Exchange, call_tools
from antiphon.tools.base import SlotValue, Tool, ToolContext, ToolSet
from antiphon.tools.call import EndCall
from antiphon.tools.registry import build_toolsets

log = logging.getLogger(__name__)


class AgentRuntime:
    """One agent of this process.

    Build with `open`; the constructor only stores.
    """

    def __init__(
        self,
        agent: LoadedAgent,
        *,
        toolsets: Sequence[ToolSet],
        engine: EmbeddedEngine | None,
        secrets: Mapping[str, str],
        defaults: Mapping[str, Any],
        exchange: Exchange | None = None,
    ):
        self.agent = agent
        self._toolsets = toolsets
        self._engine = engine
        self._secrets = secrets
        self._defaults = defaults
        self._exchange = exchange

    @property
    def definition(self) -> AgentDefinition:
        """What the agent file says."""
        return self.agent.definition

    @property
    def service_names(self) -> dict[str, str]:
        """Kind to name of the service in use."""
        return {kind: choice.name for kind, choice in catalog.choices(self.definition).items()}

    @classmethod
    async def open(
        cls,
        agent: LoadedAgent,
        *,
        data_dir: Path,
        secrets: Mapping[str, str],
        defaults: Mapping[str, Any],
        warm_decoders: int,
        clock: Clock,
        exchange: Exchange | None = None,
    ) -> "AgentRuntime":
        """Check the services, open the tools, load the models; blocking work is in threads.

        Raises:
            ConfigurationError: with everything that is wrong with the agent's services and files.
        """
        problems = catalog.check(agent.definition, secrets)
        if problems:
            raise ConfigurationError(problems, source=f"agent {agent.name}")
        toolsets = build_toolsets(
            agent.definition.tools, data_dir=data_dir, agent_dir=agent.directory, clock=clock
        )
        for toolset in toolsets:
            await toolset.open()
        await asyncio.to_thread(shared_silero)
        engine = None
        if catalog.uses_embedded(agent.definition):
            engine = await asyncio.to_thread(_engine, agent, toolsets, warm_decoders)
        return cls(
            agent,
            toolsets=toolsets,
            engine=engine,
            secrets=secrets,
            defaults=defaults,
            exchange=exchange,
        )

    def services(self, *, source_sample_rate: int) -> CallServices:
        """The services of one call.

        Args:
            source_sample_rate: Rate of the caller's audio as it arrives, Hz.
        """
        made = {
            kind: catalog.make(
                kind,
                catalog.ServiceContext(
                    agent=self.definition,
                    choice=choice,
                    secrets=self._secrets,
                    defaults=self._defaults,
                    engine=self._engine,
                    source_sample_rate=source_sample_rate,
                ),
            )
            for kind, choice in catalog.choices(self.definition).items()
        }
        return CallServices(stt=made["stt"], llm=made["llm"], tts=made["tts"])

    def tools(self, end_call: EndCall) -> list[Tool]:
        """The tools of one call; `end_call` ends it after the goodbye."""
        tools = [tool for toolset in self._toolsets for tool in toolset.tools()]
        return tools + call_tools(self.definition.tools, tools, end_call, self._exchange)

    async def close(self) -> None:
        """Release the models and the tools."""
        if self._engine is not None:
            await asyncio.to_thread(self._engine.close)
        for toolset in self._toolsets:
            await toolset.close()


def _engine(agent: LoadedAgent, toolsets: Sequence[ToolSet], warm: int) -> EmbeddedEngine:
    lists: dict[str, Sequence[SlotValue]] = {}
    names: set[str] = set()
    for toolset in toolsets:
        lists.update(toolset.slot_lists())
        names.update(tool.name for tool in toolset.tools())
    names.update(tool.name for tool in call_tools(agent.definition.tools, (), _never, None))
    engine = EmbeddedEngine(agent, slot_lists=lists, tools=names)
    engine.prepare(warm)
    return engine


async def _never(_context: ToolContext, _reason: str) -> None:
    """Stands where only the tools' names are wanted."""
