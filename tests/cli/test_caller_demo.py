"""The demo's parts: a server as a child process, the record read back, and the verdict."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.cli.caller import evidence
from antiphon.cli.caller.call import CallFailed
from antiphon.cli.caller.evidence import CallRecord
from antiphon.cli.caller.server_process import ServerProcess, free_port
from antiphon.cli.demo import CONVERSATION, misunderstood, placed_order, run_demo
from antiphon.errors import InvalidRequest, Unavailable


def final(text: str) -> dict[str, Any]:
    return {"type": "transcript_final", "data": {"turn": 1, "text": text, "language": "en"}}


def tool_ended(name: str, result: Any, *, ok: bool = True) -> dict[str, Any]:
    return {"type": "tool_call_ended", "data": {"name": name, "ok": ok, "result": result}}


class Api:
    """A REST API whose record grows from one request to the next."""

    def __init__(self, sessions: list[dict[str, Any]], pages: list[list[dict[str, Any]]]):
        self.sessions = sessions
        self.pages = pages
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if request.url.path == "/api/v1/sessions":
            return httpx.Response(200, json={"sessions": self.sessions})
        if request.url.path == "/api/v1/sessions/s1/events":
            page = self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]
            return httpx.Response(200, json={"events": page})
        return httpx.Response(404, json={"error": {"code": "not_found"}})

    def record(self) -> CallRecord:
        return CallRecord("http://server", transport=httpx.MockTransport(self))


async def test_the_record_is_awaited_until_the_session_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evidence, "POLL_S", 0.001)
    ended = {"type": "session_ended", "data": {}}
    api = Api(
        [{"id": "s0", "room": "other"}, {"id": "s1", "room": "r1"}], [[], [final("yes"), ended]]
    )
    record = api.record()
    session = await record.find_session("r1")
    assert session["id"] == "s1"
    assert await record.events_until_end("s1") == [final("yes"), ended]
    assert api.asked.count("/api/v1/sessions/s1/events") == 2
    await record.close()


async def test_a_record_that_never_comes_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "WAIT_S", 0.01)
    monkeypatch.setattr(evidence, "POLL_S", 0.001)
    record = Api([], [[]]).record()
    with pytest.raises(CallFailed, match="no session of room 'r1'"):
        await record.find_session("r1")
    with pytest.raises(CallFailed, match="404"):
        await record.events_until_end("unknown")
    await record.close()


def test_the_verdict_wants_every_utterance_word_for_word() -> None:
    heard = [final(text.capitalize() + ".") for text in CONVERSATION.values()]
    assert misunderstood(heard) == []
    assert "place the order" in misunderstood(heard[:-1])[0]
    assert misunderstood([*heard[:-1], final("no")])


def test_only_a_successful_order_counts() -> None:
    order = {"ok": True, "order_number": "12345"}
    assert placed_order([tool_ended("view_cart", {}), tool_ended("place_order", order)]) == order
    assert placed_order([tool_ended("place_order", order, ok=False)]) == {}
    assert placed_order([tool_ended("place_order", {"ok": False, "error": "empty_cart"})]) == {}
    assert placed_order([]) == {}


async def test_a_server_that_can_not_start_says_why(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", arguments=["--no-such-option"])
    with pytest.raises(Unavailable, match="ended with status"):
        async with server:
            pass
    assert server.log_path.read_text(encoding="utf-8")


def test_free_ports_are_free() -> None:
    assert 1024 < free_port() < 65536


async def test_the_demo_refuses_a_transport_it_can_not_call(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="rustpbx or browser"):
        await run_demo("pigeon", tmp_path, None)
