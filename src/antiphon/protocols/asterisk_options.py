"""What a dial string asks of us, by `v(agent=shop,…)` and by channel variables.

Source: docs.asterisk.org, Configuration/Channel-Drivers/WebSocket: `v(…)` becomes the URL's query;
channel variables come with MEDIA_START, in JSON only, where a leading `_` or `__` is the dialplan's
sign for inheritance. `DIALEDPEERNUMBER` among them is the dial string itself. It comes first,
because Asterisk 22 and 23 keep the last `v(…)` with the section of websocket_client.conf and send
it again with calls that have none (seen on 22.8.2; capture `nov_json`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

from antiphon.protocols.asterisk import MediaStart
from antiphon.protocols.query import QueryReader

VARIABLE_PREFIX = "ANTIPHON_"
"""Channel variables `ANTIPHON_AGENT`, `ANTIPHON_LANGUAGE` and `ANTIPHON_ROOM` stand in for
parameters that are not given."""

_URI_PARAMETERS = re.compile(r"(?<=[/)a-z])v\(([^)]*)\)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class AsteriskOptions:
    """What one call asks for; None: not said."""

    agent: str | None = None
    language: str | None = None
    room: str | None = None
    caller_channel: str = ""
    """`${UNIQUEID}` of the caller's channel."""
    token: str | None = field(default=None, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict)
    """All other parameters and the channel variables, for the prompt's placeholders."""

    @classmethod
    def of(cls, query: Iterable[tuple[str, str]], start: MediaStart | None = None) -> Self:
        """Read the URL's parameters, which come first, and the channel's variables.

        Raises:
            InvalidRequest: a parameter is wrong; `details["problems"]` lists all of them.
        """
        told = {
            name.lstrip("_"): value
            for name, value in (start.channel_variables if start else {}).items()
        }
        ours = {
            name.removeprefix(VARIABLE_PREFIX).lower(): value
            for name, value in told.items()
            if name.startswith(VARIABLE_PREFIX)
        }
        dialled = dict(_dialled(told.get("DIALEDPEERNUMBER", "")))
        reader = QueryReader({**ours, **dict(query), **dialled})
        return cls(
            agent=reader.text("agent", limit=64),
            language=reader.text("language", limit=16),
            room=reader.text("room"),
            caller_channel=reader.text("uniqueid", limit=150) or "",
            token=reader.text("token", limit=4096),
            variables={
                name: value
                for name, value in {**told, **reader.finish()}.items()
                if _NAME.fullmatch(name)
            },
        )


def _dialled(dial_string: str) -> Iterator[tuple[str, str]]:
    """The parameters in `connection/c(slin16)v(agent=shop,uniqueid=1.2)`."""
    for parameters in _URI_PARAMETERS.findall(dial_string):
        for parameter in parameters.split(","):
            name, separator, value = parameter.partition("=")
            if separator:
                yield unquote(name.strip()), unquote(value.strip())
