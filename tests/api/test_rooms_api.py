"""The RustPBX media server's REST interface, shape by shape."""

import uuid
from datetime import datetime

import pytest

from support.live_server import Running

SHAPE = {"id", "name", "system_prompt", "created_at", "active", "metadata"}


async def test_a_room_is_made_read_listed_and_deleted_in_the_exact_shapes(live: Running) -> None:
    made = (
        await live.http.post("/rooms", json={"name": "desk", "system_prompt": "Be Ann."})
    ).json()
    assert set(made) == SHAPE
    assert uuid.UUID(made["id"])
    assert datetime.fromisoformat(made["created_at"]).tzinfo is not None
    assert (made["name"], made["system_prompt"], made["active"]) == ("desk", "Be Ann.", False)
    assert (await live.http.get(f"/rooms/{made['id']}")).json() == made
    assert made in (await live.http.get("/rooms")).json()
    deleted = await live.http.delete(f"/rooms/{made['id']}")
    assert (deleted.status_code, deleted.json()) == (200, {"message": "Room deleted successfully"})
    gone = await live.http.get(f"/rooms/{made['id']}")
    assert gone.status_code == 404
    assert gone.json()["detail"] == "Room not found"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 256},
        {"name": "x", "system_prompt": "p" * 2049},
        {"name": 3},
    ],
)
async def test_a_bad_room_keeps_the_validation_shape_of_fastapi(
    live: Running, body: dict[str, object]
) -> None:
    answer = await live.http.post("/rooms", json=body)
    assert answer.status_code == 422
    problems = answer.json()["detail"]
    assert problems
    assert all({"loc", "msg", "type"} <= set(problem) for problem in problems)


async def test_a_call_to_a_made_room_gets_its_prompt_and_its_changes(live: Running) -> None:
    made = (
        await live.http.post("/rooms", json={"name": "florist", "system_prompt": "Sell roses."})
    ).json()
    async with live.browser_call("florist") as (_, session_id):
        session = live.server.manager.get(session_id)
        assert session.prompt == "Sell roses."
        shown = (await live.http.get(f"/rooms/{made['id']}")).json()
        assert shown["active"] is True
        assert shown["metadata"]["session_id"] == session_id
        rooms = (await live.http.get("/rooms")).json()
        assert [room["id"] for room in rooms if room["active"]] == [made["id"]]
        answer = await live.http.post(
            f"/rooms/{made['id']}/prompt", json={"system_prompt": "Sell tulips."}
        )
        assert (answer.status_code, answer.json()) == (
            200,
            {"message": "Prompt updated successfully"},
        )
        assert session.prompt == "Sell tulips."
        await live.http.post(f"/api/v1/sessions/{session_id}/end")
    await live.ended(session_id)
    kept = (await live.http.get(f"/rooms/{made['id']}")).json()
    assert (kept["active"], kept["system_prompt"]) == (False, "Sell tulips.")
    await live.http.delete(f"/rooms/{made['id']}")


async def test_the_room_of_a_live_call_is_listed_though_nobody_made_it(live: Running) -> None:
    async with live.browser_call("walk-in") as (_, session_id):
        rooms = [room for room in (await live.http.get("/rooms")).json() if room["active"]]
        assert [room["id"] for room in rooms] == ["walk-in"]
        assert set(rooms[0]) == SHAPE
        assert (await live.http.get("/rooms/walk-in")).json()["metadata"] == {
            "session_id": session_id
        }
        await live.http.post("/rooms/walk-in/prompt", json={"system_prompt": "Be quick."})
        assert live.server.manager.get(session_id).prompt == "Be quick."
        health = (await live.http.get("/health")).json()
        assert (health["active_rooms"], health["active_connections"]) == (1, 1)
        await live.http.post(f"/api/v1/sessions/{session_id}/end")
    await live.ended(session_id)
    assert (await live.http.get("/rooms/walk-in")).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("GET", ""), ("POST", "/prompt")])
async def test_an_unknown_room_is_not_found(live: Running, method: str, path: str) -> None:
    body = {"system_prompt": "x"} if method == "POST" else None
    answer = await live.http.request(method, f"/rooms/{uuid.uuid4()}{path}", json=body)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Room not found"


@pytest.mark.parametrize("name", ['"\\ud800"', "NaN", "-Infinity", '{"a": [1e999]}'])
async def test_input_that_cannot_be_echoed_is_refused_and_not_a_server_error(
    live: Running, name: str
) -> None:
    answer = await live.http.post(
        "/rooms", content=f'{{"name": {name}}}', headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["body", "name"]
