"""Control of calls through ARI: taking them in, placing, transferring, holding, ending.

**Callers in Stasis** (`Stasis(antiphon)` in the dialplan) are wholly ours: a mixing bridge holds
the caller and the agent's leg, a WebSocket channel that is made here. That leg is *created*, put
into the bridge and only then dialled, so nothing of the greeting is lost, and the caller is
answered only once the agent is there: if it is not, the dialplan goes on after `Stasis()`
unanswered, with `ANTIPHON_RESULT` set, and can send the caller elsewhere.

**Callers in `Dial(WebSocket/…)`** stay the dialplan's: ARI answers 409 ("Channel not in a Stasis
application") to `continue`, `redirect`, `hold`, `moh`, `dtmf` and 422 to `addChannel` for them, and
`redirect` reaches another SIP endpoint, not a dialplan context. Only hang-up works; the rest is
refused with the change to the dialplan that is needed.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Mapping
from typing import Any

from antiphon.clock import Clock
from antiphon.domain.calls import (
    AGENT_LEFT,
    CALLER_LEFT,
    CallDirection,
    CallState,
    TransferMode,
    TransferResult,
)
from antiphon.errors import AntiphonError, Conflict, Unavailable
from antiphon.telephony.ari.calls import Call, CallBook
from antiphon.telephony.ari.client import AriClient, AriHealth
from antiphon.telephony.ari.config import CallControlConfig
from antiphon.telephony.ari.flows import CallFlows
from antiphon.telephony.ari.hang_ups import HangUps
from antiphon.telephony.ari.legs import Leg, LegChange, Legs
from antiphon.telephony.ari.models import AriEvent
from antiphon.telephony.ari.numbers import agent_endpoint, dtmf
from antiphon.telephony.ari.transferring import TransferOrder, Transferring
from antiphon.telephony.ari.voice import AgentVoice

log = logging.getLogger(__name__)

SETTLE_SECS = 20.0
"""Longest wait for what the agent is saying, before a transfer, s."""

CLOSE_SECS = 5.0
"""Longest time for giving calls in progress back, s."""

TRANSFERABLE = (CallState.TALKING, CallState.HELD)


class AriCallControl:
    """All calls of this process at the exchange.

    Args:
        client: The exchange; opened and closed here.
        config: How calls are placed and taken.
        voice: The sessions that talk on the calls.
        clock: Source of time.
    """

    def __init__(
        self, client: AriClient, config: CallControlConfig, *, voice: AgentVoice, clock: Clock
    ):
        self.client = client
        self.config = config
        self.book = CallBook()
        self._voice = voice
        self._clock = clock
        self._legs = Legs()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._hang_ups = HangUps(client, self._legs, self._spawn, config.hang_up_patience_secs)
        self._flows = CallFlows(
            client, self._legs, self._hang_ups, config.setup_timeout_secs, clock
        )
        client.listen(self._on_event)
        client.on_connected(lambda: self._spawn(self._catch_up()))

    # Its life.

    def open(self) -> None:
        """Begin to take calls."""
        self.client.open()

    async def close(self) -> None:
        """Stop; calls in progress are given back to the dialplan or hung up.

        Never raises for what is wrong at the exchange: what cannot be given back stays there.
        """
        await self._cancel_tasks()
        ours = (one for one in self.book.live if one.state is not CallState.TRANSFERRED)
        try:
            async with asyncio.timeout(CLOSE_SECS):
                await asyncio.gather(
                    *(self._try(self._flows.give_back(call, "shutdown")) for call in ours)
                )
        except TimeoutError:
            log.warning("ARI: not all calls were given back to the dialplan in %g s", CLOSE_SECS)
        await self._cancel_tasks()
        await self.client.close()

    async def _cancel_tasks(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def health(self) -> AriHealth:
        """How the exchange is."""
        return await self.client.health()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # What comes from the exchange.

    def _on_event(self, event: AriEvent) -> None:
        known = event.channel is not None and self._legs.find(event.channel.id) is not None
        if event.type == "StasisStart" and event.channel is not None and not known:
            self._spawn(self._take_in(event))
        else:
            self._legs.take(event)

    async def _take_in(self, event: AriEvent) -> None:
        """A caller came into the application."""
        channel = event.channel
        assert channel is not None
        if channel.id.startswith(self._flows.prefix):
            # One that we dialled before this process began: nobody waits for it.
            await self._try(self._hang_ups.ask(channel.id))
            return
        call = self._new_call(CallDirection.INBOUND, channel.id)
        call.number = channel.caller_number
        call.variables = {"from": channel.caller_number, "to": channel.extension} | event.args
        call.agent = event.args.get("agent", "")
        call.caller.exists = True
        call.caller.change(LegChange.ENTERED)
        if channel.is_up:
            call.caller.change(LegChange.UP)
        await self._connect_agent(call)

    def _new_call(self, direction: CallDirection, channel_id: str) -> Call:
        call_id = secrets.token_hex(8)
        call = Call(
            id=call_id,
            direction=direction,
            caller=self._legs.track(channel_id or self._flows.name(call_id, "callee")),
            bridge=self._flows.name(call_id),
            started_at=self._clock.utc_now(),
        )
        self.book.add(call)
        self._follow(call, call.caller)
        return call

    def _follow(self, call: Call, leg: Leg) -> None:
        leg.watch(lambda leg, change, key: self._on_leg(call, leg, change, key))

    def _on_leg(self, call: Call, leg: Leg, change: LegChange, key: str) -> None:
        if call.transfer is not None:
            call.transfer.notice(leg, change, key)
        elif change is LegChange.GONE and call.state is not CallState.ENDED:
            if leg is call.caller:
                reason = self._flows.reason_of(call)
                self._spawn(self._try(self._flows.tear_down(call, reason)))
            elif leg is call.target:
                self._spawn(self._try(self._flows.tear_down(call, "target_left")))
            elif leg is call.agent_leg and call.state in TRANSFERABLE:
                self._spawn(self._try(self._flows.give_back(call, AGENT_LEFT)))

    async def _connect_agent(self, call: Call) -> None:
        leg = self._legs.track(self._flows.name(call.id, "agent"))
        call.agent_leg = leg
        self._follow(call, leg)
        ours = {"call_id": call.id, "uniqueid": call.caller.id, "agent": call.agent}
        parameters = ours | call.variables | ours  # ours first, and not to be replaced
        try:
            endpoint = agent_endpoint(
                self.config.websocket_connection, self.config.websocket_options, parameters
            )
            await self._flows.connect_agent(call, leg, endpoint)
        except AntiphonError as error:
            if call.state is CallState.ENDED:  # the caller left: clear what was made since
                await self._flows.tear_down(call, call.reason)
                return
            log.warning("call %s: no agent: %s", call.id, error.message)
            await self._try(self._flows.give_back(call, "agent_unavailable"))

    async def _catch_up(self) -> None:
        """After the event socket was (re)connected: what happened meanwhile."""
        try:
            existing = self._legs.existing()
            self._legs.compare(existing, await self.client.channels())
            await self._flows.adopt(self.book, self._follow)
        except AntiphonError as error:
            log.warning("ARI: cannot compare calls after connecting: %s", error.message)

    async def _try(self, work: Coroutine[Any, Any, None]) -> None:
        """What is done for order's sake: a failure is only noted."""
        try:
            await work
        except AntiphonError as error:
            log.warning("ARI: %s", error.message)

    # Sessions.

    def bind(self, session_id: str, channel_id: str, *, caller_channel: str = "") -> Call:
        """A session began on a WebSocket channel.

        Args:
            session_id: The session.
            channel_id: `channel_id` of MEDIA_START.
            caller_channel: The caller's `${UNIQUEID}`, where the dialplan's `Dial()` told it
                (`v(uniqueid=${UNIQUEID})`); not needed for callers in Stasis.
        """
        call = self.book.by_agent_channel(channel_id)
        if call is None:
            call = Call(
                id=secrets.token_hex(8),
                direction=CallDirection.INBOUND,
                caller=Leg(caller_channel),
                bridge="",
                started_at=self._clock.utc_now(),
                state=CallState.TALKING,
                agent_leg=Leg(channel_id),
                in_stasis=False,
            )
        self.book.bind(call, session_id)
        return call

    def unbind(self, session_id: str) -> None:
        """The session has ended."""
        self.book.unbind(session_id)

    def _call_of(self, session_id: str, *states: CallState) -> Call:
        call = self.book.by_session(session_id)
        if call is None:
            raise Conflict(
                f"session {session_id} is not on a call through Asterisk", code="not_an_ari_call"
            )
        if not call.in_stasis:
            raise Conflict(
                "the caller is in Dial(), where ARI may only hang up; send callers to "
                f"Stasis({self.client.app}) in extensions.conf instead of Dial(WebSocket/…)",
                code="caller_not_in_stasis",
            )
        if not self.client.connected.is_set():
            raise Unavailable("the ARI event socket is not connected", code="ari_unreachable")
        if call.transfer is not None or call.state not in states:
            raise Conflict(
                f"the call is {call.state.value}; this needs it to be "
                + " or ".join(state.value for state in states),
                code="wrong_call_state",
                details={"state": call.state.value},
            )
        return call

    # What can be asked for.

    def originate(
        self,
        to: str,
        *,
        agent: str,
        ring_timeout_secs: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Call:
        """Begin to call somebody; the call's state tells how it goes.

        Args:
            to: The number.
            agent: Who talks once it is answered.
            ring_timeout_secs: How long it may ring.
            variables: Given to the agent's leg as URI parameters.

        Raises:
            InvalidRequest: `to` is no number, or a variable's name is none.
            Unavailable: the event socket is not connected.
        """
        endpoint = self.config.dial_plan.number(to)
        agent_endpoint("check", "", variables or {})
        if not self.client.connected.is_set():
            raise Unavailable("the ARI event socket is not connected", code="ari_unreachable")
        call = self._new_call(CallDirection.OUTBOUND, "")
        call.number, call.agent, call.state = to, agent, CallState.DIALLING
        call.variables = {"to": to, "direction": "outbound"} | dict(variables or {})
        self._spawn(self._place(call, endpoint, ring_timeout_secs or self.config.ring_timeout_secs))
        return call

    async def _place(self, call: Call, endpoint: str, ring_timeout_secs: int) -> None:
        if await self._flows.place(call, endpoint, ring_timeout_secs, self.config.caller_id):
            await self._connect_agent(call)

    async def hold(self, session_id: str) -> None:
        """Let the caller hear music."""
        call = self._call_of(session_id, CallState.TALKING)
        await self._flows.hold(call, self.config.music_class)
        await self._voice.away(session_id, away=True)

    async def unhold(self, session_id: str) -> None:
        """Let the caller hear the agent again."""
        await self._flows.unhold(self._call_of(session_id, CallState.HELD))
        await self._voice.away(session_id, away=False)

    async def send_dtmf(self, session_id: str, digits: str) -> None:
        """Send tones to the caller's side.

        Raises:
            InvalidRequest: a character is no key.
            Conflict: the call cannot have them now.
        """
        tones = dtmf(digits)
        call = self._call_of(session_id, *TRANSFERABLE)
        await self.client.send_dtmf(call.caller.id, tones)

    async def hang_up(self, session_id: str) -> None:
        """Hang up the caller, who need not be in Stasis."""
        call = self.book.by_session(session_id)
        if call is None:
            raise Conflict(
                f"session {session_id} is not on a call through Asterisk", code="not_an_ari_call"
            )
        channel_id = call.caller.id
        if not call.in_stasis and not channel_id and call.agent_leg is not None:
            channel_id = await self._flows.peer_of(call.agent_leg.id)
        if not channel_id:
            raise Conflict("the caller's channel is not known yet", code="wrong_call_state")
        await self._hang_ups.ask(channel_id)

    async def transfer(
        self,
        session_id: str,
        target: str,
        mode: TransferMode = TransferMode.BLIND,
        *,
        announcement: str = "",
        any_number: bool = False,
    ) -> TransferResult:
        """Hand the caller to somebody else; returns when it is decided.

        The transfer goes on to its end, and so to a caller who hears somebody, even when the one
        who waits for it is cancelled.

        Raises:
            InvalidRequest: the target may not be dialled.
            Conflict: the call cannot be transferred now.
            Unavailable: the exchange is not reachable.
        """
        endpoint = self.config.dial_plan.target(target, any_number=any_number)
        call = self._call_of(session_id, *TRANSFERABLE)
        order = TransferOrder(
            target=target,
            endpoint=endpoint,
            mode=mode,
            announcement=announcement,
            confirm=self.config.confirm_transfer,
            confirm_secs=self.config.confirm_secs,
            ring_timeout_secs=self.config.ring_timeout_secs,
            caller_id=self.config.caller_id,
            music_class=self.config.music_class,
        )
        leg = self._legs.track(self._flows.name(call.id, f"target-{secrets.token_hex(3)}"))
        transferring = Transferring(
            self.client,
            self._hang_ups,
            call,
            leg,
            order,
            announce=lambda text: self._voice.announce(session_id, text),
            before_release=lambda: self._voice.transferred(session_id, target),
            give_back=lambda: self._flows.give_back(call, AGENT_LEFT),
        )
        was_held, call.state = call.state is CallState.HELD, CallState.TRANSFERRING
        call.target, call.transfer = leg, transferring
        self._follow(call, leg)
        return await asyncio.shield(
            self._spawn(self._carry_out(call, transferring, session_id, settle=not was_held))
        )

    async def _carry_out(
        self, call: Call, transferring: Transferring, session_id: str, *, settle: bool
    ) -> TransferResult:
        if settle:
            try:
                async with asyncio.timeout(SETTLE_SECS):
                    await self._voice.settle(session_id)
            except TimeoutError:
                log.warning("session %s: still speaking; transferring all the same", session_id)
        await self._voice.away(session_id, away=True)
        try:
            result = await transferring.run()
        except Exception:
            log.exception("call %s: the transfer failed in a way not foreseen", call.id)
            await self._try(self._flows.give_back(call, AGENT_LEFT))
            raise
        finally:
            call.transfer = None
        if result.connected:
            call.state = CallState.TRANSFERRED
        elif result.reason == CALLER_LEFT:
            await self._try(self._flows.tear_down(call, self._flows.reason_of(call)))
        elif result.reason != AGENT_LEFT:
            call.state, call.target = CallState.TALKING, None
            await self._voice.away(session_id, away=False)
        for leg in call.legs:  # one that went in the last moment was told to the transfer
            if leg.is_gone:
                self._on_leg(call, leg, LegChange.GONE, "")
        return result
