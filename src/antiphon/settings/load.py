"""Where settings come from: command line, environment, `.env`, `antiphon.toml`, defaults.

Every problem of every layer is found before anything is refused, so that one start tells all.
Names that are neither ours nor a known other name belong to somebody else and are left alone; an
unknown `ANTIPHON_…` is refused.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from antiphon.errors import ConfigurationError
from antiphon.settings.checks import contradictions
from antiphon.settings.table import PREFIX, SECRET_FIELDS, Settings, other_names

CONFIG_FILE = "antiphon.toml"
ENV_FILE = ".env"
CONFIG_VARIABLE = "ANTIPHON_CONFIG"
"""Names another configuration file, as `--config` does; not a setting itself."""


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
    if config is None and (named := environment.get(CONFIG_VARIABLE)):
        config = Path(named)
    problems: list[str] = []
    layers = [
        _options(command_line or {}),
        _variables(environment, "environment", problems),
        _variables(_env_file(directory / ENV_FILE, problems), ENV_FILE, problems),
        _toml(config or directory / CONFIG_FILE, config is not None, problems),
    ]
    chosen: dict[str, _Value] = {}
    for layer in reversed(layers):
        chosen.update(layer)
    settings = _validate(chosen, problems)
    if problems:
        raise ConfigurationError(problems)
    origins = {
        name: chosen[name].origin if name in chosen else "default" for name in Settings.model_fields
    }
    return Loaded(settings, origins)


def _validate(chosen: Mapping[str, _Value], problems: list[str]) -> Settings:
    """Settings of the values that are valid; adds what is wrong with the others."""
    given = {name: item.value for name, item in chosen.items()}
    bad: set[str] = set()
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            name = str(item["loc"][0])
            bad.add(name)
            problems.append(_value_problem(name, chosen[name], item["msg"]))
        settings = Settings.model_validate({n: v for n, v in given.items() if n not in bad})
    problems.extend(c.message for c in contradictions(settings) if not bad.intersection(c.fields))
    return settings


def _value_problem(name: str, item: _Value, message: str) -> str:
    message = message.removeprefix("Value error, ")
    given = "" if name in SECRET_FIELDS else f" is {str(item.value)!r}"
    text = f"{name} (from {item.origin}){given}: {message[0].lower()}{message[1:]}"
    if str(item.value).startswith("tcp://"):
        text += (
            "; Kubernetes sets this variable when a service has this name: "
            "set enableServiceLinks: false in the pod"
        )
    return text


def _options(given: Mapping[str, Any]) -> dict[str, _Value]:
    return {
        name: _Value(value, f"command line --{name.replace('_', '-')}")
        for name, value in given.items()
        if value is not None
    }


def _variables(
    variables: Mapping[str, str | None], layer: str, problems: list[str]
) -> dict[str, _Value]:
    """Our settings among variables; our own name wins over another, an empty value is not given."""
    found: dict[str, _Value] = {}
    known = [CONFIG_VARIABLE]
    for setting, field in Settings.model_fields.items():
        own, others = PREFIX + setting.upper(), other_names(field)
        known.append(own)
        given = {n: text for n in (own, *others) if (text := (variables.get(n) or "").strip())}
        if not given:
            continue
        first, text = next(iter(given.items()))
        found[setting] = _Value(text, f"{layer} {first}")
        if first != own and len(set(given.values())) > 1:
            names = given if setting in SECRET_FIELDS else (f"{n}={v}" for n, v in given.items())
            problems.append(
                f"{setting}: {' and '.join(names)} ({layer}) contradict each other; "
                f"keep one of them, or set {own}"
            )
    problems.extend(
        _unknown(f"{name} ({layer})", name, known)
        for name in variables
        if name.startswith(PREFIX) and name not in known
    )
    return found


def _env_file(path: Path, problems: list[str]) -> Mapping[str, str | None]:
    if not path.is_file():
        return {}
    try:
        # Not interpolated: a secret may contain `${`.
        return dotenv_values(path, interpolate=False, encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        problems.append(f"{path}: {error}")
        return {}


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
            problems.append(_unknown(f"{name} ({path.name})", name, Settings.model_fields))
    return found


def _unknown(where: str, name: str, known: Iterable[str]) -> str:
    # Without the prefix, which all share and which would make any two names alike.
    bare = {other.removeprefix(PREFIX): other for other in known}
    close = [bare[n] for n in difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1)]
    hint = f"; did you mean {close[0]}?" if close else "; `antiphon config` lists all"
    return f"{where} is not a setting{hint}"
