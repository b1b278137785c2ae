"""Carries a transfer out: `transfer.TransferMachine` decides, this asks Asterisk.

Bridges: the caller and the agent meet in the call's bridge. The target is put into a second one,
the side bridge, where it meets the agent (attended) and then the caller. So a transfer that fails
has torn nothing down: the caller goes back into the call's bridge, in which the agent waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from antiphon.domain.calls import (
    AGENT_LEFT,
    DialFailure,
    TransferMode,
    TransferResult,
    dial_failure,
)
from antiphon.errors import AntiphonError, Unavailable
from antiphon.telephony.ari.calls import Call
from antiphon.telephony.ari.client import AriClient
from antiphon.telephony.ari.errors import AriRequestError
from antiphon.telephony.ari.hang_ups import HangUps
from antiphon.telephony.ari.legs import Leg, LegChange
from antiphon.telephony.ari.transfer import Action, Signal, State, TransferMachine

log = logging.getLogger(__name__)

ACCEPT_KEY = "1"
REFUSE_KEY = "2"

DIAL_GRACE_SECS = 5.0
"""How much longer than the ring time-out the exchange may take to say that nobody answered."""

RETURN_ATTEMPTS = 3
RETURN_PAUSE_SECS = 0.3


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """What is to be done."""

    target: str
    """As it was asked for: for people and logs."""
    endpoint: str
    """What Asterisk dials."""
    mode: TransferMode
    announcement: str = ""
    """Attended: what the agent tells the target."""
    confirm: bool = False
    """Attended: the target must press 1; a voice mailbox does not."""
    ring_timeout_secs: int = 30
    announce_timeout_secs: float = 60.0
    confirm_secs: float = 15.0
    """How long after the announcement the target may take to press 1, s."""
    caller_id: str = ""
    music_class: str = ""


Announce = Callable[[str], Awaitable[None]]
"""Has the agent speak a text on its leg; returns when it has been heard."""

Notice = Callable[[], Awaitable[None]]


class Transferring:
    """One transfer under way.

    Args:
        client: The exchange.
        hang_ups: Hangs channels up.
        call: The call, in which `call.target` is set to a leg tracked before anything is dialled.
        order: What is to be done.
        announce: Speaks to the target.
        before_release: Called when the caller and the target are connected, before the agent's leg
            is hung up: the session learns that it ends because of a transfer.
        give_back: Called when neither the target nor the agent is there for the caller.
    """

    def __init__(
        self,
        client: AriClient,
        hang_ups: HangUps,
        call: Call,
        target: Leg,
        order: TransferOrder,
        *,
        announce: Announce,
        before_release: Notice,
        give_back: Notice,
    ):
        self._client = client
        self._hang_ups = hang_ups
        self._call = call
        self._target = target
        self._order = order
        self._announce = announce
        self._before_release = before_release
        self._give_back = give_back
        self._machine = TransferMachine()
        self._signals: asyncio.Queue[tuple[Signal, str]] = asyncio.Queue()
        self._announcing: asyncio.Task[None] | None = None
        self._do: Mapping[Action, Callable[[], Awaitable[None]]] = {
            Action.HOLD_CALLER: self._hold_caller,
            Action.DIAL_TARGET: self._dial_target,
            Action.ANNOUNCE: self._begin_announcing,
            Action.CONNECT: self._connect,
            Action.RELEASE_AGENT: self._release_agent,
            Action.HANG_UP_TARGET: self._hang_up_target,
            Action.RETURN_CALLER: self._return_caller,
            Action.CONTINUE_CALLER: self._give_back,
        }

    @property
    def state(self) -> State:
        """Where it is."""
        return self._machine.state

    def notice(self, leg: Leg, change: LegChange, key: str) -> None:
        """Something happened to a leg of the call."""
        signal, reason = self._read(leg, change, key)
        if signal is not None:
            self._signals.put_nowait((signal, reason))

    def cancel(self, reason: str = "") -> None:
        """Give it up, if it is not too late."""
        self._signals.put_nowait((Signal.CANCELLED, reason))

    def _read(self, leg: Leg, change: LegChange, key: str) -> tuple[Signal | None, str]:
        if change is LegChange.GONE:
            if leg is self._call.caller:
                return Signal.CALLER_LEFT, ""
            if leg is self._call.agent_leg:
                return Signal.AGENT_LEFT, ""
        if leg is self._target:
            if change is LegChange.GONE:
                if leg.has_entered:  # it had answered: it hung up on us
                    return Signal.FAILED, DialFailure.REJECTED.value
                return Signal.FAILED, dial_failure(leg.cause, leg.dial_status).value
            if change is LegChange.ENTERED:
                return Signal.ANSWERED, ""
            if change is LegChange.KEY:
                return {ACCEPT_KEY: Signal.ACCEPTED, REFUSE_KEY: Signal.REFUSED}.get(key), ""
        return None, ""

    async def run(self) -> TransferResult:
        """Carry it out to its end."""
        self._signals.put_nowait((TransferMachine.first_signal(self._order.mode), ""))
        loop = asyncio.get_running_loop()
        # Should events get lost, the caller must not listen to music for ever.
        limit = loop.call_later(
            self._order.ring_timeout_secs + DIAL_GRACE_SECS, self._dialled_too_long
        )
        try:
            while not self._machine.is_over:
                signal, reason = await self._signals.get()
                for action in self._machine.feed(signal, reason):
                    await self._perform(action)
        finally:
            limit.cancel()
            if self._announcing is not None:
                self._announcing.cancel()
        connected = self._machine.state is State.CONNECTED
        log.info(
            "transfer of call %s to %s: %s",
            self._call.id,
            self._order.target,
            "connected" if connected else self._machine.reason,
        )
        return TransferResult(
            connected=connected,
            target=self._order.target,
            mode=self._order.mode,
            reason="" if connected else self._machine.reason,
        )

    def _dialled_too_long(self) -> None:
        if self.state in (State.RINGING, State.CALLING, State.ALONE):
            self.cancel(DialFailure.NO_ANSWER.value)

    async def _perform(self, action: Action) -> None:
        """Carry an action out; one that fails becomes a signal."""
        try:
            await self._do[action]()
        except AntiphonError as error:
            log.warning("transfer of call %s: %s: %s", self._call.id, action, error.message)
            if not self._machine.is_over:
                refused = isinstance(error, AriRequestError) and action is Action.DIAL_TARGET
                reason = DialFailure.UNREACHABLE if refused else DialFailure.FAILED
                self._signals.put_nowait((Signal.FAILED, reason.value))

    # The actions.

    async def _hold_caller(self) -> None:
        await self._client.leave(self._call.bridge, self._call.caller.id)
        await self._client.start_music(self._call.caller.id, self._order.music_class)

    async def _dial_target(self) -> None:
        await self._client.create_bridge(self._call.side_bridge)
        await self._client.originate(
            self._target.id,
            self._order.endpoint,
            caller_id=self._order.caller_id,
            timeout_secs=self._order.ring_timeout_secs,
            originator=self._call.caller.id,
        )
        self._target.exists = True

    async def _begin_announcing(self) -> None:
        agent = self._call.agent_leg
        assert agent is not None
        await self._client.join(self._call.side_bridge, self._target.id, agent.id)
        self._announcing = asyncio.get_running_loop().create_task(self._tell_target())

    async def _tell_target(self) -> None:
        """Speak, then wait for a key if one is wanted; the outcome is a signal."""
        try:
            async with asyncio.timeout(self._order.announce_timeout_secs):
                if self._order.announcement:
                    await self._announce(self._order.announcement)
        except Exception:
            # The target is there, the caller waits: connecting them serves both better.
            log.exception("call %s: the announcement failed", self._call.id)
        if not self._order.confirm:
            self._signals.put_nowait((Signal.ACCEPTED, ""))
            return
        await asyncio.sleep(self._order.confirm_secs)
        self._signals.put_nowait((Signal.REFUSED, DialFailure.NO_ANSWER.value))

    async def _connect(self) -> None:
        await self._client.stop_music(self._call.caller.id)
        await self._client.join(self._call.side_bridge, self._target.id, self._call.caller.id)
        self._signals.put_nowait((Signal.JOINED, ""))

    async def _release_agent(self) -> None:
        if self.state is State.CONNECTED:
            try:
                await self._before_release()
            except Exception:
                log.exception("call %s: the session was not told of the transfer", self._call.id)
        agent = self._call.agent_leg
        if agent is not None:
            await self._hang_ups.ask(agent.id)
        await self._client.destroy_bridge(self._call.bridge)

    async def _hang_up_target(self) -> None:
        await self._hang_ups.ask(self._target.id)

    async def _return_caller(self) -> None:
        """Put the caller and the agent together again, and do not give up at the first fault."""
        agent, caller = self._call.agent_leg, self._call.caller
        assert agent is not None
        for attempt in range(1, RETURN_ATTEMPTS + 1):
            try:
                await self._client.stop_music(caller.id)
                await self._client.join(self._call.bridge, agent.id, caller.id)
                await self._client.destroy_bridge(self._call.side_bridge)
            except (AriRequestError, Unavailable) as error:
                log.warning("call %s: the caller is not back yet: %s", self._call.id, error.message)
                if caller.is_gone:
                    return
                if attempt == RETURN_ATTEMPTS:
                    self._machine.state, self._machine.reason = State.STRANDED, AGENT_LEFT
                    await self._give_back()
                    return
                await asyncio.sleep(RETURN_PAUSE_SECS * attempt)
            else:
                return
