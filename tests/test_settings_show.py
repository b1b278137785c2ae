"""The settings as people see them: complete, explained, never a secret."""

from pathlib import Path

from antiphon.settings import (
    SECRET_FIELDS,
    Settings,
    load_settings,
    provider_secrets,
    secret_values,
    setting_infos,
    setting_rows,
    shown,
)

NO_FILES = Path("/nonexistent")


def test_no_secret_is_shown_whatever_field_it_is_in() -> None:
    environment = {
        f"ANTIPHON_{name.upper()}": f"very-secret-value-of-{name}" for name in SECRET_FIELDS
    }
    environment["ANTIPHON_DATABASE_URL"] = "postgresql://me:hunter22@db/antiphon?password=hunter22"
    loaded = load_settings(environment=environment, directory=NO_FILES)
    text = "\n".join(f"{row.value} {row.origin}" for row in setting_rows(loaded))
    assert "very-secret" not in text
    assert "hunter22" not in text
    assert "postgresql://me:••••••••@db/antiphon" in text
    assert "very-secret" not in repr(loaded.settings)


def test_everything_secret_is_known_to_the_logs() -> None:
    settings = Settings.model_validate(
        {
            "api_keys": "0123456789abcdef,fedcba9876543210",
            "openai_api_key": "sk-1",
            "database_url": "postgresql://me:hunter22@db/antiphon",
        }
    )
    assert secret_values(settings) == {
        "0123456789abcdef",
        "fedcba9876543210",
        "sk-1",
        "hunter22",
    }


def test_keys_of_providers_are_those_set_without_the_servers_own() -> None:
    settings = Settings.model_validate({"api_keys": "k" * 16, "openai_api_key": "sk-1"})
    assert provider_secrets(settings) == {"openai_api_key": "sk-1"}


def test_each_setting_is_explained_and_has_its_own_environment_name() -> None:
    infos = setting_infos()
    names = [name for info in infos for name in info.environment]
    assert len(names) == len(set(names))
    for info in infos:
        assert info.environment[0] == f"ANTIPHON_{info.name.upper()}"
        assert info.help.endswith("."), info.name
        assert len(info.help) > 8, info.name


def test_each_number_has_limits() -> None:
    unlimited = [
        info.name
        for info in setting_infos()
        if Settings.model_fields[info.name].annotation in (int, float) and not info.limits
    ]
    assert unlimited == []


def test_limits_and_choices_are_readable() -> None:
    by_name = {info.name: info for info in setting_infos()}
    assert by_name["rustpbx_output"].limits == "auto | json | binary"
    assert by_name["max_sessions"].limits.startswith("≥ 1")
    assert by_name["park_timeout_secs"].limits == "≥ 0, ≤ 3600"


def test_values_are_shown_as_they_are_written() -> None:
    assert shown(None) == ""
    assert shown(True) == "true"
    assert shown(["a", "b"]) == "a, b"
    assert shown("wss://team.example/ws?token=abc") == "wss://team.example/ws?••••••••"
