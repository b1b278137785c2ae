"""`/api/v1/sessions` against the real server and real calls."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from support.live_server import Running

SESSIONS = "/api/v1/sessions"


async def ended_call(live: Running, room: str) -> str:
    async with live.browser_call(room) as (_, session_id):
        assert (await live.http.post(f"{SESSIONS}/{session_id}/end")).status_code == 200
    await live.ended(session_id)
    return session_id


async def message_of_type(socket: Any, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            message = await socket.recv()
            if isinstance(message, str) and (data := json.loads(message))["type"] == kind:
                return dict(data)


async def test_a_live_session_is_listed_at_once_with_its_present_state(live: Running) -> None:
    async with live.browser_call("listed") as (_, session_id):
        page = (await live.http.get(SESSIONS, params={"room": "listed"})).json()
        assert [item["id"] for item in page["items"]] == [session_id]
        item = page["items"][0]
        assert item["state"] == "active"
        assert item["transport"] == "browser"
        assert item["agent"] == "shop"
        assert item["participants"] == 1
        assert item["ended_at"] is None
        assert set(item["services"]) == {"stt", "llm", "tts"}
        assert page["next_cursor"] is None
        one = (await live.http.get(f"{SESSIONS}/{session_id}")).json()
        assert (one["id"], one["room"]) == (session_id, "listed")
        await live.http.post(f"{SESSIONS}/{session_id}/end")


async def test_an_operator_ends_a_call_and_the_reason_stays_on_record(live: Running) -> None:
    async with live.browser_call("to-end") as (socket, session_id):
        answer = await live.http.post(f"{SESSIONS}/{session_id}/end", json={"reason": "abuse"})
        assert answer.status_code == 200
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(20):
                while True:
                    await socket.recv()
    record = await live.ended(session_id)
    assert (record["state"], record["end_reason"]) == ("ended", "operator")
    assert record["duration_ms"] >= 0
    events = (await live.http.get(f"{SESSIONS}/{session_id}/events")).json()["items"]
    assert events[0]["type"] == "session_started"
    assert events[-1]["type"] == "session_ended"
    assert events[-1]["data"]["detail"] == "abuse"


async def test_what_an_operator_says_is_spoken_and_transcribed(live: Running) -> None:
    async with live.browser_call("say") as (socket, session_id):
        said = "A colleague will join us in a minute."
        answer = await live.http.post(f"{SESSIONS}/{session_id}/say", json={"text": said})
        assert answer.status_code == 200
        session = live.server.manager.get(session_id)
        async with asyncio.timeout(30):
            while True:
                text = (
                    await live.http.get(
                        f"{SESSIONS}/{session_id}/transcript", params={"format": "text"}
                    )
                ).text
                if "colleague" in text:
                    break
                await socket.recv()
        assert session.participants == 1
        await live.http.post(f"{SESSIONS}/{session_id}/end")
    await live.ended(session_id)
    events = (
        await live.http.get(f"{SESSIONS}/{session_id}/events", params={"types": "operator_action"})
    ).json()["items"]
    assert [(e["data"]["action"], e["data"]["detail"]) for e in events] == [
        ("say", f"operator: {said}")
    ]


async def test_the_prompt_changes_by_put_and_by_post(live: Running) -> None:
    async with live.browser_call("prompted") as (_, session_id):
        session = live.server.manager.get(session_id)
        for method in ("PUT", "POST"):
            answer = await live.http.request(
                method, f"{SESSIONS}/{session_id}/prompt", json={"system_prompt": f"By {method}."}
            )
            assert answer.status_code == 200
            assert session.prompt == f"By {method}."
        assert (await live.http.post(f"{SESSIONS}/{session_id}/interrupt")).status_code == 200
        await live.http.post(f"{SESSIONS}/{session_id}/end")
    await live.ended(session_id)
    events = (await live.http.get(f"{SESSIONS}/{session_id}/events")).json()["items"]
    prompts = [e["data"]["prompt"] for e in events if e["type"] == "prompt_updated"]
    assert prompts == ["By PUT.", "By POST."]


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [
        ("POST", "end", {}),
        ("PUT", "prompt", {"system_prompt": "x"}),
        ("POST", "prompt", {"system_prompt": "x"}),
        ("POST", "say", {"text": "x"}),
        ("POST", "interrupt", None),
    ],
)
async def test_an_action_on_an_unknown_session_is_404_in_the_house_shape(
    live: Running, method: str, action: str, body: Any
) -> None:
    answer = await live.http.request(method, f"{SESSIONS}/{'0' * 32}/{action}", json=body)
    assert answer.status_code == 404
    data = answer.json()
    assert data["ok"] is False
    assert data["error"]["code"] == "no_session"
    assert data["detail"] == data["error"]["message"]


async def test_an_action_on_an_ended_session_is_409(live: Running) -> None:
    session_id = await ended_call(live, "over")
    for method, action, body in (
        ("POST", "end", {}),
        ("PUT", "prompt", {"system_prompt": "x"}),
        ("POST", "say", {"text": "x"}),
        ("POST", "interrupt", None),
    ):
        answer = await live.http.request(method, f"{SESSIONS}/{session_id}/{action}", json=body)
        assert (action, answer.status_code) == (action, 409)
        assert answer.json()["error"]["code"] == "ended"


@pytest.mark.parametrize("text", ["", "x" * 2001])
async def test_what_is_to_be_said_has_1_to_2000_characters(live: Running, text: str) -> None:
    answer = await live.http.post(f"{SESSIONS}/{'0' * 32}/say", json={"text": text})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "text"]


async def test_a_live_session_is_not_deleted_and_an_ended_one_is(
    live: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live.browser_call("kept") as (_, session_id):
        session = live.server.manager.get(session_id)
        refused = await live.http.delete(f"{SESSIONS}/{session_id}")
        assert refused.status_code == 409
        monkeypatch.setattr(live.server.writer, "_interval", 60.0)
        await live.http.post(f"{SESSIONS}/{session_id}/end")
        await session.ended.wait()
    # Its last events still wait to be written: they must not come back, nor fail without its row.
    assert live.server.writer.pending
    assert (await live.http.delete(f"{SESSIONS}/{session_id}")).status_code == 200
    assert live.server.writer.pending == 0
    assert live.server.writer.failures == 0
    assert (await live.http.get(f"{SESSIONS}/{session_id}")).status_code == 404
    assert (await live.http.delete(f"{SESSIONS}/{session_id}")).status_code == 404
    assert (await live.http.get(f"{SESSIONS}/{session_id}/events")).status_code == 404


async def test_events_come_in_pages_that_join_up(live: Running) -> None:
    session_id = await ended_call(live, "paged-events")
    path = f"{SESSIONS}/{session_id}/events"
    whole = (await live.http.get(path)).json()
    assert whole["next_after"] is None
    assert len(whole["items"]) >= 3
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = (await live.http.get(path, params={"after": after, "limit": 2})).json()
        assert page["items"], "a cursor led to an empty page"
        found += page["items"]
        after = page["next_after"]
    assert found == whole["items"]


async def test_sessions_come_in_pages_newest_first(live: Running) -> None:
    made = [await ended_call(live, "paged") for _ in range(3)]
    params: dict[str, Any] = {"room": "paged", "limit": 2}
    first = (await live.http.get(SESSIONS, params=params)).json()
    second = (
        await live.http.get(SESSIONS, params=params | {"cursor": first["next_cursor"]})
    ).json()
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert ids == made[::-1]
    assert second["next_cursor"] is None


async def test_filters_hold_for_state_reason_agent_and_transport(live: Running) -> None:
    session_id = await ended_call(live, "filtered")

    async def ids(**params: str) -> list[str]:
        page = (await live.http.get(SESSIONS, params={"room": "filtered", **params})).json()
        return [item["id"] for item in page["items"]]

    assert await ids(state="ended", end_reason="operator", agent="shop") == [session_id]
    assert await ids(transport="browser") == [session_id]
    assert await ids(transport="pcm") == []
    assert await ids(state="active") == []
    assert await ids(end_reason="idle") == []
    assert await ids(agent="nobody") == []
    assert (await live.http.get(SESSIONS, params={"state": "asleep"})).status_code == 422


async def test_times_with_another_offset_than_utc_mean_the_same_instant(live: Running) -> None:
    session_id = await ended_call(live, "timed")
    started = datetime.fromisoformat(
        (await live.http.get(f"{SESSIONS}/{session_id}")).json()["started_at"]
    )
    tokyo = timezone(timedelta(hours=9))
    before = (started - timedelta(seconds=1)).astimezone(tokyo).isoformat()
    after = (started + timedelta(seconds=1)).astimezone(tokyo).isoformat()

    async def ids(**params: str) -> list[str]:
        page = (await live.http.get(SESSIONS, params={"room": "timed", **params})).json()
        return [item["id"] for item in page["items"]]

    assert await ids(since=before, until=after) == [session_id]
    assert await ids(since=after) == []
    assert await ids(until=before) == []


async def test_a_room_named_late_is_found_by_its_name(live: Running) -> None:
    async with live.browser_call("first-name") as (_, session_id):
        live.server.manager.rename(live.server.manager.get(session_id), "later-name")
        page = (await live.http.get(SESSIONS, params={"room": "later-name"})).json()
        assert [item["id"] for item in page["items"]] == [session_id]
        page = (await live.http.get(SESSIONS, params={"room": "first-name"})).json()
        assert page["items"] == []
        await live.http.post(f"{SESSIONS}/{session_id}/end")


@pytest.mark.parametrize(
    ("form", "media", "check"),
    [
        ("json", "application/json", lambda body: isinstance(json.loads(body), list)),
        ("text", "text/plain; charset=utf-8", lambda body: "WEBVTT" not in body),
        ("vtt", "text/vtt; charset=utf-8", lambda body: body.startswith("WEBVTT\n")),
    ],
)
async def test_a_transcript_comes_in_the_form_and_media_type_asked_for(
    live: Running, form: str, media: str, check: Callable[[str], bool]
) -> None:
    session_id = await ended_call(live, f"form-{form}")
    answer = await live.http.get(f"{SESSIONS}/{session_id}/transcript", params={"format": form})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media
    assert check(answer.text)
    refused = await live.http.get(f"{SESSIONS}/{session_id}/transcript", params={"format": "pdf"})
    assert refused.status_code == 422


async def test_reading_goes_on_while_the_database_takes_no_writes(
    live: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await ended_call(live, "stuck")
    write: Callable[..., Awaitable[None]] = live.server.store.write

    async def refuse(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(live.server.store, "write", refuse)
    monkeypatch.setattr("antiphon.api.sessions.FLUSH_SECS", 0.05)
    async with live.browser_call("stuck-live"):
        async with asyncio.timeout(10):
            answer = await live.http.get(SESSIONS)
        assert session_id in {item["id"] for item in answer.json()["items"]}
        rooms = {item["room"] for item in answer.json()["items"]}
        assert "stuck-live" in rooms, "a live session is shown though it is not yet on record"
        monkeypatch.setattr(live.server.store, "write", write)
