"""From what somebody asks to be dialled to an endpoint that Asterisk dials.

A dial string is a small language (`&` dials several, `/` chooses the technology, `(…)` carries
options), so what comes from a caller, a model or a request never goes into one unchecked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from antiphon.errors import InvalidRequest

_NUMBER = re.compile(r"\+?[0-9A-Za-z*#_.-]{1,64}")
_DTMF = re.compile(r"[0-9A-Da-d*#wW]{1,64}")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class DialPlan:
    """How names and numbers become endpoints."""

    endpoint: str = "PJSIP/{to}@trunk"
    """For numbers: `{to}` stands for the number."""
    targets: Mapping[str, str] | None = None
    """Name to number, or to an endpoint (it has a `/`): those that agents may transfer to."""

    def number(self, to: str, field: str = "to") -> str:
        """The endpoint of a number or extension.

        Raises:
            InvalidRequest: it holds what no number does (`bad_number`).
        """
        if not _NUMBER.fullmatch(to):
            raise InvalidRequest(
                f"{field}: {to!r} is no number; use 1 to 64 of 0-9 A-Z a-z * # _ . - and a + first",
                field=field,
                code="bad_number",
            )
        return self.endpoint.replace("{to}", to)

    def target(self, target: str, *, any_number: bool) -> str:
        """The endpoint of a transfer target: a name of `targets`, or a number.

        Args:
            target: What was asked for.
            any_number: Whether a number that is not among the targets may be dialled.

        Raises:
            InvalidRequest: it may not be dialled (`unknown_target`, `bad_number`).
        """
        targets = self.targets or {}
        named = targets.get(target)
        if named is None and not any_number:
            raise InvalidRequest(
                f"target: there is no {target!r}; known: {', '.join(sorted(targets)) or 'none'}",
                field="target",
                code="unknown_target",
                details={"targets": sorted(targets)},
            )
        if named is not None and "/" in named:
            return named
        return self.number(named or target, "target")


def dtmf(digits: str) -> str:
    """Tones as ARI takes them.

    Raises:
        InvalidRequest: a character is no key (`bad_digits`).
    """
    if not _DTMF.fullmatch(digits):
        raise InvalidRequest(
            f"digits: {digits!r}; use 1 to 64 of 0-9 A-D * # and w for a pause of 500 ms",
            field="digits",
            code="bad_digits",
        )
    return digits.upper().replace("W", "w")


def agent_endpoint(connection: str, options: str, parameters: Mapping[str, str]) -> str:
    """The dial string of an agent's leg.

    Args:
        connection: Section of websocket_client.conf.
        options: Dial options of chan_websocket, e.g. `c(slin16)`.
        parameters: Become the query of the URL that Asterisk connects to; empty ones are left out.

    Raises:
        InvalidRequest: a parameter's name cannot stand in a dial string (`bad_variable`).
    """
    for name in parameters:
        if not _PARAMETER.fullmatch(name):
            raise InvalidRequest(
                f"variables: {name!r} is no name; use letters, digits and _ . -",
                field="variables",
                code="bad_variable",
            )
    # chan_websocket takes a comma between parameters and wants each value URL-encoded by itself.
    given = ",".join(f"{k}={quote(v, safe='')}" for k, v in parameters.items() if v)
    return f"WebSocket/{connection}/{options}" + (f"v({given})" if given else "")
