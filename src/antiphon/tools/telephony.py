"""Tools about the telephone call: hand it to a person, hang up, send tones.

They know the exchange only as a `CallControl`; `antiphon.telephony.ari.AriCallControl` is one.
Every failure tells the model whether the caller is still on the line: what to say depends on it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from antiphon.domain.calls import CALLER_LEFT, TransferMode, TransferResult
from antiphon.errors import AntiphonError
from antiphon.tools.base import SlotValue, Tool, ToolContext, ToolFailed
from antiphon.tools.call import EndCall

TRANSFER_TIMEOUT_S = 150.0
"""Longest transfer: last words, ringing, announcement and the target's answer, s."""


class CallControl(Protocol):
    """What the tools ask of the exchange."""

    async def transfer(
        self,
        session_id: str,
        target: str,
        mode: TransferMode = TransferMode.BLIND,
        *,
        announcement: str = "",
    ) -> TransferResult:
        """Hand the caller to a named target; returns when it is decided.

        Raises:
            AntiphonError: it could not be tried; the caller is where it was.
        """

    async def send_dtmf(self, session_id: str, digits: str) -> None:
        """Send tones to the caller's side.

        Raises:
            AntiphonError: it could not be done.
        """


class TelephonyTools:
    """Tool set `telephony`: `transfer_call`, `hang_up` and `send_dtmf`.

    Args:
        control: The exchange; None where none is configured or the transport has none, and the
            tools then say so.
        hang_up: Arranges the end of the call, as for `antiphon.tools.call.CallTools`: it returns at
            once, and the goodbye is heard before the line goes.
        targets: Names that the caller may be transferred to, with what each is for.
        transfer_timeout_s: Longest transfer, s.
    """

    name = "telephony"

    def __init__(
        self,
        control: CallControl | None,
        hang_up: EndCall,
        *,
        targets: Mapping[str, str] | None = None,
        transfer_timeout_s: float = TRANSFER_TIMEOUT_S,
    ):
        self._control = control
        self._hang_up = hang_up
        self._targets = dict(targets or {})
        self._transfer_timeout_s = transfer_timeout_s

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def slot_lists(self) -> Mapping[str, Sequence[SlotValue]]:
        """The targets, so that the embedded agent hears them as `{transfer_target}`."""
        if not self._targets:
            return {}
        return {"transfer_target": [SlotValue(name, name) for name in sorted(self._targets)]}

    def tools(self) -> Sequence[Tool]:
        """The tools of a telephone call."""
        return (
            Tool(
                name="transfer_call",
                description=(
                    "Hand the caller to a person. Say first that you are doing it. If it fails, "
                    "the caller is still with you: say what happened and offer something else."
                ),
                parameters=self._transfer_parameters(),
                handler=self._transfer,
                timeout_s=self._transfer_timeout_s,
                outlives_interruption=True,
            ),
            Tool(
                name="hang_up",
                description="End the call, after the caller has said goodbye. Then say goodbye.",
                parameters=_parameters({"reason": _REASON}),
                handler=self._end,
            ),
            Tool(
                name="send_dtmf",
                description="Press keys towards the other side, e.g. for a menu that asks for one.",
                parameters=_parameters({"digits": _DIGITS}, required=["digits"]),
                handler=self._press,
            ),
        )

    def _transfer_parameters(self) -> Mapping[str, Any]:
        target: dict[str, Any] = {"type": "string", "description": "Who takes the call."}
        if self._targets:
            known = "; ".join(f"{name}: {what}" for name, what in sorted(self._targets.items()))
            target |= {"enum": sorted(self._targets), "description": f"Who takes it. {known}"}
        mode = {
            "type": "string",
            "enum": [mode.value for mode in TransferMode],
            "description": "blind: connect at once; attended: tell the person the reason first.",
        }
        return _parameters({"target": target, "mode": mode, "reason": _REASON}, required=["target"])

    async def _transfer(self, ctx: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
        control = self._available()
        mode = TransferMode(arguments.get("mode", TransferMode.BLIND))
        target = str(arguments["target"])
        try:
            result = await control.transfer(
                ctx.session_id, target, mode, announcement=str(arguments.get("reason", ""))
            )
        except AntiphonError as error:
            raise _refused(error) from error
        if result.connected:
            return {"ok": True, "transferred_to": target, "call_is_over": True}
        if result.caller_is_with_agent:
            raise ToolFailed(
                "transfer_failed", why=result.reason, target=target, caller_still_on_line=True
            )
        why = CALLER_LEFT if result.reason == CALLER_LEFT else "call_ended"
        raise ToolFailed(why, target=target, caller_still_on_line=False)

    async def _end(self, ctx: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
        await self._hang_up(ctx, str(arguments.get("reason", "")))
        return {"ok": True, "ending": True}

    async def _press(self, ctx: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
        control, digits = self._available(), str(arguments["digits"])
        try:
            await control.send_dtmf(ctx.session_id, digits)
        except AntiphonError as error:
            raise _refused(error) from error
        return {"ok": True, "sent": digits}

    def _available(self) -> CallControl:
        if self._control is None:
            raise ToolFailed("call_control_unavailable", caller_still_on_line=True)
        return self._control


_REASON = {
    "type": "string",
    "maxLength": 500,
    "description": "Why, in a sentence that can be read to a person.",
}
_DIGITS = {
    "type": "string",
    "pattern": "^[0-9A-Da-d*#w]{1,64}$",
    "description": "Keys 0-9, A-D, * and #; w is a pause of half a second.",
}


def _parameters(properties: Mapping[str, Any], required: Sequence[str] = ()) -> Mapping[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _refused(error: AntiphonError) -> ToolFailed:
    """What could not even be tried."""
    return ToolFailed(
        error.error_code, message=error.message, caller_still_on_line=True, **error.details
    )
