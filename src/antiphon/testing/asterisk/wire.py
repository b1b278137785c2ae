"""The texts that chan_websocket writes, in both control formats; sans-I/O.

Written from the traffic of a real Asterisk and apart from `antiphon.protocols`, on purpose: a
mistake in the codec must not be repeated here, or no test would find it. Field order, spacing and
the line feed at the end of some error texts are as captured (`wrong_json`, `wrong_plain`,
`direction_plain`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EventWriter:
    """Writes events of one channel.

    Args:
        json: JSON control format; otherwise plain text.
        channel_id: Asterisk's unique id of the channel.
    """

    json: bool
    channel_id: str

    def media_start(
        self,
        *,
        connection_id: str,
        channel: str,
        media_format: str,
        optimal_frame_size: int,
        ptime_ms: int,
        channel_variables: Mapping[str, str],
    ) -> str:
        """`MEDIA_START`: the first message of a connection (any capture).

        Plain text carries no channel variables (`echo_slin_plain`).
        """
        fields: dict[str, Any] = {
            "connection_id": connection_id,
            "channel": channel,
            "channel_id": self.channel_id,
            "format": media_format,
            "optimal_frame_size": optimal_frame_size,
            "ptime": ptime_ms,
        }
        if self.json:
            return self._json(
                "MEDIA_START", fields | {"channel_variables": dict(channel_variables)}
            )
        return self._words("MEDIA_START", fields)

    def bare(self, name: str) -> str:
        """`MEDIA_XOFF`, `MEDIA_XON` or `QUEUE_DRAINED` (`xoff_*`, `tonebulk_*`)."""
        return self._json(name, {"channel_id": self.channel_id}) if self.json else name

    def correlated(self, name: str, correlation_id: str | None) -> str:
        """`MEDIA_MARK_PROCESSED` or `MEDIA_BUFFERING_COMPLETED` (`tonebulk_*`).

        Without an id JSON has an empty one, and plain text the bare word (Asterisk's source).
        """
        if self.json:
            fields = {"channel_id": self.channel_id, "correlation_id": correlation_id or ""}
            return self._json(name, fields)
        return f"{name} {correlation_id}" if correlation_id else name

    def dtmf_end(self, digit: str) -> str:
        """`DTMF_END` (`dtmf_sip_json`, `dtmf_sip_plain`: there the digit comes first)."""
        if self.json:
            return self._json("DTMF_END", {"channel_id": self.channel_id, "digit": digit})
        return self._words("DTMF_END", {"digit": digit, "channel_id": self.channel_id})

    def status(self, fields: Mapping[str, int | bool]) -> str:
        """`STATUS`, with the fields in the order given (`afterflush_json`, `flush_slin_plain`)."""
        every: dict[str, Any] = {"channel_id": self.channel_id, **fields}
        return self._json("STATUS", every) if self.json else self._words("STATUS", every)

    def error(self, error_text: str) -> str:
        """`ERROR` (`wrong_json`, `direction_plain`: the text keeps its line feed)."""
        fields = {"channel_id": self.channel_id, "error_text": error_text}
        return self._json("ERROR", fields) if self.json else self._words("ERROR", fields)

    def _json(self, name: str, fields: Mapping[str, Any]) -> str:
        return json.dumps({"event": name, **fields}, ensure_ascii=False, separators=(",", ":"))

    def _words(self, name: str, fields: Mapping[str, Any]) -> str:
        return " ".join((name, *(f"{key}:{_word(value)}" for key, value in fields.items())))


@dataclass(frozen=True, slots=True)
class CommandText:
    """A command as the channel understood it; `name` is None where there was none."""

    name: str | None
    arguments: Mapping[str, str] = field(default_factory=dict)
    """`correlation_id` and `direction`, where they are strings."""


def read_command(text: str, *, as_json: bool) -> CommandText | None:
    """Read a command text; None: it is not JSON, which is answered with an ERROR (`wrong_json`).

    In plain text what follows the first space is the argument, spaces and all.
    """
    text = text.strip()
    if not as_json:
        name, _, argument = text.partition(" ")
        return CommandText(name, {"correlation_id": argument} if argument else {})
    try:
        data = json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict | list):
        return None
    strings = (
        {key: value for key, value in data.items() if isinstance(value, str)}
        if isinstance(data, dict)
        else {}
    )
    return CommandText(strings.get("command"), strings)


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
