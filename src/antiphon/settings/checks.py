"""Settings that are each valid but contradict one another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from antiphon.settings.table import Settings


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Settings that do not go together, and what to do."""

    fields: tuple[str, ...]
    message: str


PAIRS = (
    ("tls_cert_file", "tls_key_file"),
    ("aws_access_key_id", "aws_secret_access_key"),
)
"""Settings of which both or neither are set."""


def contradictions(settings: Settings) -> Iterator[Contradiction]:
    """Everything in the settings that contradicts something else in them."""
    for pair in PAIRS:
        missing = [name for name in pair if getattr(settings, name) is None]
        if len(missing) == 1:
            yield Contradiction(
                pair, f"{' and '.join(pair)} go together, but {missing[0]} is not set"
            )
    if settings.ari_url and not (settings.ari_username and settings.ari_password):
        yield Contradiction(
            ("ari_url", "ari_username", "ari_password"),
            "ari_url needs ari_username and ari_password: a user of Asterisk's ari.conf",
        )
    if settings.idle_timeout_secs > settings.max_session_secs:
        yield Contradiction(
            ("idle_timeout_secs", "max_session_secs"),
            f"idle_timeout_secs ({settings.idle_timeout_secs:g}) is more than max_session_secs "
            f"({settings.max_session_secs:g}): a session could never be ended for idleness",
        )
    if settings.allow_anonymous and settings.api_keys:
        yield Contradiction(
            ("allow_anonymous", "api_keys"),
            "allow_anonymous lets everybody in although api_keys are set: drop one of the two",
        )


def exposure_problem(settings: Settings, *, origins: Mapping[str, str] | None = None) -> str | None:
    """Why the server must not listen on `host`, or None when it may.

    A key made by `antiphon keys create` also makes it safe; whoever asks has to look for one.

    Args:
        settings: The effective settings.
        origins: Where settings came from, to say so.
    """
    if settings.is_loopback or settings.allow_anonymous or settings.api_keys:
        return None
    origin = f" (from {origins['host']})" if origins else ""
    return (
        f"host is {settings.host!r}{origin}, which other machines can reach, but there is no API "
        "key: make one with `antiphon keys create`, or set ANTIPHON_API_KEYS (openssl rand -hex "
        "32), or listen on 127.0.0.1, or set ANTIPHON_ALLOW_ANONYMOUS=true"
    )
