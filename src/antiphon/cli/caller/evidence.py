"""What a server has on record about a call, read through its public REST API.

`GET /api/v1/sessions` lists sessions (`id`, `room`, `state`…); `GET /api/v1/sessions/{id}/events`
its events as `Event.as_dict` shapes them. Records are written in batches, so a call's last events
appear a moment after its end: `find_session` and `events_until_end` wait for them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from antiphon.cli.caller.call import CallFailed

WAIT_S = 10.0
POLL_S = 0.2
PAGE_SIZE = 1000

T = TypeVar("T")


class CallRecord:
    """Reads the record of one call.

    Args:
        base_url: `http://host:port` of the server.
        api_key: Sent as `Authorization: Bearer`.
        transport: Where requests go, if not to the network.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.AsyncClient(
            base_url=base_url, headers=headers, trust_env=False, transport=transport
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def find_session(self, room: str) -> dict[str, Any]:
        """The newest session of a room.

        Raises:
            CallFailed: there is none within 10 s, or the API fails.
        """

        async def look() -> dict[str, Any] | None:
            sessions = _rows(await self._get("/api/v1/sessions"), "sessions")
            return next((s for s in sessions if s.get("room") == room), None)

        found = await _until(look)
        if found is None:
            raise CallFailed(f"the server has no session of room {room!r} on record")
        return found

    async def events_until_end(self, session_id: str) -> list[dict[str, Any]]:
        """All events of a session; waits up to 10 s for `session_ended`.

        Raises:
            CallFailed: the API fails.
        """
        events: list[dict[str, Any]] = []

        async def look() -> list[dict[str, Any]] | None:
            page = await self._get(f"/api/v1/sessions/{session_id}/events", limit=PAGE_SIZE)
            events[:] = _rows(page, "events")
            return events if any(e.get("type") == "session_ended" for e in events) else None

        await _until(look)
        return events

    async def _get(self, path: str, **query: Any) -> Any:
        try:
            response = await self._client.get(path, params=query)
            response.raise_for_status()
            return response.json()
        except (httpx.HTTPError, ValueError) as exc:
            raise CallFailed(f"GET {path} failed: {exc}") from exc


async def _until(look: Callable[[], Awaitable[T | None]]) -> T | None:
    """Call `look` until it gives something, at most 10 s."""
    for _ in range(int(WAIT_S / POLL_S)):
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(POLL_S)
    return None


def _rows(data: Any, name: str) -> list[dict[str, Any]]:
    """The rows of a page, which is an object so that it can grow."""
    rows = data.get(name, data.get("items")) if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise CallFailed(f"the API's answer has no list of {name}: {data!r:.200}")
    return rows
