"""Callers taken in, called, held and ended, against a simulated exchange."""

import asyncio

import pytest

from antiphon.domain.calls import CallState
from antiphon.errors import AntiphonError, Conflict, InvalidRequest, Unavailable
from antiphon.testing.asterisk.ari import (
    DialOutcome,
    answers,
    busy,
    congested,
    no_answer,
    no_route,
    rejects,
    unreachable,
)
from telephony.exchange import SALES, exchange


def steps(requests: list[tuple[str, dict[str, str]]]) -> list[str]:
    """The requests that changed something, without ids."""
    return [
        path.split("/")[-1] if "create" in path or path.count("/") == 3 else path.split("/")[0]
        for path, _ in requests
        if path.startswith("POST /channels") or "addChannel" in path
    ]


async def test_a_caller_in_stasis_meets_the_agent_before_it_is_dialled_or_answered():
    async with exchange() as at:
        caller = at.asterisk.incoming_call("0301234", "100", ("agent=shop", "language=de"))
        await at.asterisk.until(lambda: at.asterisk.hears(caller.id) == "agent")
        assert steps(at.asterisk.requests) == ["ring", "create", "addChannel", "dial", "answer"]
        agent = at.asterisk.find("WebSocket/")
        assert agent.endpoint.startswith("WebSocket/antiphon/c(slin16)v(call_id=")
        for part in (
            f"uniqueid={caller.id}",
            "from=0301234",
            "to=100",
            "agent=shop",
            "language=de",
        ):
            assert part in agent.endpoint
        call = at.control.bind("s1", agent.id)
        assert (call.number, call.agent, call.session_id) == ("0301234", "shop", "s1")


async def test_without_an_agent_the_dialplan_goes_on_and_the_caller_is_never_answered():
    async with exchange() as at:
        at.asterisk.script("WebSocket/antiphon", no_route())
        caller = at.asterisk.incoming_call()
        await at.asterisk.until(lambda: at.asterisk.hears(caller.id) == "dialplan")
        assert caller.state == "Ring"
        assert caller.variables == {"ANTIPHON_RESULT": "agent_unavailable"}
        [call] = at.control.book._calls.values()
        await at.over(call)
        assert at.asterisk.bridges == {}


async def test_a_caller_who_hangs_up_takes_the_agents_leg_along():
    async with exchange() as at:
        caller, call = await at.talking()
        at.asterisk.hang_up(caller.id)
        await at.over(call)
        assert (call.state, call.reason) == (CallState.ENDED, "caller_hung_up")
        assert at.asterisk.channels == {}
        assert at.asterisk.bridges == {}


async def test_a_caller_who_hangs_up_while_the_agent_is_set_up_leaves_nothing_behind():
    async with exchange() as at:
        at.asterisk.script("WebSocket/antiphon", DialOutcome(after_ms=30, rings=False))
        caller = at.asterisk.incoming_call()
        await at.asterisk.until(lambda: len(at.asterisk.channels) == 2)
        at.asterisk.hang_up(caller.id)
        [call] = at.control.book._calls.values()
        await at.over(call)
        await at.asterisk.until(lambda: not at.asterisk.channels and not at.asterisk.bridges)


async def test_when_the_agents_leg_ends_the_caller_goes_on_in_the_dialplan():
    async with exchange() as at:
        caller, call = await at.talking()
        at.asterisk.hang_up(at.asterisk.find("WebSocket/").id)
        await at.over(call)
        assert at.asterisk.hears(caller.id) == "dialplan"
        assert caller.variables["ANTIPHON_RESULT"] == "agent_left"


async def test_an_outbound_call_rings_is_answered_and_meets_the_agent():
    async with exchange() as at:
        at.asterisk.script(SALES, answers(after_ms=40))
        call = at.control.originate("201", agent="shop", variables={"order": "7 b", "call_id": "x"})
        assert call.state is CallState.DIALLING
        await at.reached(call, CallState.RINGING)
        await at.reached(call, CallState.TALKING)
        assert at.asterisk.hears(call.caller.id) == "agent"
        assert "order=7%20b" in at.asterisk.find("WebSocket/").endpoint
        assert f"call_id={call.id}," in at.asterisk.find("WebSocket/").endpoint
        at.asterisk.hang_up(at.asterisk.find("WebSocket/").id)
        at.control.bind("s1", call.agent_leg.id if call.agent_leg else "")
        await at.over(call)
        assert at.asterisk.hears(call.caller.id) == "gone", "there is no dialplan to go on in"
        assert call.describe()["reason"] == "agent_left"


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (busy(), "busy"),
        (no_answer(), "no_answer"),
        (rejects(), "rejected"),
        (congested(), "unreachable"),
        (unreachable(), "unreachable"),
        (DialOutcome(cause=38), "failed"),
    ],
)
async def test_an_outbound_call_that_fails_says_why(outcome: DialOutcome, reason: str):
    async with exchange() as at:
        at.asterisk.script(SALES, outcome)
        call = at.control.originate("201", agent="shop")
        await at.over(call)
        assert call.reason == reason
        assert call.describe()["answered_at"] is None
        assert at.asterisk.channels == {}
        assert not [one for one in at.asterisk.requests if "create" in one[0]], "no agent was made"


async def test_a_number_that_cannot_be_dialled_makes_no_call():
    async with exchange() as at:
        with pytest.raises(InvalidRequest):
            at.control.originate("1&PJSIP/9", agent="shop")
        with pytest.raises(InvalidRequest, match="variables"):
            at.control.originate("1", agent="shop", variables={"a,b": "1"})
        assert at.control.book.live == []


async def test_hold_is_music_and_unhold_the_agent():
    async with exchange() as at:
        caller, call = await at.talking()
        await at.control.hold("s1")
        assert (at.asterisk.hears(caller.id), call.state) == ("music", CallState.HELD)
        with pytest.raises(Conflict) as caught:
            await at.control.hold("s1")
        assert caught.value.error_code == "wrong_call_state"
        assert at.voice.away_states == [True]
        await at.control.unhold("s1")
        assert (at.asterisk.hears(caller.id), call.state) == ("agent", CallState.TALKING)
        assert at.voice.away_states == [True, False]


@pytest.mark.parametrize(
    ("verb", "fault", "hears"),
    [("hold", "POST /channels/.*/moh", "agent"), ("unhold", "POST .*/addChannel", "music")],
)
async def test_a_hold_that_fails_leaves_no_silence(verb: str, fault: str, hears: str):
    async with exchange() as at:
        caller, _ = await at.talking()
        if verb == "unhold":
            await at.control.hold("s1")
        at.asterisk.refuse(fault)
        with pytest.raises(AntiphonError, match="Allocation failed"):
            await getattr(at.control, verb)("s1")
        assert at.asterisk.hears(caller.id) == hears


async def test_tones_reach_the_caller_and_a_hang_up_ends_the_call():
    async with exchange() as at:
        caller, call = await at.talking()
        await at.control.send_dtmf("s1", "12#")
        assert caller.tones == "12#"
        await at.control.hang_up("s1")
        await at.over(call)
        assert at.asterisk.hears(caller.id) == "gone"


async def test_a_hang_up_that_the_exchange_only_notes_is_asked_for_again():
    async with exchange() as at:
        caller, call = await at.talking()
        caller.misses_hang_ups = 1
        await at.control.hang_up("s1")
        assert at.asterisk.hears(caller.id) == "agent"
        await at.over(call)
        assert (call.reason, at.asterisk.hears(caller.id)) == ("caller_hung_up", "gone")
        assert at.asterisk.channels == {}
        assert at.asterisk.bridges == {}


async def test_an_agents_leg_that_misses_its_hang_up_is_not_left_behind():
    async with exchange() as at:
        caller, call = await at.talking()
        at.asterisk.find("WebSocket/").misses_hang_ups = 1
        at.asterisk.hang_up(caller.id)
        await at.over(call)
        assert at.asterisk.channels == {}


async def test_a_hang_up_whose_event_is_lost_ends_the_call_all_the_same():
    async with exchange() as at:
        caller, call = await at.talking()
        at.asterisk.loses_events = True
        await at.control.hang_up("s1")
        await at.over(call)
        assert (call.reason, at.asterisk.hears(caller.id)) == ("caller_hung_up", "gone")


async def test_a_channel_that_never_goes_does_not_keep_its_call_alive():
    async with exchange() as at:
        caller, call = await at.talking()
        caller.misses_hang_ups = 99
        await at.control.hang_up("s1")
        await at.over(call)
        assert call.reason == "caller_hung_up"
        assert list(at.asterisk.channels) == [caller.id]


async def test_a_caller_in_dial_can_be_hung_up_and_nothing_else():
    async with exchange() as at:
        caller, agent = at.asterisk.dialplan_call()
        at.control.bind("s1", agent.id)
        with pytest.raises(Conflict, match=r"Stasis\(antiphon\)") as caught:
            await at.control.hold("s1")
        assert caught.value.error_code == "caller_not_in_stasis"
        await at.control.hang_up("s1")
        assert at.asterisk.hears(caller.id) == "gone"


async def test_a_session_without_a_call_and_an_exchange_without_events_are_told_apart():
    async with exchange() as at:
        with pytest.raises(Conflict) as caught:
            await at.control.hold("s9")
        assert caught.value.error_code == "not_an_ari_call"
        _, call = await at.talking()
        at.control.unbind("s1")
        with pytest.raises(Conflict):
            await at.control.send_dtmf("s1", "1")
        at.control.book.bind(call, "s1")
        at.control.client.connected.clear()
        with pytest.raises(Unavailable) as refused:
            await at.control.transfer("s1", "sales")
        assert refused.value.error_code == "ari_unreachable"


async def test_what_happened_while_events_were_lost_is_caught_up_with():
    async with exchange() as at:
        caller, call = await at.talking()
        await at.asterisk.lose_events()
        at.asterisk.hang_up(caller.id)
        await at.over(call)
        assert at.asterisk.channels == {}


async def test_callers_of_a_process_that_died_are_looked_after():
    async with exchange() as at:
        asterisk = at.asterisk
        await asterisk.lose_events()
        alone = asterisk.incoming_call()
        pair = asterisk.incoming_call(), asterisk.incoming_call()
        for bridge, people in (("antiphon-dead", [alone]), ("antiphon-live-side", pair)):
            asterisk.bridges[bridge] = [one.id for one in people]
            for one in people:
                one.bridge, one.in_stasis, one.continued, one.state = bridge, True, False, "Up"
        await asterisk.until(lambda: asterisk.hears(alone.id) == "dialplan")
        assert alone.variables["ANTIPHON_RESULT"] == "agent_lost"
        async with asyncio.timeout(5):
            while not at.control.book.live:
                await asyncio.sleep(0.002)
        assert asterisk.hears(pair[0].id) == "PJSIP/trunk", "the two go on talking"
        asterisk.hang_up(pair[1].id)
        await asterisk.until(lambda: asterisk.hears(pair[0].id) == "gone")


async def test_closing_gives_callers_back_to_the_dialplan():
    async with exchange() as at:
        caller, _ = await at.talking()
        await at.control.close()
        assert at.asterisk.hears(caller.id) == "dialplan"
        assert caller.variables["ANTIPHON_RESULT"] == "shutdown"


async def test_closing_does_not_mind_callers_who_are_gone():
    async with exchange(hang_up_patience_secs=9) as at:
        gone, _ = await at.talking()
        gone.misses_hang_ups = 1
        await at.control.hang_up("s1")
        staying = at.asterisk.incoming_call()
        await at.asterisk.until(lambda: at.asterisk.hears(staying.id) == "agent")
        await at.control.close()
        assert at.asterisk.hears(gone.id) == "gone"
        assert at.asterisk.hears(staying.id) == "dialplan"
        assert at.asterisk.bridges == {}


async def test_closing_does_not_mind_an_exchange_that_refuses():
    async with exchange() as at:
        refused, _ = await at.talking()
        at.asterisk.refuse(f"POST /channels/{refused.id}/variable", 500, "Internal error")
        await at.control.close()
        assert at.asterisk.hears(refused.id) == "silence", "the agent's leg is gone all the same"
