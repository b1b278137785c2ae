"""The tools that are made anew for each call: they end it, hand it over, press its keys."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from antiphon.domain.calls import TransferMode
from antiphon.errors import AntiphonError
from antiphon.tools.base import Tool, ToolContext, ToolFailed
from antiphon.tools.call import CallTools, EndCall, TakeCallback, Transfer
from antiphon.tools.registry import call_tool
from antiphon.tools.telephony import TRANSFER_TIMEOUT_S, CallControl, TelephonyTools

CALLBACK_TOOL = "request_callback"
"""Tool of a shared set that notes that a person shall call back."""

HUMAN_TARGET = "human"
"""Name of the transfer target for callers who want a person; else the first target."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A telephone exchange that can transfer calls."""

    control: CallControl
    targets: Mapping[str, str] = field(default_factory=dict)
    """Name to number or endpoint."""


def call_tools(
    sets: Collection[str], shared: Sequence[Tool], end_call: EndCall, exchange: Exchange | None
) -> list[Tool]:
    """The tools of one call.

    Args:
        sets: Names of the agent's tool sets.
        shared: Tools of the sets that all calls share.
        end_call: Ends the call after the goodbye.
        exchange: Where calls can be transferred; None without one.
    """
    tools: list[Tool] = []
    if CallTools.name in sets:
        tools += CallTools(
            end_call,
            transfer=_transfer(exchange),
            take_callback=_take_callback(shared),
            transfer_timeout_s=TRANSFER_TIMEOUT_S,
        ).tools()
    if TelephonyTools.name in sets:
        tools += TelephonyTools(
            exchange.control if exchange else None,
            end_call,
            targets=exchange.targets if exchange else None,
        ).tools()
    return tools


def _transfer(exchange: Exchange | None) -> Transfer | None:
    """To the target for people, told of the reason."""
    if exchange is None or not exchange.targets:
        return None
    known = exchange.targets
    target = HUMAN_TARGET if HUMAN_TARGET in known else next(iter(known))

    async def transfer(context: ToolContext, reason: str) -> None:
        try:
            result = await exchange.control.transfer(
                context.session_id, target, TransferMode.ATTENDED, announcement=reason
            )
        except AntiphonError as error:
            raise ToolFailed(error.error_code) from error
        if not result.connected:
            raise ToolFailed("transfer_failed", why=result.reason)

    return transfer


def _take_callback(shared: Sequence[Tool]) -> TakeCallback | None:
    tool = next((tool for tool in shared if tool.name == CALLBACK_TOOL), None)
    if tool is None:
        return None

    async def take_callback(context: ToolContext, reason: str) -> dict[str, Any]:
        return await call_tool(tool, context, {"reason": reason} if reason else {})

    return take_callback
