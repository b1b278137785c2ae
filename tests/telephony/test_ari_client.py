"""The ARI client against an exchange that speaks the documented REST and event socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from antiphon.clock import SystemClock
from antiphon.errors import ConfigurationError, InvalidMessage, InvalidRequest, Unavailable
from antiphon.telephony.ari import AriClient, AriRequestError
from antiphon.telephony.ari.events import Backoff
from antiphon.telephony.ari.models import AriEvent, read_event
from antiphon.telephony.ari.numbers import DialPlan, agent_endpoint, dtmf
from antiphon.testing.asterisk.ari import SimulatedAri, busy

QUICK = Backoff(first_secs=0.01, longest_secs=0.05)


@asynccontextmanager
async def connected(asterisk: SimulatedAri, password: str = "") -> AsyncIterator[AriClient]:
    client = AriClient(
        asterisk.url,
        asterisk.username,
        password or asterisk.password,
        asterisk.app,
        clock=SystemClock(),
        backoff=QUICK,
    )
    client.open()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def asterisk() -> AsyncIterator[SimulatedAri]:
    async with SimulatedAri() as simulated:
        yield simulated


async def until(client: AriClient, kind: str) -> AriEvent:
    """The next event of a type."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[AriEvent] = loop.create_future()

    def listen(event: AriEvent) -> None:
        if event.type == kind and not found.done():
            found.set_result(event)

    client.listen(listen)
    return await asyncio.wait_for(found, 5)


async def test_a_caller_in_stasis_is_told_with_number_extension_and_arguments(
    asterisk: SimulatedAri,
):
    async with connected(asterisk) as client:
        await client.connected.wait()
        told = asyncio.ensure_future(until(client, "StasisStart"))
        await asyncio.sleep(0)
        made = asterisk.incoming_call("0301234", "100", ("agent=shop", "language=de", "vip"))
        event = await told
    assert event.channel is not None
    assert (event.channel.id, event.channel.state) == (made.id, "Ring")
    assert (event.channel.caller_number, event.channel.extension) == ("0301234", "100")
    assert event.args == {"agent": "shop", "language": "de", "vip": ""}


async def test_a_busy_number_is_destroyed_with_its_cause(asterisk: SimulatedAri):
    asterisk.script("PJSIP/201@trunk", busy())
    async with connected(asterisk) as client:
        await client.connected.wait()
        told = asyncio.ensure_future(until(client, "ChannelDestroyed"))
        made = await client.originate("antiphon-1", "PJSIP/201@trunk", caller_id="100")
        event = await told
    assert made.id == "antiphon-1"
    assert event.channel is not None
    assert (event.channel.id, event.cause) == ("antiphon-1", 17)


async def test_a_refusal_names_the_request_and_what_asterisk_said(asterisk: SimulatedAri):
    async with connected(asterisk) as client:
        with pytest.raises(AriRequestError) as caught:
            await client.answer("17.1")
    assert caught.value.message == "ARI POST /channels/17.1/answer answered 404: Channel not found"
    assert caught.value.details["status"] == 404


async def test_an_id_cannot_reach_another_resource(asterisk: SimulatedAri):
    async with connected(asterisk) as client:
        with pytest.raises(AriRequestError, match="404"):
            await client.channel("../bridges")
    assert asterisk.requests[-1][0] in ("GET /channels/../bridges", "GET /channels/..%2Fbridges")


async def test_what_is_gone_already_can_be_ended_again(asterisk: SimulatedAri):
    async with connected(asterisk) as client:
        await client.hang_up("17.1")
        await client.destroy_bridge("b")
        await client.create_bridge("b")
        asterisk.refuse("DELETE .*", 500, "Server Error")
        with pytest.raises(AriRequestError, match="Server Error"):
            await client.destroy_bridge("b")


async def test_a_variable_that_is_not_there_is_empty(asterisk: SimulatedAri):
    async with connected(asterisk) as client:
        await client.connected.wait()
        caller = asterisk.incoming_call()
        await client.set_variable(caller.id, "ANTIPHON_RESULT", "agent_left")
        assert await client.variable(caller.id, "ANTIPHON_RESULT") == "agent_left"
        assert await client.variable(caller.id, "OTHER") == ""


async def test_the_event_socket_comes_back_after_a_loss(asterisk: SimulatedAri):
    async with connected(asterisk) as client:
        connections = 0

        def count() -> None:
            nonlocal connections
            connections += 1

        client.on_connected(count)
        await client.connected.wait()
        await asterisk.lose_events()
        await asterisk.until(lambda: len(asterisk._sockets) == 1)
        async with asyncio.timeout(5):
            while connections < 2:
                await client.connected.wait()
                await asyncio.sleep(0)
        assert (await client.health()).ok


async def test_whoever_is_replaced_stays_out_and_says_why(asterisk: SimulatedAri):
    async with connected(asterisk) as first:
        await first.connected.wait()
        async with connected(asterisk) as second:
            await second.connected.wait()
            async with asyncio.timeout(5):
                while first.connected.is_set():
                    await asyncio.sleep(0.005)
            health = await first.health()
            assert (health.reachable, health.events) == (True, False)
            assert "ari_app" in health.error
            assert (await second.health()).ok


async def test_health_tells_version_or_what_is_wrong(asterisk: SimulatedAri):
    async with connected(asterisk) as client:
        await client.connected.wait()
        health = await client.health()
        assert (health.ok, health.version, health.error) == (True, "23.2.0", "")
    async with connected(asterisk, password="wrong") as client:
        health = await client.health()
        assert not health.ok
        assert "401" in health.error
    with pytest.raises(Unavailable) as caught:
        gone = AriClient("http://127.0.0.1:9", "u", "p", "antiphon", clock=SystemClock())
        await gone.channels()
    assert caught.value.error_code == "ari_unreachable"
    await gone.close()


def test_a_url_without_a_path_gets_the_usual_one_and_nonsense_is_refused():
    client = AriClient("http://pbx:8088", "u", "p", "a", clock=SystemClock())
    assert client.url == "http://pbx:8088/ari"
    assert AriClient("https://pbx/x/ari/", "u", "p", "a", clock=SystemClock()).url.endswith(
        "/x/ari"
    )
    with pytest.raises(ConfigurationError, match="ari_url"):
        AriClient("pbx:8088", "u", "p", "a", clock=SystemClock())


def test_waits_double_up_to_the_longest_and_never_fall_below_a_half():
    backoff = Backoff(first_secs=0.5, longest_secs=30)
    assert [backoff.delay(n, 1.0) for n in (1, 2, 3, 7, 500)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert backoff.delay(3, 0.0) == 1.0


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"type": 3}', '{"type":"X","channel":{"name":"x"}}']
)
def test_an_event_that_is_none_is_refused(text: str):
    with pytest.raises(InvalidMessage):
        read_event(text)


def test_an_unknown_event_is_kept_whole():
    event = read_event(json.dumps({"type": "NewInAsterisk24", "wonder": 1}))
    assert (event.type, event.channel, event.data["wonder"]) == ("NewInAsterisk24", None, 1)


@pytest.mark.parametrize("to", ["", "1&PJSIP/9", "1/2", "1,2", "a b", "9" * 65, "1)", "${X}"])
def test_a_number_cannot_carry_dial_string_syntax(to: str):
    with pytest.raises(InvalidRequest) as caught:
        DialPlan().number(to)
    assert caught.value.error_code == "bad_number"


def test_targets_are_names_numbers_or_endpoints():
    plan = DialPlan("PJSIP/{to}@trunk", {"sales": "201", "support": "Local/7@queues"})
    assert plan.target("sales", any_number=False) == "PJSIP/201@trunk"
    assert plan.target("support", any_number=False) == "Local/7@queues"
    assert plan.target("+4930123", any_number=True) == "PJSIP/+4930123@trunk"
    with pytest.raises(InvalidRequest) as caught:
        plan.target("+4930123", any_number=False)
    assert caught.value.details == {"targets": ["sales", "support"]}


def test_parameters_of_the_agents_leg_are_encoded_one_by_one():
    made = agent_endpoint("antiphon", "c(slin16)", {"name": "a,b)/c d", "to": "", "x": "ü"})
    assert made == "WebSocket/antiphon/c(slin16)v(name=a%2Cb%29%2Fc%20d,x=%C3%BC)"
    with pytest.raises(InvalidRequest, match="variables"):
        agent_endpoint("antiphon", "", {"a=b": "1"})


def test_tones_are_keys_only():
    assert dtmf("12*#abW") == "12*#ABw"
    with pytest.raises(InvalidRequest, match="digits"):
        dtmf("1;2")
