"""Where settings come from, and what is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import ConfigurationError
from antiphon.settings import Loaded, Settings, exposure_problem, load_settings

# What the .env files of the documents for RustPBX, Nova and the browser hold, as they write it.
RUSTPBX_MEDIA_SERVER = """
# Core API Keys
DEEPGRAM_API_KEY=deepgram-secret
OPENAI_API_KEY=openai-secret

# Server Settings
PIPECAT_SERVER_HOST=0.0.0.0
PIPECAT_SERVER_PORT=8766
LOG_LEVEL=INFO

# AI Model Settings
LLM_MODEL=gpt-4o-mini
LLM_MAX_TOKENS=150
LLM_TEMPERATURE=0.7
TTS_MODEL=aura-asteria-en
STT_MODEL=nova
STT_LANGUAGE=en
"""
RUSTPBX_VOICE_AGENT = """
OPENAI_API_KEY=openai-secret
CARTESIA_API_KEY=cartesia-secret
SERVER_HOST=0.0.0.0
SERVER_PORT=8765
export DEBUG=true
DAILY_API_KEY=unrelated
"""
NOVA = """
STT_SERVICE_PROVIDER=WHISPER_STREAM
TTS_SERVICE_PROVIDER=CHATTERBOX_SERVER
ICE_SERVERS=stun:stun.l.google.com:19302,turn:turn.example.org
EC2_HOST=10.0.0.5
EC2_HOST_WHISPER_STREAM=10.0.0.6
EC2_HOST_CHATTERBOX=
EC2_HOST_PIPER=
EC2_WHISPER_PORT=8000
EC2_CHATTERBOX_PORT=8004
EC2_PIPER_PORT=5002
AWS_ACCESS_KEY_ID=id
AWS_SECRET_ACCESS_KEY=secret
AWS_SESSION_TOKEN=
AWS_DEFAULT_REGION=eu-west-1
ELEVENLABS_API_KEY=
COMPOSE_PROJECT_NAME=nova
"""


def load(directory: Path, environment: Mapping[str, str] | None = None, **options: Any) -> Loaded:
    return load_settings(options, environment=environment or {}, directory=directory)


def problems_of(directory: Path, environment: Mapping[str, str], **options: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(directory, environment, **options)
    return caught.value.problems


def test_nothing_given_is_all_defaults(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert (loaded.settings.host, loaded.settings.port) == ("127.0.0.1", 8765)


def test_the_nearer_source_wins_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text(
        'port = 1\nmax_sessions = 1\nmax_rooms = 1\nlog_format = "json"\n'
    )
    (tmp_path / ".env").write_text(
        "ANTIPHON_PORT=2\nANTIPHON_MAX_SESSIONS=2\nANTIPHON_MAX_ROOMS=2\n"
    )
    environment = {"ANTIPHON_PORT": "3", "ANTIPHON_MAX_SESSIONS": "3"}
    loaded = load(tmp_path, environment, port=4)
    settings = loaded.settings
    assert (settings.port, settings.max_sessions, settings.max_rooms) == (4, 3, 2)
    assert settings.log_format == "json"
    assert loaded.origins["port"] == "command line --port"
    assert loaded.origins["max_sessions"] == "environment ANTIPHON_MAX_SESSIONS"
    assert loaded.origins["max_rooms"] == ".env ANTIPHON_MAX_ROOMS"
    assert loaded.origins["log_format"] == "antiphon.toml log_format"
    assert loaded.origins["agent"] == "default"


def test_the_env_file_of_the_rustpbx_media_server_is_understood(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(RUSTPBX_MEDIA_SERVER)
    loaded = load(tmp_path)
    settings = loaded.settings
    assert (settings.host, settings.port) == ("0.0.0.0", 8766)
    assert loaded.origins["port"] == ".env PIPECAT_SERVER_PORT"
    assert settings.effective_log_level == "info"
    assert (settings.llm_model, settings.llm_max_tokens) == ("gpt-4o-mini", 150)
    assert settings.llm_temperature == 0.7
    assert (settings.tts_model, settings.stt_model) == ("aura-asteria-en", "nova")
    assert settings.stt_language == "en"
    assert settings.deepgram_api_key is not None
    assert settings.deepgram_api_key.get_secret_value() == "deepgram-secret"


def test_the_env_file_of_the_rustpbx_voice_agent_is_understood(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(RUSTPBX_VOICE_AGENT)
    settings = load(tmp_path).settings
    assert (settings.host, settings.port) == ("0.0.0.0", 8765)
    assert settings.cartesia_api_key is not None
    assert settings.effective_log_level == "debug"


def test_the_env_file_of_nova_is_understood(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(NOVA)
    settings = load(tmp_path).settings
    assert settings.stt_service_provider == "WHISPER_STREAM"
    assert settings.tts_service_provider == "CHATTERBOX_SERVER"
    assert settings.whisper_host == "10.0.0.6"
    assert settings.chatterbox_host == ""
    assert settings.aws_region == "eu-west-1"
    assert settings.aws_session_token is None


def test_an_empty_value_counts_as_not_given(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ANTIPHON_PORT=9000\n")
    assert load(tmp_path, {"ANTIPHON_PORT": " "}).settings.port == 9000


def test_every_problem_of_every_source_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text("max_session = 3\n")
    (tmp_path / ".env").write_text("ANTIPHON_LOG_LEVEL=loud\n")
    found = problems_of(
        tmp_path,
        {"SERVER_PORT": "99999", "ANTIPHON_AGENTT": "shop", "ANTIPHON_TLS_KEY_FILE": "k.pem"},
    )
    text = "\n".join(found)
    assert "max_session (antiphon.toml) is not a setting; did you mean max_sessions?" in text
    assert "ANTIPHON_AGENTT (environment) is not a setting; did you mean ANTIPHON_AGENT?" in text
    assert "port (from environment SERVER_PORT) is '99999'" in text
    assert "log_level (from .env ANTIPHON_LOG_LEVEL) is 'loud'" in text
    assert "tls_cert_file and tls_key_file go together, but tls_cert_file is not set" in text
    assert len(found) == 5


def test_a_bad_secret_is_not_repeated_in_the_refusal(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, {"ANTIPHON_API_KEYS": "tooshort"})
    assert "tooshort" not in problem
    assert "16 characters" in problem


def test_two_other_names_with_different_values_are_refused_naming_both(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, {"SERVER_PORT": "1", "PIPECAT_SERVER_PORT": "2"})
    assert "SERVER_PORT=1 and PIPECAT_SERVER_PORT=2 (environment)" in problem


def test_two_names_with_the_same_value_or_our_own_name_are_no_contradiction(
    tmp_path: Path,
) -> None:
    same = {"SERVER_PORT": "1", "PIPECAT_SERVER_PORT": "1"}
    assert load(tmp_path, same).settings.port == 1
    loaded = load(tmp_path, {**same, "ANTIPHON_PORT": "3"})
    assert loaded.settings.port == 3
    assert loaded.origins["port"] == "environment ANTIPHON_PORT"


def test_names_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1\nPATH=/bin\nAPI_KEYS=x\n")
    assert load(tmp_path, {"HOST": "0.0.0.0", "AGENT": "x"}).settings == Settings()


def test_a_service_variable_of_kubernetes_is_explained(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, {"ANTIPHON_PORT": "tcp://10.0.0.1:8765"})
    assert "enableServiceLinks: false" in problem


def test_a_named_configuration_file_must_exist(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, {"ANTIPHON_CONFIG": str(tmp_path / "other.toml")})
    assert "other.toml does not exist" in problem
    (tmp_path / "other.toml").write_text("port = 7\n")
    loaded = load(tmp_path, {"ANTIPHON_CONFIG": str(tmp_path / "other.toml")})
    assert loaded.origins["port"] == "other.toml port"


@pytest.mark.parametrize("text", ["port = ", "port = 1\nport = 2", "\x00"])
def test_a_broken_configuration_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "antiphon.toml").write_text(text)
    (problem,) = problems_of(tmp_path, {})
    assert problem.startswith(str(tmp_path / "antiphon.toml"))


def test_lists_are_split_at_commas_and_are_lists_in_toml(tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text('trusted_proxies = ["10.0.0.1"]\n')
    environment = {"ANTIPHON_ALLOWED_ORIGINS": "https://a.example, https://b.example"}
    settings = load(tmp_path, environment).settings
    assert settings.allowed_origins == ["https://a.example", "https://b.example"]
    assert settings.trusted_proxies == ["10.0.0.1"]


def test_secrets_of_an_env_file_are_taken_literally(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=a${HOME}b\n")
    key = load(tmp_path).settings.openai_api_key
    assert key is not None
    assert key.get_secret_value() == "a${HOME}b"


def test_settings_that_exclude_one_another_are_refused(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        {
            "ANTIPHON_ALLOW_ANONYMOUS": "true",
            "ANTIPHON_API_KEYS": "0123456789abcdef",
            "ANTIPHON_IDLE_TIMEOUT_SECS": "600",
            "ANTIPHON_MAX_SESSION_SECS": "60",
            "AWS_ACCESS_KEY_ID": "id",
        },
    )
    assert [problem.split()[0] for problem in found] == [
        "aws_access_key_id",
        "idle_timeout_secs",
        "allow_anonymous",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    assert exposure_problem(Settings(host=host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.200", "voice.example.org"])
def test_an_address_others_can_reach_needs_a_key_or_leave(host: str) -> None:
    problem = exposure_problem(Settings(host=host), origins={"host": ".env SERVER_HOST"})
    assert problem is not None
    assert f"{host!r} (from .env SERVER_HOST)" in problem
    assert exposure_problem(Settings(host=host, allow_anonymous=True)) is None
    assert exposure_problem(Settings.model_validate({"host": host, "api_keys": "k" * 16})) is None


@given(
    name=st.sampled_from(sorted(Settings.model_fields)),
    value=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
)
def test_any_text_as_a_value_gives_settings_or_a_refusal(name: str, value: str) -> None:
    try:
        loaded = load_settings(
            environment={f"ANTIPHON_{name.upper()}": value}, directory=Path("/nonexistent")
        )
    except ConfigurationError as error:
        refused = error.problems
    else:
        refused = []
        assert set(loaded.origins) == set(Settings.model_fields)
    assert all(problem.strip() for problem in refused)
