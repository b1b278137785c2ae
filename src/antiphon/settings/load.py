"""Where settings come from: command line, environment, `.env`, `antiphon.toml`, defaults.

Every problem of every layer is found before anything is refused, so that one start tells all.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from antiphon.errors import ConfigurationError
from antiphon.settings.table import Settings, other_names

PREFIX = "ANTIPHON_"
NOT_SETTINGS = frozenset({"ANTIPHON_CONFIG"})
"""Names with our prefix that are not settings."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where each of them came from."""

    settings: Settings
    origins: Mapping[str, str]
    """Setting name to origin, e.g. `environment SERVER_PORT` or `default`."""


@dataclass(frozen=True, slots=True)
class _Value:
    value: Any
    origin: str


def load_settings(
    command_line: Mapping[str, Any] | None = None,
    *,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Loaded:
    """Read all layers and validate the result.

    Args:
        command_line: Settings given as options; None values are not given.
        config: A TOML file; by default `antiphon.toml` in `directory`, when there is one.
        environment: Instead of the process's environment.
        directory: Where `.env` and `antiphon.toml` are looked for; by default the working one.

    Raises:
        ConfigurationError: with every problem found in every layer.
    """
    environment = os.environ if environment is None else environment
    directory = directory or Path.cwd()
    problems: list[str] = []
    dotenv = {k: v for k, v in dotenv_values(directory / ".env").items() if v is not None}
    named_config = config or _named(environment)
    layers = [
        _options(command_line or {}),
        _variables(environment, "environment", problems),
        _variables(dotenv, ".env", problems),
        _toml(named_config or directory / "antiphon.toml", named_config is not None, problems),
    ]
    chosen: dict[str, _Value] = {}
    for layer in reversed(layers):
        chosen.update(layer)
    settings = _validate(chosen, problems)
    if settings is None or problems:
        raise ConfigurationError(problems)
    origins = {
        name: chosen[name].origin if name in chosen else "default" for name in Settings.model_fields
    }
    return Loaded(settings, origins)


def _named(environment: Mapping[str, str]) -> Path | None:
    path = environment.get("ANTIPHON_CONFIG")
    return Path(path) if path else None


def _validate(chosen: Mapping[str, _Value], problems: list[str]) -> Settings | None:
    try:
        return Settings.model_validate({name: item.value for name, item in chosen.items()})
    except ValidationError as error:
        for item in error.errors():
            name = str(item["loc"][0]) if item["loc"] else ""
            message = item["msg"].removeprefix("Value error, ")
            origin = f" (from {chosen[name].origin})" if name in chosen else ""
            problems.append(f"{name}{origin}: {message}" if name else message)
        return None


def _options(given: Mapping[str, Any]) -> dict[str, _Value]:
    return {
        name: _Value(value, f"command line --{name.replace('_', '-')}")
        for name, value in given.items()
        if value is not None
    }


def _names() -> Iterator[tuple[str, str]]:
    for setting, field in Settings.model_fields.items():
        yield PREFIX + setting.upper(), setting
        for name in other_names(field):
            yield name, setting


def _variables(variables: Mapping[str, str], layer: str, problems: list[str]) -> dict[str, _Value]:
    known = dict(_names())
    found: dict[str, _Value] = {}
    for name, setting in known.items():
        text = variables.get(name)
        if text is None or text == "":
            continue
        earlier = found.get(setting)
        if earlier is None:
            found[setting] = _Value(text, f"{layer} {name}")
        elif earlier.value != text and not earlier.origin.split()[-1].startswith(PREFIX):
            problems.append(
                f"{setting}: {earlier.origin} and {name} contradict each other; keep one of them"
            )
    problems.extend(
        _unknown(f"{layer}: {name}", name, list(known))
        for name in variables
        if name.startswith(PREFIX) and name not in known and name not in NOT_SETTINGS
    )
    return found


def _toml(path: Path, required: bool, problems: list[str]) -> dict[str, _Value]:
    if not path.exists():
        if required:
            problems.append(f"configuration file {path} does not exist")
        return {}
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(f"{path}: {error}")
        return {}
    found: dict[str, _Value] = {}
    for name, value in data.items():
        if name in Settings.model_fields:
            found[name] = _Value(value, f"{path.name} {name}")
        else:
            problems.append(_unknown(f"{path.name}: {name}", name, list(Settings.model_fields)))
    return found


def _unknown(where: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else "; `antiphon config` lists all"
    return f"{where} is not a setting{hint}"
