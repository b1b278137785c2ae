"""What is done at the exchange, step by step, for a call's beginning and end."""

import contextlib
import logging
from collections.abc import Callable

from antiphon.clock import Clock
from antiphon.domain.calls import (
    CallDirection,
    CallState,
    DialFailure,
    dial_failure,
)
from antiphon.errors import AntiphonError, Unavailable
from antiphon.telephony.ari.calls import Call, CallBook
from antiphon.telephony.ari.client import AriClient, gone_is_well
from antiphon.telephony.ari.errors import AriRequestError
from antiphon.telephony.ari.hang_ups import HangUps
from antiphon.telephony.ari.legs import Leg, LegChange, Legs

log = logging.getLogger(__name__)

DIAL_GRACE_SECS = 5.0
"""How much longer than the ring time-out the exchange may take to say that nobody answered."""

CALLER_HUNG_UP = "caller_hung_up"


class CallFlows:
    """The steps of a call at the exchange.

    Args:
        client: The exchange.
        legs: The channels that are followed.
        hang_ups: Hangs channels up.
        setup_timeout_secs: Longest wait for each step of the agent's leg, s.
        clock: Source of time.
    """

    def __init__(
        self,
        client: AriClient,
        legs: Legs,
        hang_ups: HangUps,
        setup_timeout_secs: float,
        clock: Clock,
    ):
        self._client = client
        self._legs = legs
        self._hang_ups = hang_ups
        self._setup_timeout_secs = setup_timeout_secs
        self._clock = clock
        self.prefix = f"{client.app}-"
        """Of the ids of every channel and bridge that is made here."""

    def name(self, call_id: str, part: str = "") -> str:
        """The id of a call's bridge, or of one of its channels."""
        return self.prefix + call_id + (f"-{part}" if part else "")

    # Beginning.

    async def place(self, call: Call, endpoint: str, ring_secs: int, caller_id: str) -> bool:
        """Dial the far end of an outbound call; returns whether it answered."""
        leg = call.caller

        def watch(_leg: Leg, change: LegChange, _key: str) -> None:
            if change is LegChange.RINGING:
                call.state = CallState.RINGING

        leg.watch(watch)
        try:
            await self._client.originate(
                leg.id, endpoint, caller_id=caller_id, timeout_secs=ring_secs
            )
            leg.exists = True
            if await leg.until(LegChange.ENTERED, ring_secs + DIAL_GRACE_SECS):
                call.state = CallState.CONNECTING
                return True
        except TimeoutError:
            await self._hang_ups.ask(leg.id)
            await self.tear_down(call, DialFailure.NO_ANSWER.value)
        except AriRequestError as error:
            log.warning("call %s: %s", call.id, error.message)
            await self.tear_down(call, DialFailure.UNREACHABLE.value)
        except Unavailable as error:
            log.warning("call %s: %s", call.id, error.message)
            await self.tear_down(call, DialFailure.FAILED.value)
        return False

    async def connect_agent(self, call: Call, agent: Leg, endpoint: str) -> None:
        """Set up the agent's leg, then answer the caller.

        Raises:
            Unavailable: the agent's leg did not come up.
            AriRequestError: Asterisk refused a step.
        """
        if not call.caller.is_up:
            await self._client.ring(call.caller.id)
        await self._client.create(agent.id, endpoint)
        agent.exists = True
        await self._reach(agent, LegChange.ENTERED)
        await self._client.create_bridge(call.bridge)
        await self._client.join(call.bridge, call.caller.id, agent.id)
        await self._client.dial(agent.id)
        await self._reach(agent, LegChange.UP)
        await self._client.answer(call.caller.id)
        if call.state is not CallState.ENDED:
            call.state = CallState.TALKING
            call.answered_at = self._clock.utc_now()

    async def _reach(self, agent: Leg, what: LegChange) -> None:
        try:
            if await agent.until(what, self._setup_timeout_secs):
                return
        except TimeoutError:
            raise Unavailable("the agent's leg took too long", code="agent_unavailable") from None
        raise Unavailable(
            f"the agent's leg was hung up (cause {agent.cause}); does the section of "
            "websocket_client.conf lead to this server?",
            code="agent_unavailable",
        )

    # Between.

    async def hold(self, call: Call, music_class: str) -> None:
        """Let the caller hear music."""
        await self._client.leave(call.bridge, call.caller.id)
        try:
            await self._client.start_music(call.caller.id, music_class)
        except AntiphonError:
            await self._client.join(call.bridge, call.caller.id)
            raise
        call.state = CallState.HELD

    async def unhold(self, call: Call) -> None:
        """Put the caller and the agent together again."""
        await self._client.stop_music(call.caller.id)
        try:
            await self._client.join(call.bridge, call.caller.id)
        except AntiphonError:
            await self._client.start_music(call.caller.id)
            raise
        call.state = CallState.TALKING

    async def peer_of(self, channel_id: str) -> str:
        """The channel at the other end of a bridge of two; empty where there is none."""
        for bridge in await self._client.bridges():
            if channel_id in bridge.channels:
                others = [one for one in bridge.channels if one != channel_id]
                return others[0] if len(others) == 1 else ""
        return ""

    # Ending.

    def reason_of(self, call: Call) -> str:
        """Why a call is over whose caller is gone."""
        if call.direction is CallDirection.OUTBOUND and not call.caller.has_entered:
            return dial_failure(call.caller.cause, call.caller.dial_status).value
        return CALLER_HUNG_UP

    async def give_back(self, call: Call, reason: str) -> None:
        """The agent is gone: the caller goes on in the dialplan, or is hung up if there is none.

        A caller who is gone, too, is well.

        Raises:
            Unavailable: Asterisk does not answer.
            AriRequestError: it refused.
        """
        self._end(call, reason)
        try:
            if call.direction is CallDirection.INBOUND and not call.caller.is_gone:
                with gone_is_well():
                    await self._client.set_variable(call.caller.id, "ANTIPHON_RESULT", reason)
                    await self._client.continue_in_dialplan(call.caller.id)
            else:
                await self._hang_ups.ask(call.caller.id)
        finally:
            await self._clear(call, keep=call.caller)

    async def tear_down(self, call: Call, reason: str) -> None:
        """Hang up every leg and destroy the bridges."""
        self._end(call, reason)
        await self._clear(call)

    def _end(self, call: Call, reason: str) -> None:
        if call.state is not CallState.ENDED:
            call.state, call.reason = CallState.ENDED, reason
            call.ended_at = self._clock.utc_now()
            log.info("call %s ended: %s", call.id, reason)

    async def _clear(self, call: Call, keep: Leg | None = None) -> None:
        for leg in call.legs:
            if leg is not keep and not leg.is_gone:
                with contextlib.suppress(AntiphonError):
                    await self._hang_ups.ask(leg.id)
        for bridge in (call.bridge, call.side_bridge):
            with contextlib.suppress(AntiphonError):
                await self._client.destroy_bridge(bridge)

    # After a restart.

    async def adopt(self, book: CallBook, follow: Callable[[Call, Leg], None]) -> None:
        """Look after the callers of a process that died with this application's name.

        A caller left alone in a bridge goes on in the dialplan; two who were connected by a
        transfer are left to talk, and the other is hung up when one goes.
        """
        bridges = await self._client.bridges()
        known = {name for call in book.live for name in (call.bridge, call.side_bridge)}
        for bridge in bridges:
            if not bridge.id.startswith(self.prefix) or bridge.id in known:
                continue
            people = [one for one in bridge.channels if not one.endswith("-agent")]
            if len(people) == 2:
                self._adopt_pair(book, follow, bridge.id, people)
                continue
            for channel_id in people:
                log.warning("ARI: %s was left in %s; back to the dialplan", channel_id, bridge.id)
                with contextlib.suppress(AntiphonError):
                    await self._client.set_variable(channel_id, "ANTIPHON_RESULT", "agent_lost")
                    await self._client.continue_in_dialplan(channel_id)
            await self._client.destroy_bridge(bridge.id)

    def _adopt_pair(
        self,
        book: CallBook,
        follow: Callable[[Call, Leg], None],
        bridge_id: str,
        people: list[str],
    ) -> None:
        caller, target = (self._legs.track(one) for one in people)
        caller.exists = target.exists = True
        call = Call(
            id=bridge_id.removeprefix(self.prefix),
            direction=CallDirection.INBOUND,
            caller=caller,
            bridge=bridge_id,
            started_at=self._clock.utc_now(),
            state=CallState.TRANSFERRED,
            target=target,
        )
        book.add(call)
        follow(call, caller)
        follow(call, target)
