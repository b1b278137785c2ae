"""Tool sets by name, and the one way a tool is called."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from antiphon.errors import ConfigurationError
from antiphon.tools.base import Tool, ToolContext, ToolFailed, ToolHandler
from antiphon.tools.call import CallTools
from antiphon.tools.registry import build_toolsets, call_tool, known_toolsets, validate_arguments

CTX = ToolContext("s1", "shop", "anna")


def tool(handler: ToolHandler, timeout_s: float = 5.0) -> Tool:
    return Tool(
        name="echo",
        description="",
        parameters={
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 1}, "word": {"type": "string"}},
            "required": ["n"],
            "additionalProperties": False,
        },
        handler=handler,
        timeout_s=timeout_s,
    )


async def echo(_: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, **arguments}


def test_unknown_and_repeated_sets_are_all_reported_with_the_known_ones(tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        build_toolsets(["shop", "weather", "shop", "stocks"], data_dir=tmp_path)
    assert [p.split(";")[0] for p in caught.value.problems] == [
        "tools: there is no tool set 'weather'",
        "tools: there is no tool set 'stocks'",
        "tools: 'shop' is named twice",
    ]
    assert all(name in caught.value.problems[0] for name in known_toolsets())


def test_sets_of_one_call_are_left_to_the_session(tmp_path: Path):
    assert [s.name for s in build_toolsets(["shop", "call"], data_dir=tmp_path)] == ["shop"]
    assert not list(tmp_path.iterdir()), "nothing is opened yet"


async def test_a_catalogue_beside_the_agent_file_fills_the_new_shop(tmp_path: Path):
    (tmp_path / "shop.catalogue.yaml").write_text(
        "products: [{sku: T1, name: tin whistle, plural: tin whistles, category: music, "
        "price_cents: 500, stock: 3}]"
    )
    [shop] = build_toolsets(["shop"], data_dir=tmp_path / "data", agent_dir=tmp_path)
    await shop.open()
    assert {v.text for v in shop.slot_lists()["product"]} == {"tin whistle", "tin whistles"}
    await shop.close()


async def test_good_arguments_reach_the_handler():
    assert await call_tool(tool(echo), CTX, {"n": 2}) == {"ok": True, "n": 2}


def test_every_wrong_argument_is_named():
    assert validate_arguments(tool(echo), {"n": 0, "word": 5, "x": 1}) == [
        "arguments: Additional properties are not allowed ('x' was unexpected)",
        "n: 0 is less than the minimum of 1",
        "word: 5 is not of type 'string'",
    ]


async def test_a_tools_own_failure_is_its_result():
    async def fail(_: ToolContext, __: dict[str, Any]) -> dict[str, Any]:
        raise ToolFailed("sold_out", available=0)

    assert await call_tool(tool(fail), CTX, {"n": 1}) == {
        "ok": False,
        "error": "sold_out",
        "available": 0,
    }


async def test_a_crash_is_logged_and_told_without_its_details(caplog: pytest.LogCaptureFixture):
    async def crash(_: ToolContext, __: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("password=hunter2")

    with caplog.at_level(logging.ERROR):
        result = await call_tool(tool(crash), CTX, {"n": 1})
    assert result == {"ok": False, "error": "tool_failed"}
    assert "echo failed in session s1" in caplog.text


async def test_a_slow_tool_is_cut_off():
    cancelled = asyncio.Event()

    async def hang(_: ToolContext, __: dict[str, Any]) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    result = await call_tool(tool(hang, timeout_s=0.01), CTX, {"n": 1})
    assert result == {"ok": False, "error": "timed_out"}
    assert cancelled.is_set()


async def test_cancelling_the_call_passes_through():
    started = asyncio.Event()

    async def hang(_: ToolContext, __: dict[str, Any]) -> dict[str, Any]:
        started.set()
        await asyncio.Event().wait()
        return {}

    async with asyncio.TaskGroup() as group:
        task = group.create_task(call_tool(tool(hang), CTX, {"n": 1}))
        await started.wait()
        task.cancel()
    assert task.cancelled()


async def test_ending_the_call_tells_the_session_why():
    ended: list[tuple[str, str]] = []

    async def end(ctx: ToolContext, reason: str) -> None:
        ended.append((ctx.session_id, reason))

    tools = {t.name: t for t in CallTools(end).tools()}
    result = await call_tool(tools["end_call"], CTX, {"reason": "goodbye"})
    assert (result["ok"], ended) == (True, [("s1", "goodbye")])


async def test_a_call_that_cannot_be_transferred_asks_for_a_callback():
    async def end(_: ToolContext, __: str) -> None: ...

    async def take(ctx: ToolContext, reason: str) -> dict[str, Any]:
        return {"ok": True, "callback_id": 7}

    with_callbacks = {t.name: t for t in CallTools(end, take_callback=take).tools()}
    assert await call_tool(with_callbacks["transfer_to_human"], CTX, {}) == {
        "ok": False,
        "error": "transfer_unavailable",
        "callback_requested": True,
        "callback_id": 7,
    }
    alone = {t.name: t for t in CallTools(end).tools()}
    result = await call_tool(alone["transfer_to_human"], CTX, {})
    assert (result["error"], result["callback_requested"]) == ("transfer_unavailable", False)


async def test_a_transfer_is_handed_to_the_transport():
    moved: list[str] = []

    async def end(_: ToolContext, __: str) -> None: ...

    async def transfer(_: ToolContext, reason: str) -> None:
        moved.append(reason)

    tools = {t.name: t for t in CallTools(end, transfer).tools()}
    assert (await call_tool(tools["transfer_to_human"], CTX, {"reason": "angry"}))["ok"]
    assert moved == ["angry"]
