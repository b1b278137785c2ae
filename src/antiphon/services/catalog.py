"""All services an agent can name, and how each is made.

A provider's module is imported only when an agent uses it, so that a missing extra harms nobody
else; what is missing is found at start and said in one sentence with the fix.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from antiphon.domain.agent import AgentDefinition, ServiceChoice
from antiphon.errors import ConfigurationError
from antiphon.services.embedded.engine import EmbeddedEngine

Kind = Literal["stt", "llm", "tts"]
KINDS: tuple[Kind, ...] = ("stt", "llm", "tts")


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What a service is made from, for one call."""

    agent: AgentDefinition
    choice: ServiceChoice
    secrets: Mapping[str, str]
    """Setting name (`openai_api_key`) to secret."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings from the environment (`llm_model`, `llm_temperature`…), under the agent's own."""
    engine: EmbeddedEngine | None = None
    source_sample_rate: int = 16_000
    """Hz, of the caller's audio before resampling."""

    def secret(self, name: str) -> str:
        """A secret that `check` has found to be there."""
        return self.secrets[name]

    def option(self, name: str, setting: str, default: Any = None) -> Any:
        """The agent's setting `name`, else the environment's `setting`, else `default`."""
        value = self.choice.settings.get(name)
        if value is None:
            value = self.defaults.get(setting)
        return default if value in (None, "") else value


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service of the catalogue."""

    kind: Kind
    name: str
    title: str
    factory: str
    """`module:function`, imported on use: `ServiceContext` to Pipecat service."""
    extra: str = ""
    """Extra of this package that it needs: `pip install 'antiphon[extra]'`."""
    needs: tuple[str, ...] = ()
    """Settings (secrets) without which it cannot work."""
    settings: tuple[str, ...] = ()
    """Settings an agent may give it."""

    def load(self) -> Callable[[ServiceContext], Any]:
        """Import the factory.

        Raises:
            ConfigurationError: the extra is not installed.
        """
        if (registered := _FACTORIES.get((self.kind, self.name))) is not None:
            return registered
        module, function = self.factory.split(":")
        try:
            return getattr(import_module(module), function)  # type: ignore[no-any-return]
        except ImportError as error:
            raise ConfigurationError(
                [f"{self.kind} {self.name}: {error}; pip install 'antiphon[{self.extra}]'"]
            ) from error


_EMBEDDED = "antiphon.services.embedded.factory"

CATALOG: tuple[ServiceSpec, ...] = (
    ServiceSpec("stt", "embedded", "PocketSphinx in this process", f"{_EMBEDDED}:stt"),
    ServiceSpec("llm", "embedded", "Sentence templates in this process", f"{_EMBEDDED}:llm"),
    ServiceSpec(
        "tts",
        "embedded",
        "espeak-ng or flite in this process",
        f"{_EMBEDDED}:tts",
        settings=("model", "voice", "rate_wpm", "pitch", "volume"),
    ),
    ServiceSpec(
        "llm",
        "openai",
        "OpenAI, or any server that speaks its API",
        "antiphon.services.openai:llm",
        extra="openai",
        needs=("openai_api_key",),
        settings=("model", "base_url", "temperature", "max_tokens"),
    ),
    ServiceSpec(
        "stt",
        "deepgram",
        "Deepgram",
        "antiphon.services.deepgram:stt",
        extra="deepgram",
        needs=("deepgram_api_key",),
        settings=("model", "language"),
    ),
    ServiceSpec(
        "tts",
        "deepgram",
        "Deepgram Aura",
        "antiphon.services.deepgram:tts",
        extra="deepgram",
        needs=("deepgram_api_key",),
        settings=("voice",),
    ),
    ServiceSpec(
        "stt",
        "cartesia",
        "Cartesia",
        "antiphon.services.cartesia:stt",
        extra="cartesia",
        needs=("cartesia_api_key",),
        settings=("model", "language"),
    ),
    ServiceSpec(
        "tts",
        "cartesia",
        "Cartesia",
        "antiphon.services.cartesia:tts",
        extra="cartesia",
        needs=("cartesia_api_key",),
        settings=("model", "voice"),
    ),
)

_BY_NAME: dict[tuple[str, str], ServiceSpec] = {(spec.kind, spec.name): spec for spec in CATALOG}


_FACTORIES: dict[tuple[str, str], Callable[[ServiceContext], Any]] = {}


def register(spec: ServiceSpec, factory: Callable[[ServiceContext], Any]) -> None:
    """Add a service of your own to the catalogue of this process, or replace one.

    Args:
        spec: Its row; `spec.factory` is for display only.
        factory: Makes the service of a call.
    """
    _BY_NAME[spec.kind, spec.name] = spec
    _FACTORIES[spec.kind, spec.name] = factory


def find(kind: Kind, name: str) -> ServiceSpec:
    """The service of a kind by name.

    Raises:
        ConfigurationError: there is none; the message lists what there is.
    """
    spec = _BY_NAME.get((kind, name))
    if spec is None:
        known = ", ".join(s.name for s in CATALOG if s.kind == kind)
        raise ConfigurationError([f"services.{kind}: there is no service {name!r}; known: {known}"])
    return spec


def choices(agent: AgentDefinition) -> dict[Kind, ServiceChoice]:
    """The preferred service of each kind."""
    return {
        "stt": agent.services.stt[0],
        "llm": agent.services.llm[0],
        "tts": agent.services.tts[0],
    }


def check(agent: AgentDefinition, secrets: Mapping[str, str]) -> list[str]:
    """Every reason why the agent's services cannot work; empty when they can."""
    problems: list[str] = []
    for kind in KINDS:
        for choice in getattr(agent.services, kind):
            try:
                spec = find(kind, choice.name)
                spec.load()
            except ConfigurationError as error:
                problems += error.problems
                continue
            problems += [
                f"{kind} {choice.name}: needs {name.upper()}; set it in the environment or in .env"
                for name in spec.needs
                if not secrets.get(name)
            ]
            problems += [
                f"services.{kind}: {choice.name} has no setting {name!r}; "
                f"it has: {', '.join(spec.settings) or 'none'}"
                for name in choice.settings
                if name not in spec.settings
            ]
    return problems


def uses_embedded(agent: AgentDefinition) -> bool:
    """Whether any service of the agent is an embedded one that needs its dialogue files."""
    return any(
        choice.name == "embedded"
        for kind in ("stt", "llm")
        for choice in getattr(agent.services, kind)
    )


def make(kind: Kind, context: ServiceContext) -> Any:
    """A service for one call."""
    return find(kind, context.choice.name).load()(context)
