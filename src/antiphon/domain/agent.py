"""The agent definition: what a YAML file in `agents/` says, validated.

Pydantic models, because the file is configuration; nothing here is on the audio path. The JSON
schema for editors is `AgentDefinition.model_json_schema()` (`antiphon agents schema`).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceChoice(_Strict):
    """One service an agent uses, by its name in the catalogue, with its settings."""

    name: str = Field(description="Name in the service catalogue, e.g. `embedded` or `openai`.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the service, as its page in the docs lists them (model, voice…).",
    )


class Services(_Strict):
    """The services of an agent; each list is in order of preference, the rest are fallbacks."""

    stt: list[ServiceChoice] = Field(
        default_factory=lambda: [ServiceChoice(name="embedded")],
        description="Speech-to-text, in order of preference.",
    )
    llm: list[ServiceChoice] = Field(
        default_factory=lambda: [ServiceChoice(name="embedded")],
        description="Language model, in order of preference.",
    )
    tts: list[ServiceChoice] = Field(
        default_factory=lambda: [ServiceChoice(name="embedded")],
        description="Text-to-speech, in order of preference.",
    )

    @field_validator("stt", "llm", "tts", mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        """Accept `stt: embedded` and `stt: [embedded, {name: …}]` for the long form."""
        if isinstance(value, str | dict):
            value = [value]
        if isinstance(value, list):
            if not value:
                raise ValueError("must name at least one service")
            return [{"name": item} if isinstance(item, str) else item for item in value]
        return value


class TurnPolicy(_Strict):
    """When a user turn starts and ends, and whether the caller may interrupt."""

    vad_confidence: float = Field(0.7, ge=0.05, le=1, description="Silero confidence for speech.")
    vad_start_secs: float = Field(0.2, ge=0.02, le=2, description="Speech before a start, s.")
    vad_stop_secs: float = Field(0.2, ge=0.05, le=5, description="Silence before a stop, s.")
    vad_min_volume: float = Field(
        0.0, ge=0, le=1, description="Least loudness (RMS, 0 to 1) of a window counted as speech."
    )
    end_of_turn: Literal["speech_timeout", "smart_turn"] = Field(
        "speech_timeout", description="How the end of the caller's turn is decided."
    )
    speech_timeout_secs: float = Field(
        0.2, ge=0, le=5, description="Wait after the VAD stop before the turn ends, s."
    )
    interruptible: bool = Field(True, description="Whether the caller may speak over the agent.")
    keys_timeout_secs: float = Field(
        2.0, ge=0.2, le=30, description="Wait after a telephone key before the keys are read, s."
    )
    user_idle_secs: float = Field(
        0, ge=0, le=600, description="Say `idle_phrase` after this much silence, s; 0: never."
    )


class AgentLimits(_Strict):
    """Limits of this agent's sessions; unset ones come from the server's settings."""

    max_session_secs: float | None = Field(None, gt=0, description="Longest session, s.")
    idle_secs: float | None = Field(None, gt=0, description="Longest time without speech, s.")


class Dialogue(_Strict):
    """Files the embedded engine works from."""

    sentences: str = Field(
        description="hassil sentence templates, relative to the agent file: what can be heard."
    )
    responses: str = Field(
        description="What each intent does and says, relative to the agent file."
    )


class AgentDefinition(_Strict):
    """One agent: prompt, greeting, language, services, tools, turn policy, limits."""

    name: Name = Field(description="Unique name, used in URLs: lower case, digits, - and _.")
    title: str = Field("", max_length=100, description="Shown to people.")
    description: str = Field("", max_length=1000)
    language: str = Field("en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    prompt: str = Field("", max_length=100_000, description="System prompt of the language model.")
    greeting: str = Field(
        "", max_length=2000, description="Spoken first; empty: the caller speaks first."
    )
    resume_phrase: str = Field(
        "Sorry, we were cut off. Let's go on.",
        max_length=500,
        description="Spoken when a dropped caller comes back.",
    )
    idle_phrase: str = Field(
        "Are you still there?",
        max_length=500,
        description="Spoken when the caller has been silent for `turns.user_idle_secs`.",
    )
    goodbye: str = Field(
        "I have to end this call now. Goodbye.",
        max_length=500,
        description="Spoken when the server shuts down or a limit ends the session.",
    )
    services: Services = Field(default_factory=Services)
    tools: list[str] = Field(default_factory=list, description="Names of tool sets, e.g. `shop`.")
    turns: TurnPolicy = Field(default_factory=TurnPolicy)
    limits: AgentLimits = Field(default_factory=AgentLimits)
    dialogue: Dialogue | None = Field(
        None, description="Needed when a service of the agent is `embedded`."
    )
