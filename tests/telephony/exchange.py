"""A simulated exchange with call control on it, for the tests of this folder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from antiphon.clock import SystemClock
from antiphon.domain.calls import CallState
from antiphon.telephony.ari import AriCallControl, AriClient, CallControlConfig
from antiphon.telephony.ari.calls import Call
from antiphon.telephony.ari.events import Backoff
from antiphon.telephony.ari.numbers import DialPlan
from antiphon.testing.asterisk.ari import ExchangeChannel, SimulatedAri

SALES = "PJSIP/201@trunk"
TARGETS = {"sales": "201"}


@dataclass
class Voice:
    """Stands for the session: notes what it is asked, and speaks as long as a test wants."""

    said: list[str] = field(default_factory=list)
    speaking: asyncio.Event = field(default_factory=asyncio.Event)
    speech_ends: asyncio.Event = field(default_factory=asyncio.Event)
    left: list[tuple[str, str]] = field(default_factory=list)
    fails: bool = False
    away_states: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.speech_ends.set()

    async def settle(self, session_id: str) -> None:
        self.said.append("settled")

    async def announce(self, session_id: str, text: str) -> None:
        self.said.append(text)
        self.speaking.set()
        if self.fails:
            raise RuntimeError("no voice")
        await self.speech_ends.wait()

    async def away(self, session_id: str, *, away: bool) -> None:
        self.away_states.append(away)

    async def transferred(self, session_id: str, target: str) -> None:
        self.left.append((session_id, target))


@dataclass
class Exchange:
    asterisk: SimulatedAri
    control: AriCallControl
    voice: Voice

    async def talking(self, session_id: str = "s1") -> tuple[ExchangeChannel, Call]:
        """A caller who talks to the agent."""
        caller = self.asterisk.incoming_call()
        await self.asterisk.until(lambda: self.asterisk.hears(caller.id) == "agent")
        agent = self.asterisk.find("WebSocket/")
        call = self.control.bind(session_id, agent.id)
        await self.reached(call, CallState.TALKING)
        return caller, call

    async def reached(self, call: Call, state: CallState) -> None:
        """Wait until a call is in a state."""
        async with asyncio.timeout(5):
            while call.state is not state:
                await asyncio.sleep(0.002)

    async def over(self, call: Call) -> None:
        """Wait until a call has ended and nothing of it is left at the exchange."""
        async with asyncio.timeout(5):
            while call.state.value != "ended" or self.control._tasks:
                await asyncio.sleep(0.002)


@asynccontextmanager
async def exchange(**config: Any) -> AsyncIterator[Exchange]:
    voice = Voice()
    settings: dict[str, Any] = {
        "dial_plan": DialPlan(targets=TARGETS),
        "ring_timeout_secs": 3,
        "setup_timeout_secs": 2,
        "hang_up_patience_secs": 0.05,
    }
    async with SimulatedAri() as asterisk:
        client = AriClient(
            asterisk.url,
            asterisk.username,
            asterisk.password,
            asterisk.app,
            clock=SystemClock(),
            backoff=Backoff(first_secs=0.01, longest_secs=0.05),
        )
        control = AriCallControl(
            client, CallControlConfig(**settings | config), voice=voice, clock=SystemClock()
        )
        control.open()
        await client.connected.wait()
        try:
            yield Exchange(asterisk, control, voice)
        finally:
            await control.close()
