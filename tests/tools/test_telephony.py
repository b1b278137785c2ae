"""The tools of a telephone call, by themselves and at a simulated exchange."""

import asyncio
from typing import Any

import pytest

from antiphon.domain.calls import TransferMode, TransferResult
from antiphon.errors import Conflict
from antiphon.testing.asterisk.ari import busy
from antiphon.tools.base import Tool, ToolContext
from antiphon.tools.registry import call_tool
from antiphon.tools.telephony import CallControl, TelephonyTools
from telephony.exchange import SALES, exchange

CTX = ToolContext("s1", "shop", "anna")


async def no_hang_up(_: ToolContext, __: str) -> None:
    raise AssertionError("nobody asked for it")


class Control:
    """Notes what it is asked and answers what a test sets."""

    def __init__(self, result: TransferResult | None = None):
        self.asked: list[tuple[Any, ...]] = []
        self.result = result

    async def transfer(
        self,
        session_id: str,
        target: str,
        mode: TransferMode = TransferMode.BLIND,
        *,
        announcement: str = "",
    ) -> TransferResult:
        self.asked.append((session_id, target, mode, announcement))
        if self.result is None:
            raise Conflict("the call is held", code="wrong_call_state", details={"state": "held"})
        return self.result

    async def send_dtmf(self, session_id: str, digits: str) -> None:
        self.asked.append((session_id, digits))


def tools(control: CallControl | None, **options: Any) -> dict[str, Tool]:
    made = TelephonyTools(control, options.pop("hang_up", no_hang_up), **options)
    return {tool.name: tool for tool in made.tools()}


async def use(control: CallControl | None, name: str, **arguments: Any) -> dict[str, Any]:
    targets = {"sales": "orders and prices", "support": "repairs"}
    return await call_tool(tools(control, targets=targets)[name], CTX, arguments)


async def test_the_model_is_told_that_the_call_is_over():
    control = Control(TransferResult(True, "sales", TransferMode.ATTENDED))
    result = await use(control, "transfer_call", target="sales", mode="attended", reason="A cello.")
    assert result == {"ok": True, "transferred_to": "sales", "call_is_over": True}
    assert control.asked == [("s1", "sales", TransferMode.ATTENDED, "A cello.")]


async def test_blind_is_the_default():
    control = Control(TransferResult(True, "sales", TransferMode.BLIND))
    await use(control, "transfer_call", target="sales")
    assert control.asked == [("s1", "sales", TransferMode.BLIND, "")]


@pytest.mark.parametrize(
    ("reason", "error", "on_line"),
    [
        ("busy", "transfer_failed", True),
        ("no_answer", "transfer_failed", True),
        ("caller_left", "caller_left", False),
        ("agent_left", "call_ended", False),
    ],
)
async def test_a_failure_tells_whether_the_caller_is_still_there(
    reason: str, error: str, on_line: bool
):
    control = Control(TransferResult(False, "sales", TransferMode.BLIND, reason))
    result = await use(control, "transfer_call", target="sales")
    assert (result["ok"], result["error"], result["caller_still_on_line"]) == (
        False,
        error,
        on_line,
    )
    assert result.get("why", reason) == reason


async def test_what_could_not_be_tried_is_told_with_its_reason():
    result = await use(Control(None), "transfer_call", target="sales")
    assert result == {
        "ok": False,
        "error": "wrong_call_state",
        "message": "the call is held",
        "caller_still_on_line": True,
        "state": "held",
    }


@pytest.mark.parametrize(
    ("name", "arguments"), [("transfer_call", {"target": "sales"}), ("send_dtmf", {"digits": "1"})]
)
async def test_without_an_exchange_the_tools_say_so(name: str, arguments: dict[str, Any]):
    result = await use(None, name, **arguments)
    assert (result["error"], result["caller_still_on_line"]) == ("call_control_unavailable", True)


async def test_only_named_targets_known_modes_and_keys_are_accepted():
    control = Control(None)
    for name, arguments in [
        ("transfer_call", {"target": "+4930123"}),
        ("transfer_call", {"target": "sales", "mode": "warm"}),
        ("transfer_call", {}),
        ("send_dtmf", {"digits": "1;2"}),
        ("send_dtmf", {"digits": ""}),
    ]:
        assert (await use(control, name, **arguments))["error"] == "bad_arguments"
    assert control.asked == []


async def test_hang_up_is_arranged_and_leaves_time_for_a_goodbye():
    asked: list[tuple[str, str]] = []

    async def hang_up(ctx: ToolContext, reason: str) -> None:
        asked.append((ctx.session_id, reason))

    made = tools(None, hang_up=hang_up)
    assert await call_tool(made["hang_up"], CTX, {"reason": "done"}) == {"ok": True, "ending": True}
    assert asked == [("s1", "done")]


def test_the_schema_names_the_targets_and_the_embedded_agent_hears_them():
    made = TelephonyTools(None, no_hang_up, targets={"sales": "orders", "support": "repairs"})
    [transfer, *_] = made.tools()
    target = transfer.parameters["properties"]["target"]
    assert target["enum"] == ["sales", "support"]
    assert "repairs" in target["description"]
    assert [slot.text for slot in made.slot_lists()["transfer_target"]] == ["sales", "support"]
    assert TelephonyTools(None, no_hang_up).slot_lists() == {}


async def test_at_an_exchange_a_busy_target_leaves_the_caller_and_a_free_one_takes_over():
    async with exchange() as at:
        made = tools(at.control, targets={"sales": "orders"})
        caller, _ = await at.talking()
        at.asterisk.script(SALES, busy())
        result = await call_tool(made["transfer_call"], CTX, {"target": "sales"})
        assert (result["error"], result["why"], result["caller_still_on_line"]) == (
            "transfer_failed",
            "busy",
            True,
        )
        assert at.asterisk.hears(caller.id) == "agent"
        assert (await call_tool(made["send_dtmf"], CTX, {"digits": "42#"}))["sent"] == "42#"
        assert caller.tones == "42#"
        at.asterisk.script(SALES, at.asterisk._outcome("PJSIP/other"))
        result = await asyncio.wait_for(
            call_tool(made["transfer_call"], CTX, {"target": "sales", "mode": "attended"}), 10
        )
        assert result["ok"]
        assert at.asterisk.hears(caller.id) == SALES


async def test_a_session_that_is_on_no_telephone_is_told():
    async with exchange() as at:
        result = await call_tool(tools(at.control)["transfer_call"], CTX, {"target": "sales"})
        assert (result["error"], result["caller_still_on_line"]) == ("not_an_ari_call", True)
