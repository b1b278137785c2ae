"""Tools about the call itself: end it, or hand it to a person."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from antiphon.tools.base import SlotValue, Tool, ToolContext, ToolFailed

EndCall = Callable[[ToolContext, str], Awaitable[None]]
"""Arranges that the call ends once what the agent says next has been heard; `str`: the reason."""

Transfer = Callable[[ToolContext, str], Awaitable[None]]
"""Hands the call to a person; raises `ToolFailed` if it cannot."""

TakeCallback = Callable[[ToolContext, str], Awaitable[dict[str, Any]]]
"""Notes that a person shall call back."""

_REASON = {"type": "string", "maxLength": 500, "description": "Why, in a few words."}
_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"reason": _REASON},
    "required": [],
    "additionalProperties": False,
}


class CallTools:
    """Tool set `call`: `end_call` and `transfer_to_human`.

    Args:
        end_call: Arranges the end of the call. It must return at once and leave the agent the time
            to say goodbye: the model's answer to the tool's result is the last thing said.
        transfer: Hands the call to a person; None where the transport cannot.
        take_callback: Notes that a person shall call back, when nobody could be reached.
        transfer_timeout_s: Longest transfer, s.
    """

    name = "call"

    def __init__(
        self,
        end_call: EndCall,
        transfer: Transfer | None = None,
        take_callback: TakeCallback | None = None,
        *,
        transfer_timeout_s: float = 10.0,
    ):
        self._end_call = end_call
        self._transfer = transfer
        self._take_callback = take_callback
        self._transfer_timeout_s = transfer_timeout_s

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def slot_lists(self) -> Mapping[str, Sequence[SlotValue]]:
        """None."""
        return {}

    def tools(self) -> Sequence[Tool]:
        """The tools of a call."""
        return (
            Tool(
                name="end_call",
                description="End the call, after the caller has said goodbye. Then say goodbye.",
                parameters=_PARAMETERS,
                handler=self._end,
            ),
            Tool(
                name="transfer_to_human",
                description="Hand the call to a person, when the caller asks for one.",
                parameters=_PARAMETERS,
                handler=self._hand_over,
                timeout_s=self._transfer_timeout_s,
                outlives_interruption=self._transfer is not None,
            ),
        )

    async def _end(self, ctx: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
        await self._end_call(ctx, str(arguments.get("reason", "")))
        return {"ok": True, "ending": True}

    async def _hand_over(self, ctx: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
        reason = str(arguments.get("reason", ""))
        if self._transfer is not None:
            try:
                await self._transfer(ctx, reason)
            except ToolFailed:
                if self._take_callback is None:
                    raise
            else:
                return {"ok": True, "transferred": True}
        if self._take_callback is None:
            raise ToolFailed("transfer_unavailable", callback_requested=False)
        taken = await self._take_callback(ctx, reason)
        raise ToolFailed(
            "transfer_unavailable", callback_requested=True, callback_id=taken.get("callback_id")
        )
