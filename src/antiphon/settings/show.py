"""The settings as rows for people: values, origins, limits; secrets never."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import urlsplit

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from antiphon.settings.load import Loaded
from antiphon.settings.table import PREFIX, SECRET_FIELDS, Settings, other_names

MASK = "••••••••"
"""Shown in place of a secret."""


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """What is known of a setting before it has a value."""

    name: str
    """In `antiphon.toml`."""
    help: str
    default: str
    limits: str
    """E.g. `≥ 1, ≤ 600`, or the choices; empty when there are none."""
    environment: tuple[str, ...]
    """Names in the environment and `.env`, ours first."""
    secret: bool


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting's effective value and where it came from."""

    info: SettingInfo
    value: str
    origin: str


def setting_infos() -> tuple[SettingInfo, ...]:
    """Every setting, in the order of the table."""
    return tuple(_info(name, field) for name, field in Settings.model_fields.items())


def setting_rows(loaded: Loaded) -> tuple[SettingRow, ...]:
    """Every setting with its value, secrets masked, and its origin."""
    return tuple(
        SettingRow(info, shown(getattr(loaded.settings, info.name)), loaded.origins[info.name])
        for info in setting_infos()
    )


def shown(value: Any) -> str:
    """A value as it may be shown to anybody: secrets and passwords in URLs masked."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    text = str(value)
    return _masked_url(text) if "://" in text else text


def secret_values(settings: Settings) -> frozenset[str]:
    """Every secret in the settings, to keep out of logs."""
    found: set[str] = set()
    for name in Settings.model_fields:
        found.update(_secrets_in(getattr(settings, name)))
    return frozenset(found - {""})


def provider_secrets(settings: Settings) -> dict[str, str]:
    """Setting name to secret, for the providers' keys that are set; the server's own left out."""
    values = {name: getattr(settings, name) for name in SECRET_FIELDS}
    return {
        name: value.get_secret_value()
        for name, value in values.items()
        if isinstance(value, SecretStr)
    }


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _secrets_in(item)
    elif isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str) and "://" in value:
        yield urlsplit(value).password or ""


def _masked_url(text: str) -> str:
    parts = urlsplit(text)
    if "@" in parts.netloc:
        user, _, host = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"{user.partition(':')[0]}:{MASK}@{host}")
    if parts.query:
        parts = parts._replace(query=MASK)
    return parts.geturl()


def _info(name: str, field: FieldInfo) -> SettingInfo:
    return SettingInfo(
        name=name,
        help=field.description or "",
        default=shown(field.get_default(call_default_factory=True)),
        limits=_limits(field),
        environment=(PREFIX + name.upper(), *other_names(field)),
        secret=name in SECRET_FIELDS,
    )


def _limits(field: FieldInfo) -> str:
    if choices := [choice for choice in get_args(field.annotation) if isinstance(choice, str)]:
        return " | ".join(choices)
    found = []
    for item in field.metadata:
        if isinstance(item, annotated_types.Gt):
            found.append(f"> {item.gt}")
        elif isinstance(item, annotated_types.Ge):
            found.append(f"≥ {item.ge}")
        elif isinstance(item, annotated_types.Le):
            found.append(f"≤ {item.le}")
    return ", ".join(found)
