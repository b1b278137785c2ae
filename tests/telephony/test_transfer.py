"""Transfers: the table by itself, then carried out at a simulated exchange."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.calls import CallState, TransferMode, TransferResult
from antiphon.errors import Conflict, InvalidRequest
from antiphon.telephony.ari import transferring
from antiphon.telephony.ari.transfer import FINAL, TABLE, Action, Signal, State, TransferMachine
from antiphon.testing.asterisk.ari import (
    DialOutcome,
    answers,
    busy,
    congested,
    no_answer,
    rejects,
    unreachable,
)
from telephony.exchange import SALES, Exchange, exchange

BLIND, ATTENDED = TransferMode.BLIND, TransferMode.ATTENDED


# The table.


def run(*signals: Signal) -> tuple[State, list[Action]]:
    machine = TransferMachine()
    actions = [action for signal in signals for action in machine.feed(signal)]
    return machine.state, actions


def test_a_blind_transfer_connects_on_answer_and_lets_the_agent_go_last():
    state, actions = run(Signal.BLIND, Signal.ANSWERED, Signal.JOINED)
    assert state is State.CONNECTED
    assert actions == [
        Action.HOLD_CALLER,
        Action.DIAL_TARGET,
        Action.CONNECT,
        Action.RELEASE_AGENT,
    ]


def test_an_attended_transfer_connects_only_once_accepted():
    state, actions = run(Signal.ATTENDED, Signal.ANSWERED)
    assert (state, actions[-1]) == (State.ANNOUNCING, Action.ANNOUNCE)
    assert Action.CONNECT not in actions


@dataclass
class Scene:
    """What a transfer's actions and signals make of the three parties."""

    machine: TransferMachine = field(default_factory=TransferMachine)
    caller: str = "agent"
    target: str = "none"
    agent: bool = True

    AFTER_SIGNAL: ClassVar = {
        Signal.CALLER_LEFT: {"caller": "gone"},
        Signal.JOINED: {"caller": "target"},
        Signal.AGENT_LEFT: {"agent": False},
        Signal.ANSWERED: {"target": "there"},
    }
    AFTER_ACTION: ClassVar = {
        Action.HOLD_CALLER: {"caller": "music"},
        Action.DIAL_TARGET: {"target": "dialled"},
        Action.RETURN_CALLER: {"caller": "agent"},
        Action.CONTINUE_CALLER: {"caller": "dialplan"},
        Action.HANG_UP_TARGET: {"target": "none"},
        Action.RELEASE_AGENT: {"agent": False},
    }

    def feed(self, signal: Signal) -> None:
        known = (self.machine.state, signal) in TABLE
        self.set(self.AFTER_SIGNAL.get(signal, {}) if known else {})
        for action in self.machine.feed(signal):
            assert self.agent or action is not Action.RETURN_CALLER, "nobody to return to"
            self.set(self.AFTER_ACTION.get(action, {}))
        if known and signal is Signal.FAILED:
            self.target = "none"

    def set(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            setattr(self, name, value)


@given(
    st.sampled_from([Signal.BLIND, Signal.ATTENDED]),
    st.lists(st.sampled_from([s for s in Signal if s not in (Signal.BLIND, Signal.ATTENDED)])),
)
def test_whatever_happens_the_caller_ends_with_somebody_and_nobody_is_forgotten(
    first: Signal, signals: list[Signal]
):
    scene = Scene()
    for signal in [first, *signals]:
        scene.feed(signal)
    machine, caller = scene.machine, scene.caller
    if machine.state in FINAL:
        expected = {
            State.CONNECTED: ("target", "there", False),
            State.RETURNED: ("agent", "none", True),
            State.ABANDONED: ("gone", "none", False),
            State.STRANDED: ("dialplan", "none", False),
        }[machine.state]
        assert (caller, scene.target, scene.agent) == expected
        assert bool(machine.reason) == (machine.state is not State.CONNECTED)
        assert machine.feed(Signal.ANSWERED) == (), "what comes late changes nothing"
    else:
        assert caller in ("music", "agent")


@pytest.mark.parametrize("state", [one for one in State if one not in FINAL])
def test_every_state_has_a_way_out_when_the_caller_leaves(state: State):
    assert TABLE[state, Signal.CALLER_LEFT][0] is State.ABANDONED


# At the exchange.


async def transfer(at: Exchange, mode: TransferMode = BLIND, text: str = "") -> TransferResult:
    return await asyncio.wait_for(
        at.control.transfer("s1", "sales", mode, announcement=text), timeout=10
    )


async def test_blind_the_caller_hears_music_then_the_target_and_the_agent_is_gone():
    async with exchange() as at:
        caller, call = await at.talking()
        result = await transfer(at)
        assert result == TransferResult(True, "sales", BLIND)
        assert caller.heard_in_turn == ["ringing", "agent", "music", SALES]
        assert at.voice.said == ["settled"], "what the agent said was heard first"
        assert at.voice.left == [("s1", "sales")]
        assert call.state is CallState.TRANSFERRED
        assert len(at.asterisk.channels) == 2
        at.asterisk.hang_up(at.asterisk.find(SALES).id)
        await at.over(call)
        assert at.asterisk.channels == {}
        assert at.asterisk.bridges == {}


@pytest.mark.parametrize("mode", [BLIND, ATTENDED])
@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (busy(), "busy"),
        (no_answer(), "no_answer"),
        (rejects(), "rejected"),
        (congested(), "unreachable"),
        (unreachable(), "unreachable"),
        (DialOutcome(cause=38), "failed"),
        (DialOutcome(cause=17, tells_cause=False), "busy"),
        (DialOutcome(cause=19, tells_cause=False), "no_answer"),
    ],
)
async def test_a_target_that_does_not_answer_leaves_the_caller_with_the_agent(
    mode: TransferMode, outcome: DialOutcome, reason: str
):
    async with exchange() as at:
        at.asterisk.script(SALES, outcome)
        caller, call = await at.talking()
        result = await transfer(at, mode, "Anna calls about a cello.")
        assert (result.connected, result.reason) == (False, reason)
        assert result.caller_is_with_agent
        assert caller.heard_in_turn == ["ringing", "agent", "music", "agent"]
        assert at.voice.away_states == [True, False], "the agent was deaf to the target only"
        assert call.state is CallState.TALKING
        assert len(at.asterisk.bridges) == 1
        at.asterisk.script(SALES, answers())
        assert (await transfer(at)).connected, "and another attempt may succeed"


async def test_a_target_that_rings_for_ever_is_given_up_after_the_ring_timeout():
    async with exchange(ring_timeout_secs=1) as at:
        at.asterisk.script(SALES, answers(after_ms=60_000))
        caller, _ = await at.talking()
        assert (await transfer(at)).reason == "no_answer"
        assert at.asterisk.hears(caller.id) == "agent"


async def test_attended_the_agent_tells_the_target_and_the_caller_hears_music_meanwhile():
    async with exchange() as at:
        at.voice.speech_ends.clear()
        caller, _ = await at.talking()
        going = asyncio.ensure_future(transfer(at, ATTENDED, "Anna calls about a cello."))
        await at.voice.speaking.wait()
        target = at.asterisk.find(SALES)
        assert (at.asterisk.hears(target.id), at.asterisk.hears(caller.id)) == ("agent", "music")
        assert at.voice.said[-1] == "Anna calls about a cello."
        at.voice.speech_ends.set()
        assert (await going).connected
        assert target.heard_in_turn == ["ringing", "agent", "PJSIP/trunk+agent", "PJSIP/trunk"]
        assert caller.heard_in_turn[:3] == ["ringing", "agent", "music"]
        assert caller.heard_in_turn[-1] == SALES


@pytest.mark.parametrize("how", ["hangs up", "presses 2"])
async def test_attended_a_target_that_declines_leaves_the_caller_with_the_agent(how: str):
    async with exchange() as at:
        at.voice.speech_ends.clear()
        caller, call = await at.talking()
        going = asyncio.ensure_future(transfer(at, ATTENDED, "Anna calls."))
        await at.voice.speaking.wait()
        target = at.asterisk.find(SALES)
        if how == "hangs up":
            at.asterisk.hang_up(target.id)
        else:
            at.asterisk.press(target.id, "2")
        assert (await going).reason == "rejected"
        assert at.asterisk.hears(caller.id) == "agent"
        assert at.asterisk.hears(target.id) == "gone"
        assert call.state is CallState.TALKING


async def test_attended_with_confirmation_a_mailbox_does_not_get_the_caller():
    async with exchange(confirm_transfer=True, confirm_secs=0.02) as at:
        caller, _ = await at.talking()
        assert (await transfer(at, ATTENDED, "Press one.")).reason == "no_answer"
        assert at.asterisk.hears(caller.id) == "agent"
    async with exchange(confirm_transfer=True) as at:
        caller, _ = await at.talking()
        going = asyncio.ensure_future(transfer(at, ATTENDED, "Press one."))
        await at.voice.speaking.wait()
        at.asterisk.press(at.asterisk.find(SALES).id, "1")
        assert (await going).connected
        assert at.asterisk.hears(caller.id) == SALES


async def test_an_announcement_that_fails_does_not_keep_the_caller_waiting():
    async with exchange() as at:
        at.voice.fails = True
        caller, _ = await at.talking()
        assert (await transfer(at, ATTENDED, "Anna calls.")).connected
        assert at.asterisk.hears(caller.id) == SALES


async def test_a_caller_who_hangs_up_while_the_target_rings_stops_the_ringing():
    async with exchange() as at:
        at.asterisk.script(SALES, answers(after_ms=60_000))
        caller, call = await at.talking()
        going = asyncio.ensure_future(transfer(at))
        await at.asterisk.until(lambda: len(at.asterisk.channels) == 3)
        at.asterisk.hang_up(caller.id)
        result = await going
        assert (result.reason, result.caller_is_with_agent) == ("caller_left", False)
        await at.over(call)
        assert at.asterisk.channels == {}
        assert at.asterisk.bridges == {}


@pytest.mark.parametrize(("outcome", "hears"), [(answers(30), SALES), (busy(30), "dialplan")])
async def test_an_agent_lost_while_the_target_rings_leaves_no_silence(
    outcome: DialOutcome, hears: str
):
    async with exchange() as at:
        at.asterisk.script(SALES, outcome)
        caller, _ = await at.talking()
        going = asyncio.ensure_future(transfer(at))
        await at.asterisk.until(lambda: len(at.asterisk.channels) == 3)
        at.asterisk.hang_up(at.asterisk.find("WebSocket/").id)
        result = await going
        assert result.connected == (hears == SALES)
        assert at.asterisk.hears(caller.id) == hears


async def test_a_target_lost_in_the_instant_of_connecting_leaves_the_caller_with_the_agent():
    async with exchange() as at:
        caller, _ = await at.talking()
        at.asterisk.refuse("POST /bridges/.*-side/addChannel", 400, "Channel not found")
        result = await transfer(at)
        assert (result.connected, result.reason) == (False, "failed")
        assert at.asterisk.hears(caller.id) == "agent"
        assert len(at.asterisk.channels) == 2


@pytest.mark.parametrize(("faults", "hears"), [(2, "agent"), (3, "dialplan")])
async def test_the_way_back_is_tried_again_and_then_leads_to_the_dialplan(
    faults: int, hears: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transferring, "RETURN_PAUSE_SECS", 0.01)
    async with exchange() as at:
        caller, call = await at.talking()
        at.asterisk.script(SALES, busy())
        for _ in range(faults):
            at.asterisk.refuse(f"POST /bridges/{call.bridge}/addChannel")
        result = await transfer(at)
        assert result.caller_is_with_agent == (hears == "agent")
        assert at.asterisk.hears(caller.id) == hears


async def test_events_lost_while_the_target_answers_are_made_up_for():
    async with exchange() as at:
        at.asterisk.script(SALES, answers(after_ms=1))
        caller, _ = await at.talking()
        going = asyncio.ensure_future(transfer(at))
        await at.asterisk.until(lambda: len(at.asterisk.channels) == 3)
        await at.asterisk.lose_events()
        assert (await going).connected
        assert at.asterisk.hears(caller.id) == SALES


async def test_a_waiter_who_is_cancelled_does_not_stop_the_transfer():
    async with exchange() as at:
        at.asterisk.script(SALES, answers(after_ms=20))
        caller, _ = await at.talking()
        going = asyncio.ensure_future(at.control.transfer("s1", "sales"))
        await at.asterisk.until(lambda: len(at.asterisk.channels) == 3)
        going.cancel()
        await at.asterisk.until(lambda: at.asterisk.hears(caller.id) == SALES)


async def test_one_transfer_at_a_time_and_only_to_known_targets():
    async with exchange() as at:
        at.asterisk.script(SALES, answers(after_ms=30))
        await at.talking()
        with pytest.raises(InvalidRequest) as unknown:
            await at.control.transfer("s1", "+4930123")
        assert unknown.value.error_code == "unknown_target"
        going = asyncio.ensure_future(transfer(at))
        await at.asterisk.until(lambda: len(at.asterisk.channels) == 3)
        with pytest.raises(Conflict) as second:
            await at.control.transfer("s1", "sales")
        assert second.value.details == {"state": "transferring"}
        assert (await going).connected


async def test_a_held_caller_can_be_transferred_and_comes_back_to_the_agent():
    async with exchange() as at:
        at.asterisk.script(SALES, busy())
        caller, _ = await at.talking()
        await at.control.hold("s1")
        assert not (await transfer(at)).connected
        assert at.asterisk.hears(caller.id) == "agent"
