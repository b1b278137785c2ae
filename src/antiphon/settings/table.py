"""The table of settings: name with unit, default, limits, help, and the other names it answers to.

The environment name of a setting is `ANTIPHON_` and its name in capitals. `also(…)` lists further
names, those of the projects that Antiphon replaces: their `.env` files keep working.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

PREFIX = "ANTIPHON_"
"""Of every setting's own name in the environment."""

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

MIN_KEY_CHARS = 16
"""Characters of the shortest API key accepted."""


def also(*names: str) -> dict[str, Any]:
    """Further environment names of a setting."""
    return {"also": list(names)}


def other_names(field: Any) -> list[str]:
    """The further environment names of a model field."""
    extra = field.json_schema_extra
    return list(extra.get("also", [])) if isinstance(extra, dict) else []


Port = Annotated[int, Field(ge=0, le=65_535)]
Secs = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
UserPath = Annotated[Path, AfterValidator(lambda path: path.expanduser())]


class Settings(BaseModel):
    """Effective settings of one process.

    Constructed directly it reads neither environment nor files; `load_settings` does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Where it answers.
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Any but loopback needs an API key or allow_anonymous.",
        json_schema_extra=also("SERVER_HOST", "PIPECAT_SERVER_HOST"),
    )
    port: Port = Field(
        8765,
        description="TCP port to listen on; 0 takes a free one.",
        json_schema_extra=also("SERVER_PORT", "PIPECAT_SERVER_PORT"),
    )
    allowed_origins: list[str] = Field(
        default_factory=list,
        description="Origins of web pages that may connect, besides the server's own; * for all.",
    )
    trusted_proxies: list[str] = Field(
        default_factory=lambda: ["127.0.0.1", "::1"],
        description="Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    )
    tls_cert_file: UserPath | None = Field(
        None, description="Certificate chain (PEM), to serve https and wss; needs tls_key_file."
    )
    tls_key_file: UserPath | None = Field(None, description="Private key (PEM) of tls_cert_file.")
    ws_ping_interval_secs: Secs = Field(20, description="Time between WebSocket pings, s.")
    ws_ping_timeout_secs: Secs = Field(20, description="Time a client has to answer a ping, s.")

    # Who may use it.
    api_keys: list[SecretStr] = Field(
        default_factory=list, description="API keys given by configuration, comma-separated."
    )
    allow_anonymous: bool = Field(False, description="Serve without a key, whatever the address.")
    ticket_ttl_secs: Secs = Field(60, description="Life of a browser's ticket, s.")

    # Where its state is.
    data_dir: UserPath = Field(
        Path("antiphon-data"), description="Directory of all state: database, recordings, keys."
    )
    database_url: str = Field(
        "", description="SQLite or PostgreSQL URL; empty: antiphon.db in the data directory."
    )
    event_commit_ms: int = Field(
        250, ge=10, le=1000, description="Longest wait before events are committed, ms."
    )

    # What answers.
    agent: str = Field("shop", description="The agent that answers by default: name or YAML file.")
    agents_dir: UserPath | None = Field(None, description="Directory of further agent files.")
    warm_decoders: int = Field(
        2, ge=0, le=64, description="Embedded recognizers kept ready for the next calls."
    )

    # Limits.
    max_sessions: int = Field(100, ge=1, le=100_000, description="Most sessions at once.")
    max_rooms: int = Field(1000, ge=1, le=1_000_000, description="Most rooms made by REST.")
    session_starts_per_minute: int = Field(
        600, ge=1, description="Session starts a minute allowed to one API key."
    )
    session_starts_per_minute_per_address: int = Field(
        120, ge=1, description="Session starts a minute allowed to one address without a key."
    )
    max_session_secs: Secs = Field(3600, description="Longest session, s.")
    idle_timeout_secs: Secs = Field(300, description="Longest time without speech, s.")
    park_timeout_secs: float = Field(
        30, ge=0, le=3600, description="How long a dropped session waits for a rejoin, s."
    )
    drain_timeout_secs: float = Field(
        30, ge=0, le=3600, description="How long calls may go on after SIGTERM, s."
    )
    max_message_bytes: int = Field(
        1_000_000, ge=10_000, le=100_000_000, description="Largest WebSocket message, bytes."
    )

    # Audio.
    output_lead_ms: int = Field(
        60, ge=0, le=100, description="How far ahead of real time audio is sent, ms."
    )
    rustpbx_output: Literal["auto", "json", "binary"] = Field(
        "auto", description="Form of the audio sent to RustPBX."
    )
    rustpbx_sample_rate: int = Field(
        16_000, ge=8000, le=48_000, description="Rate of the audio sent to RustPBX, Hz."
    )
    rustpbx_frame_ms: int = Field(
        20, ge=10, le=100, description="Length of an audio message to RustPBX, ms."
    )
    rustpbx_configure_wait_ms: int = Field(
        400, ge=0, le=5000, description="How long to wait for `configure` before answering, ms."
    )

    # Telephony: how the providers reach this server, and what signs and ends their calls.
    public_url: str = Field(
        "",
        description="URL by which telephony providers reach this server; empty: the request's own.",
        json_schema_extra=also("PUBLIC_URL"),
    )
    twilio_account_sid: str = Field(
        "", description="Twilio account.", json_schema_extra=also("TWILIO_ACCOUNT_SID")
    )
    twilio_auth_token: SecretStr | None = Field(
        None,
        description="Twilio token: verifies its requests, hangs up.",
        json_schema_extra=also("TWILIO_AUTH_TOKEN"),
    )
    telnyx_api_key: SecretStr | None = Field(
        None, description="Telnyx key: hangs up.", json_schema_extra=also("TELNYX_API_KEY")
    )
    telnyx_public_key: str = Field(
        "",
        description="Telnyx public key (base64): verifies its requests.",
        json_schema_extra=also("TELNYX_PUBLIC_KEY"),
    )
    plivo_auth_id: str = Field(
        "", description="Plivo account.", json_schema_extra=also("PLIVO_AUTH_ID")
    )
    plivo_auth_token: SecretStr | None = Field(
        None,
        description="Plivo token: verifies its requests, hangs up.",
        json_schema_extra=also("PLIVO_AUTH_TOKEN"),
    )

    # Telephony: control of calls at an Asterisk.
    asterisk_media_url: str = Field(
        "ws://127.0.0.1:8088/media",
        pattern=r"^wss?://[^?#]+$",
        description="Where channels dialled as WebSocket/INCOMING wait for a connection.",
    )
    ari_url: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="Asterisk's REST interface, http://127.0.0.1:8088/ari; empty: no call control.",
        json_schema_extra=also("ARI_URL"),
    )
    ari_username: str = Field(
        "", description="User of ari.conf.", json_schema_extra=also("ARI_USERNAME")
    )
    ari_password: SecretStr | None = Field(
        None, description="That user's password.", json_schema_extra=also("ARI_PASSWORD")
    )
    ari_app: str = Field(
        "antiphon",
        min_length=1,
        description="Stasis application; one per process.",
        json_schema_extra=also("ARI_APP"),
    )
    ari_endpoint: str = Field(
        "PJSIP/{to}@trunk",
        pattern=r"\{to\}",
        description="Dial string of a number; {to} stands for the number.",
    )
    ari_websocket_connection: str = Field(
        "antiphon",
        min_length=1,
        description="Section of websocket_client.conf that leads to this server.",
    )
    ari_websocket_options: str = Field("c(slin16)", description="Dial options of the agent's leg.")
    ari_caller_id: str = Field(
        "", description='Shown to those called: "Name" <number>; empty: the trunk\'s.'
    )
    ari_music_class: str = Field(
        "", description="Class of musiconhold.conf; empty: the channel's own."
    )
    ring_timeout_secs: int = Field(30, ge=1, le=300, description="How long a call may ring, s.")
    transfer_targets: dict[str, str] = Field(
        default_factory=dict,
        description="Who callers may be transferred to: name=number or name=endpoint, "
        "comma-separated. `transfer_to_human` takes `human`, else the first.",
    )
    transfer_confirm: bool = Field(
        False, description="A target told of a call must press 1 to take it: no voice mailbox does."
    )

    # Logs.
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged.", json_schema_extra=also("LOG_LEVEL")
    )
    debug: bool = Field(False, description="Log at debug level.", json_schema_extra=also("DEBUG"))
    log_format: Literal["text", "json"] = Field("text", description="Form of a log line.")
    log_file: UserPath | None = Field(None, description="Also log to this file.")

    log_file_max_mb: int = Field(
        50, ge=1, le=10_000, description="Size at which log_file is rotated, MB."
    )
    log_file_keep: int = Field(5, ge=0, le=1000, description="Rotated log files kept.")

    # Services: keys and the presets' own names.
    openai_api_key: SecretStr | None = Field(
        None, description="OpenAI key.", json_schema_extra=also("OPENAI_API_KEY")
    )
    deepgram_api_key: SecretStr | None = Field(
        None, description="Deepgram key.", json_schema_extra=also("DEEPGRAM_API_KEY")
    )
    cartesia_api_key: SecretStr | None = Field(
        None, description="Cartesia key.", json_schema_extra=also("CARTESIA_API_KEY")
    )
    elevenlabs_api_key: SecretStr | None = Field(
        None, description="ElevenLabs key.", json_schema_extra=also("ELEVENLABS_API_KEY")
    )
    google_api_key: SecretStr | None = Field(
        None, description="Google key.", json_schema_extra=also("GOOGLE_API_KEY")
    )
    aws_access_key_id: SecretStr | None = Field(
        None, description="AWS key id.", json_schema_extra=also("AWS_ACCESS_KEY_ID")
    )
    aws_secret_access_key: SecretStr | None = Field(
        None, description="AWS secret.", json_schema_extra=also("AWS_SECRET_ACCESS_KEY")
    )
    aws_session_token: SecretStr | None = Field(
        None, description="AWS session token.", json_schema_extra=also("AWS_SESSION_TOKEN")
    )
    aws_region: str = Field(
        "us-east-1", description="AWS region.", json_schema_extra=also("AWS_DEFAULT_REGION")
    )
    llm_model: str = Field(
        "", description="Language model to ask for.", json_schema_extra=also("LLM_MODEL")
    )
    llm_max_tokens: int | None = Field(
        None, ge=1, description="Longest answer, tokens.", json_schema_extra=also("LLM_MAX_TOKENS")
    )
    llm_temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description="Sampling temperature.",
        json_schema_extra=also("LLM_TEMPERATURE"),
    )
    tts_model: str = Field(
        "", description="Speech model or voice.", json_schema_extra=also("TTS_MODEL")
    )
    stt_model: str = Field(
        "", description="Recognition model.", json_schema_extra=also("STT_MODEL")
    )
    stt_language: str = Field(
        "", description="Language to recognize.", json_schema_extra=also("STT_LANGUAGE")
    )
    stt_service_provider: str = Field(
        "",
        description="Speech-to-text provider, by the Nova agent's names.",
        json_schema_extra=also("STT_SERVICE_PROVIDER"),
    )
    tts_service_provider: str = Field(
        "",
        description="Text-to-speech provider, by the Nova agent's names.",
        json_schema_extra=also("TTS_SERVICE_PROVIDER"),
    )
    ice_servers: str = Field(
        "", description="ICE server URLs, comma-separated.", json_schema_extra=also("ICE_SERVERS")
    )
    ec2_host: str = Field(
        "", description="Host of remote speech servers.", json_schema_extra=also("EC2_HOST")
    )
    whisper_host: str = Field(
        "",
        description="Host of WhisperLiveKit; empty: ec2_host.",
        json_schema_extra=also("EC2_HOST_WHISPER_STREAM"),
    )
    whisper_port: Port = Field(
        8000, description="Port of WhisperLiveKit.", json_schema_extra=also("EC2_WHISPER_PORT")
    )
    chatterbox_host: str = Field(
        "",
        description="Host of Chatterbox; empty: ec2_host.",
        json_schema_extra=also("EC2_HOST_CHATTERBOX"),
    )
    chatterbox_port: Port = Field(
        8004, description="Port of Chatterbox.", json_schema_extra=also("EC2_CHATTERBOX_PORT")
    )
    piper_host: str = Field(
        "",
        description="Host of Piper; empty: ec2_host.",
        json_schema_extra=also("EC2_HOST_PIPER"),
    )
    piper_port: Port = Field(
        5002, description="Port of Piper.", json_schema_extra=also("EC2_PIPER_PORT")
    )

    @field_validator("allowed_origins", "trusted_proxies", "api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value

    @field_validator("transfer_targets", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [item.partition("=") for item in value.split(",") if item.strip()]
        if any(not (name.strip() and target.strip()) for name, _, target in pairs):
            raise ValueError("must be name=number pairs, comma-separated, e.g. sales=100,boss=101")
        return {name.strip(): target.strip() for name, _, target in pairs}

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        if isinstance(value, str):
            return {"warn": "warning", "critical": "error", "trace": "debug"}.get(
                value.lower(), value.lower()
            )
        return value

    @field_validator("rustpbx_frame_ms")
    @classmethod
    def _tens(cls, value: int) -> int:
        if value % 10:
            raise ValueError("must be a multiple of 10 ms")
        return value

    @field_validator("api_keys")
    @classmethod
    def _long_enough(cls, value: list[SecretStr]) -> list[SecretStr]:
        if any(len(key.get_secret_value()) < MIN_KEY_CHARS for key in value):
            raise ValueError(
                f"each key needs at least {MIN_KEY_CHARS} characters (openssl rand -hex 32)"
            )
        return value

    @property
    def effective_log_level(self) -> str:
        """`debug` when debug is set, else `log_level`."""
        return "debug" if self.debug else self.log_level

    @property
    def effective_database_url(self) -> str:
        """`database_url`, or the SQLite file in the data directory."""
        return (
            self.database_url or f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'antiphon.db'}"
        )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host in LOOPBACK_HOSTS:
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


SECRET_FIELDS = frozenset(
    name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
)
"""Settings whose values are never shown."""
