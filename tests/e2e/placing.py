"""Calls placed by the end-to-end tests."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx

from antiphon.cli.caller.call import Call
from antiphon.cli.caller.codecs import codec_for
from antiphon.cli.caller.sound import read_audio, shipped_audio

ORDER = ("what-is-in-my-cart", "add-two-blue-mugs", "place-the-order", "yes")


def utterance(name: str, rate: int) -> bytes:
    """A shipped utterance as PCM16 at `rate` Hz."""
    return read_audio(shipped_audio(name), rate)


async def converse(url: str, utterances: Sequence[str], **options: Any) -> Call:
    """Place a call, wait for the greeting, say each utterance and hear each answer."""
    codec = codec_for(url)
    call = Call(url, codec, **options)
    async with call:
        await call.answer()
        for name in utterances:
            await call.say(utterance(name, codec.sample_rate), name)
            await call.answer()
    return call


async def session_in(api: httpx.AsyncClient, room: str) -> dict[str, Any]:
    """The newest session of a room, as REST shows it."""
    items = (await api.get("/api/v1/sessions", params={"room": room})).json()["items"]
    assert items, f"no session in room {room}"
    return dict(items[0])


async def events_of(api: httpx.AsyncClient, session_id: str) -> list[dict[str, Any]]:
    """All events of a session."""
    return list((await api.get(f"/api/v1/sessions/{session_id}/events")).json()["items"])


async def until_state(
    api: httpx.AsyncClient, session_id: str, state: str, *, secs: float = 20
) -> dict[str, Any]:
    """The session once it is in `state`."""
    async with asyncio.timeout(secs):
        while True:
            session = dict((await api.get(f"/api/v1/sessions/{session_id}")).json())
            if session["state"] == state:
                return session
            await asyncio.sleep(0.05)  # a real process: only its answers tell
