"""The real application with call control, at a simulated exchange whose calls have media."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antiphon.sessions.session import Session
from antiphon.telephony.ari import AriCallControl
from antiphon.testing.asterisk.ari import ExchangeChannel, SimulatedAri
from antiphon.testing.asterisk.ari_channel import RATE
from support.live_server import Running, running

HUMAN = "PJSIP/201@trunk"
"""Endpoint of the transfer target `human`."""


@dataclass
class Exchange:
    """The application and the exchange that it controls."""

    app: Running
    asterisk: SimulatedAri

    @property
    def control(self) -> AriCallControl:
        assert self.app.server.call_control is not None
        return self.app.server.call_control

    async def incoming(self, number: str = "0301234") -> tuple[ExchangeChannel, Session]:
        """A caller who hears the agent."""
        caller = self.asterisk.incoming_call(number, args=("agent=shop",))
        await self.asterisk.until(lambda: self.asterisk.hears(caller.id) == "agent", 20)
        return caller, await self.session_of(caller)

    async def session_of(self, person: ExchangeChannel) -> Session:
        """The session of the agent in somebody's bridge."""
        members = self.asterisk.bridges[person.bridge]
        [agent] = [one for one in members if self.asterisk.channels[one].is_agent]
        async with asyncio.timeout(10):
            while (session := self.app.server.manager.find_room(agent)) is None:
                await asyncio.sleep(0.01)
        return session

    async def hears_speech(self, person: ExchangeChannel, secs: float = 0.5) -> None:
        """Wait until somebody has heard so many more seconds of agents."""
        wanted = len(person.heard_audio) + 2 * RATE * secs
        await self.asterisk.until(lambda: len(person.heard_audio) >= wanted, 20)

    async def answered(self, endpoint: str) -> None:
        """Wait until somebody at an endpoint has answered."""
        channels = self.asterisk.channels
        await self.asterisk.until(
            lambda: (endpoint, "Up") in {(one.endpoint, one.state) for one in channels.values()}, 20
        )

    async def place(self, to: str, **body: Any) -> dict[str, Any]:
        """Have somebody called; the call once it is answered or over."""
        reply = await self.app.http.post("/api/v1/calls", json={"to": to, **body})
        assert reply.status_code == 202, reply.text
        return await self.call(reply.json()["id"], "talking", "ended")

    async def call(self, call_id: str, *states: str) -> dict[str, Any]:
        """A call as the API shows it, once it is in one of these states."""
        async with asyncio.timeout(20):
            while True:
                call: dict[str, Any] = (await self.app.http.get(f"/api/v1/calls/{call_id}")).json()
                if call["state"] in states:
                    return call
                await asyncio.sleep(0.02)

    async def ask(self, session: Session, what: str, **body: Any) -> dict[str, Any]:
        """Have something done with a session: `transfer`, `hold`, …"""
        path = f"/api/v1/sessions/{session.id}/{what}"
        reply = await self.app.http.post(path, json=body)
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer


@contextlib.asynccontextmanager
async def telephone_exchange(data_dir: Path, **settings: Any) -> AsyncIterator[Exchange]:
    """Start both."""
    async with (
        SimulatedAri() as asterisk,
        running(
            data_dir,
            ari_url=asterisk.url,
            ari_username=asterisk.username,
            ari_password=asterisk.password,
            transfer_targets={"human": "201"},
            **settings,
        ) as app,
    ):
        asterisk.media_url = f"ws://127.0.0.1:{app.port}/ws/asterisk"
        exchange = Exchange(app, asterisk)
        async with asyncio.timeout(10):
            await exchange.control.client.connected.wait()
        yield exchange
