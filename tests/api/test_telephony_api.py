"""Telephone calls by the providers' streams and webhooks, on the real server."""

import asyncio
import base64
import contextlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from antiphon.api.telephony import call as telephony_call
from antiphon.api.telephony.webhooks import MAX_BODY_BYTES, MAX_FIELDS
from antiphon.protocols.telephony import Provider
from antiphon.sessions.session import Session
from support import telephony_messages as say
from support.live_server import Running, running
from support.rest_stand_in import SECRETS, rest_stand_in

# How Pipecat's Twilio and Plivo serializers hang up.
pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]

KEY = "a-key-that-is-long-enough"
PUBLIC = "https://voice.example.com"
TELNYX_KEY = Ed25519PrivateKey.generate()

CALLS = {
    Provider.TWILIO: say.TWILIO_CALL,
    Provider.TELNYX: say.TELNYX_CALL,
    Provider.PLIVO: say.PLIVO_CALL,
    Provider.EXOTEL: say.EXOTEL_CALL,
}


@pytest.fixture(scope="module")
async def signed(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """A server that knows every provider's secret and lets nobody in without one or a key."""
    public_key = TELNYX_KEY.public_key().public_bytes_raw()
    async with running(
        tmp_path_factory.mktemp("signed"),
        api_keys=[KEY],
        public_url=PUBLIC,
        twilio_account_sid="AC1",
        twilio_auth_token=SECRETS["twilio"],
        telnyx_api_key=SECRETS["telnyx"],
        telnyx_public_key=base64.b64encode(public_key).decode(),
        plivo_auth_id="MA1",
        plivo_auth_token=SECRETS["plivo"],
    ) as server:
        yield server


@contextlib.asynccontextmanager
async def _called(
    server: Running, *opening: str, path: str = "/ws", room: str, **options: Any
) -> AsyncIterator[tuple[ClientConnection, Session]]:
    """A call that the agent has answered: its stream, and its session."""
    async with server.dial(path, **options) as socket:
        for text in opening:
            await socket.send(text)
        async with asyncio.timeout(10):
            assert json.loads(await socket.recv())["event"] in ("media", "playAudio")
        session = server.server.manager.find_room(room)
        assert session is not None
        yield socket, session


async def _refusal(server: Running, *opening: str, path: str = "/ws", **options: Any) -> str:
    """`code reason` of the close that a stream was refused with; nothing else was sent."""
    async with server.dial(path, **options) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            for text in opening:
                await socket.send(text)
            async with asyncio.timeout(10):
                await socket.recv()
    assert closed.value.rcvd is not None
    return f"{closed.value.rcvd.code} {closed.value.rcvd.reason}"


async def _ended(server: Running, session: Session) -> dict[str, Any]:
    async with asyncio.timeout(20):
        return await server.ended(session.id)


# Streams.


@pytest.mark.parametrize("provider", Provider)
async def test_a_call_is_greeted_and_ends_when_the_caller_hangs_up(
    live: Running, provider: Provider
) -> None:
    async with _called(live, *say.STARTS[provider], room=CALLS[provider]) as (socket, session):
        await socket.send(say.STOPS[provider])
        record = await _ended(live, session)
    assert record["transport"] == provider
    assert record["room"] == CALLS[provider]
    assert record["end_reason"] == "caller_hangup"


async def test_a_closed_stream_is_a_caller_who_hung_up(live: Running) -> None:
    async with _called(live, *say.STARTS[Provider.PLIVO], room=say.PLIVO_CALL) as (socket, session):
        await socket.close()
        record = await _ended(live, session)
    assert record["end_reason"] == "caller_hangup"


async def test_a_lost_stream_ends_the_session_at_once(live: Running) -> None:
    async with _called(live, *say.STARTS[Provider.TWILIO], room=say.TWILIO_CALL) as (
        socket,
        session,
    ):
        socket.transport.abort()
        record = await _ended(live, session)
    assert record["end_reason"] == "connection_lost"


async def test_parameters_name_the_room_and_keys_are_heard(live: Running) -> None:
    start = say.twilio_start({"agent": "shop", "room": "front-desk", "language": "en-GB"})
    async with _called(live, say.twilio_connected(), start, room="front-desk") as (socket, session):
        await socket.send(say.twilio_dtmf("7"))
        await socket.send(say.twilio_stop())
        await _ended(live, session)
    events = (await live.http.get(f"/api/v1/sessions/{session.id}/events")).json()
    pressed = [one["data"]["digit"] for one in events["items"] if one["type"] == "dtmf"]
    assert pressed == ["7"]


async def test_the_query_of_the_stream_counts_as_parameters(live: Running) -> None:
    path = "/ws?" + urlencode({"room": "queue 1", "agent": "shop"})
    async with _called(live, say.plivo_start(""), path=path, room="queue 1") as (socket, session):
        await socket.send(say.plivo_stop())
        await _ended(live, session)


@pytest.mark.parametrize(
    ("opening", "reason"),
    [
        (("{nonsense",), "1007 the message is not JSON"),
        ((b"binary",), "1008 media streams are JSON text"),
        (('{"type":"ping"}', '{"type":"ping"}'), "1007 this is no media stream of Twilio"),
        ((say.plivo_start(encoding="audio/x-l16"),), "1007 the stream's format is 'audio/x-l16'"),
        ((say.twilio_start({"agent": "nobody"}),), "1008 no agent 'nobody'"),
        ((say.twilio_start({"language": "tlh"}),), "1008 no agent speaks 'tlh'"),
    ],
)
async def test_a_stream_that_cannot_be_served_is_told_why(
    live: Running, opening: tuple[str, ...], reason: str
) -> None:
    assert (await _refusal(live, *opening)).startswith(reason)
    assert live.server.manager.live == []


async def test_who_never_starts_is_not_waited_for(
    live: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telephony_call, "START_SECS", 0.05)
    assert "no start message came" in await _refusal(live, say.twilio_connected())


async def test_a_page_of_another_site_opens_no_stream(live: Running) -> None:
    refusal = await _refusal(live, say.plivo_start(), origin="https://evil.example")
    assert refusal.startswith("1008 Origin https://evil.example")


async def test_who_leaves_before_the_start_leaves_nothing(live: Running) -> None:
    async with live.dial("/ws") as socket:
        await socket.send(say.twilio_connected())
    assert live.server.manager.live == []


# Webhooks.

TWILIO_FORM = {
    "AccountSid": "AC1",
    "ApiVersion": "2010-04-01",
    "CallSid": say.TWILIO_CALL,
    "CallStatus": "ringing",
    "Direction": "inbound",
    "From": "+14158675309",
    "To": "+18005551212",
}
TELNYX_FORM = {"CallSid": say.TELNYX_CALL, "From": "+13122010094", "To": "+13122123456"}
PLIVO_FORM = {"CallUUID": say.PLIVO_CALL, "From": "19792014278", "To": "18005551212"}
EXOTEL_FORM = {"CallSid": say.EXOTEL_CALL, "CallFrom": "09876543210", "CallTo": "08047491899"}
FORMS = {
    Provider.TWILIO: TWILIO_FORM,
    Provider.TELNYX: TELNYX_FORM,
    Provider.PLIVO: PLIVO_FORM,
    Provider.EXOTEL: EXOTEL_FORM,
}


def _told(body: str) -> tuple[str, dict[str, str]]:
    """URL without its query, and the parameters, of an answer of any provider."""
    if body.startswith("{"):
        url, parameters = json.loads(body)["url"], {}
    else:
        stream = ElementTree.fromstring(body).find(".//Stream")
        assert stream is not None
        url = stream.attrib.get("url") or stream.text or ""
        parameters = {one.attrib["name"]: one.attrib["value"] for one in stream}
    parts = urlsplit(url)
    return parts._replace(query="").geturl(), parameters | dict(parse_qsl(parts.query))


@pytest.mark.parametrize("provider", Provider)
@pytest.mark.parametrize("path", ["/", "/api/v1/telephony/{}/answer"])
async def test_a_webhook_sends_the_call_to_the_stream(
    live: Running, provider: Provider, path: str
) -> None:
    reply = await live.http.post(
        path.format(provider), data=FORMS[provider], params={"agent": "shop", "who": "a & <b>"}
    )
    assert reply.status_code == 200, reply.text
    url, parameters = _told(reply.text)
    assert url == f"ws://127.0.0.1:{live.port}/ws"
    expected = {"agent": "shop", "who": "a & <b>"}
    if provider is not Provider.EXOTEL:
        expected |= {"from_number": FORMS[provider]["From"], "to_number": FORMS[provider]["To"]}
    assert parameters == expected


async def test_a_webhook_may_ask_by_get(live: Running) -> None:
    path = "/api/v1/telephony/exotel/answer"
    reply = await live.http.get(path, params={**EXOTEL_FORM, "flow_id": "1", "agent": "shop"})
    assert reply.headers["content-type"].startswith("application/json")
    assert _told(reply.text)[1] == {"agent": "shop"}


async def test_the_stream_is_where_the_proxy_says(live: Running) -> None:
    headers = {"X-Forwarded-Host": "voice.example.com", "X-Forwarded-Proto": "https"}
    path = "/api/v1/telephony/twilio/answer"
    reply = await live.http.post(path, data=TWILIO_FORM, headers=headers)
    assert _told(reply.text)[0] == "wss://voice.example.com/ws"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/", b"", 400),
        ("/", b"Hello=1", 400),
        ("/", b"x" * (MAX_BODY_BYTES + 1), 400),
        ("/", b"&".join([b"a=1"] * (MAX_FIELDS + 1)), 400),
        ("/api/v1/telephony/vonage/answer", b"", 422),
        ("/api/v1/telephony/twilio/answer?agent=nobody", b"", 404),
        ("/api/v1/telephony/exotel/answer?a=1&b=2&c=3&d=4", b"", 400),
    ],
)
async def test_a_webhook_that_makes_no_sense_is_refused(
    live: Running, path: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await live.http.post(path, content=body, headers=headers)
    assert reply.status_code == status, reply.text


async def test_an_odd_host_is_refused_not_a_failure(signed: Running) -> None:
    path = "/api/v1/telephony/twilio/answer"
    reply = await signed.http.post(
        path, data=TWILIO_FORM, headers={"Host": "[", "X-Twilio-Signature": "x"}
    )
    assert reply.status_code in (400, 403)


# Signatures.


def _hmac(secret: str, text: str, digest: str) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), digest)).decode()


def _signature(server: Running, provider: Provider, path: str) -> dict[str, str]:
    """Headers by which the provider signs a POST of its form to a path of the public URL."""
    form = FORMS[provider]
    fields = "".join(name + form[name] for name in sorted(form))
    if provider is Provider.TWILIO:
        return {"X-Twilio-Signature": _hmac(SECRETS["twilio"], f"{PUBLIC}{path}{fields}", "sha1")}
    if provider is Provider.PLIVO:
        url, _, query = f"{PUBLIC}{path}".partition("?")
        text = f"{url}?{query}.{fields}.42" if query else f"{url}?{fields}.42"
        return {
            "X-Plivo-Signature-V3": _hmac(SECRETS["plivo"], text, "sha256"),
            "X-Plivo-Signature-V3-Nonce": "42",
        }
    stamp = str(int(server.server.clock.utc_now().timestamp()))
    signature = TELNYX_KEY.sign(f"{stamp}|{urlencode(form)}".encode())
    return {
        "telnyx-timestamp": stamp,
        "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
    }


SIGNING = [Provider.TWILIO, Provider.TELNYX, Provider.PLIVO]


@pytest.mark.parametrize("provider", SIGNING)
@pytest.mark.parametrize("path", ["/", "/api/v1/telephony/{}/answer?agent=shop"])
async def test_a_signed_webhook_lets_its_call_in(
    signed: Running, provider: Provider, path: str
) -> None:
    path = path.format(provider)
    headers = _signature(signed, provider, path)
    reply = await signed.http.post(path, data=FORMS[provider], headers=headers)
    assert reply.status_code == 200, reply.text
    url, parameters = _told(reply.text)
    assert url == "wss://voice.example.com/ws"
    opening = {
        Provider.TWILIO: (say.twilio_connected(), say.twilio_start(parameters)),
        Provider.TELNYX: (say.telnyx_connected(), say.telnyx_start(parameters)),
        Provider.PLIVO: (say.plivo_start("{}"),),
    }[provider]
    query = f"?{urlencode(parameters)}" if provider is Provider.PLIVO else ""
    called = _called(signed, *opening, path=f"/ws{query}", room=CALLS[provider])
    async with called as (socket, session):
        await socket.send(say.STOPS[provider])
        await _ended(signed, session)


@pytest.mark.parametrize("provider", SIGNING)
@pytest.mark.parametrize("with_key", [False, True])
async def test_an_unsigned_or_wrongly_signed_webhook_is_refused_even_with_a_key(
    signed: Running, provider: Provider, with_key: bool
) -> None:
    path = f"/api/v1/telephony/{provider}/answer"
    key = {"Authorization": f"Bearer {KEY}"} if with_key else {}
    wrong = _signature(signed, provider, path) | key
    for headers, form in (
        (key, FORMS[provider]),
        (wrong, {**FORMS[provider], "From": "+1900"}),
    ):
        reply = await signed.http.post(path, data=form, headers=headers)
        assert reply.status_code == 403
        assert reply.json()["error"]["code"] == "bad_signature"


async def test_exotel_signs_nothing_and_needs_a_key(signed: Running) -> None:
    path = "/api/v1/telephony/exotel/answer"
    assert (await signed.http.get(path, params=EXOTEL_FORM)).status_code == 401
    reply = await signed.http.get(path, params={**EXOTEL_FORM, "token": KEY, "agent": "shop"})
    url, parameters = _told(reply.text)
    assert url == "wss://voice.example.com/ws"
    assert parameters.keys() == {"agent", "token"}
    assert parameters["token"] != KEY, "the stream gets a short-lived ticket"
    opening = say.STARTS[Provider.EXOTEL]
    called = _called(signed, *opening, path=f"/ws?{urlencode(parameters)}", room=say.EXOTEL_CALL)
    async with called as (socket, session):
        await socket.send(say.exotel_stop())
        await _ended(signed, session)


@pytest.mark.parametrize("provider", Provider)
async def test_a_stream_nobody_vouches_for_is_refused(signed: Running, provider: Provider) -> None:
    assert (await _refusal(signed, *say.STARTS[provider])).startswith("1008 no valid API key")


@pytest.mark.parametrize("token", ["wrong-key-that-is-long", "ticket.x.y"])
async def test_a_stream_with_a_wrong_token_is_refused(signed: Running, token: str) -> None:
    refusal = await _refusal(signed, say.twilio_start({"token": token}))
    assert refusal.startswith("1008 the ")


async def test_a_stream_may_bring_a_key_as_a_parameter(signed: Running) -> None:
    start = say.twilio_start({"token": KEY})
    async with _called(signed, start, room=say.TWILIO_CALL) as (socket, session):
        await socket.send(say.twilio_stop())
        await _ended(signed, session)


@pytest.mark.parametrize("provider", [Provider.TWILIO, Provider.PLIVO])
async def test_a_signed_handshake_needs_nothing_else(signed: Running, provider: Provider) -> None:
    # Twilio strips the query; both sign the URL of the stream as they were told it.
    url = "wss://voice.example.com/ws"
    headers = {
        Provider.TWILIO: {"X-Twilio-Signature": _hmac(SECRETS["twilio"], url, "sha1")},
        Provider.PLIVO: {
            "X-Plivo-Signature-V3": _hmac(SECRETS["plivo"], f"{url}.7", "sha256"),
            "X-Plivo-Signature-V3-Nonce": "7",
        },
    }[provider]
    called = _called(
        signed, *say.STARTS[provider], room=CALLS[provider], additional_headers=headers
    )
    async with called as (socket, session):
        await socket.send(say.STOPS[provider])
        await _ended(signed, session)


async def test_exotels_basic_authentication_is_a_key(signed: Running) -> None:
    value = base64.b64encode(f"any:{KEY}".encode()).decode()
    opening = say.STARTS[Provider.EXOTEL]
    headers = {"Authorization": f"Basic {value}"}
    called = _called(signed, *opening, room=say.EXOTEL_CALL, additional_headers=headers)
    async with called as (socket, session):
        await socket.send(say.exotel_stop())
        await _ended(signed, session)


@pytest.mark.parametrize("value", ["", "!", base64.b64encode(b"nocolon").decode(), "/w=="])
async def test_basic_authentication_that_is_none_is_refused(signed: Running, value: str) -> None:
    headers = {"Authorization": f"Basic {value}"}
    refusal = await _refusal(signed, say.exotel_start(), additional_headers=headers)
    assert refusal.startswith("1008 no valid API key")


# The server's end of a call.


@pytest.mark.parametrize("provider", SIGNING)
async def test_a_session_that_is_ended_here_hangs_the_call_up(
    signed: Running, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/ws?token={KEY}"
    async with rest_stand_in(monkeypatch) as rest:
        called = _called(signed, *say.STARTS[provider], path=path, room=CALLS[provider])
        async with called as (socket, session):
            headers = {"Authorization": f"Bearer {KEY}"}
            await signed.http.post(f"/api/v1/sessions/{session.id}/end", headers=headers)
            async with asyncio.timeout(20):
                with pytest.raises(ConnectionClosed):
                    while True:
                        await socket.recv()
        assert rest.hung_up == [f"{provider} {CALLS[provider]}"]


async def test_a_call_whose_stream_was_lost_is_hung_up(
    signed: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/ws?token={KEY}"
    async with rest_stand_in(monkeypatch) as rest:
        called = _called(signed, *say.STARTS[Provider.TELNYX], path=path, room=say.TELNYX_CALL)
        async with called as (socket, _):
            socket.transport.abort()
            async with asyncio.timeout(10):
                await rest.asked.wait()
        assert rest.hung_up == [f"telnyx {say.TELNYX_CALL}"]
