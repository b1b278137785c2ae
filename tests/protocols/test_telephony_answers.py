"""Answers to the providers' webhooks: well-formed whatever the parameters hold."""

import json
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import ClientError
from antiphon.protocols.telephony import Provider
from antiphon.protocols.telephony_answers import (
    Caller,
    answer,
    caller_of,
    provider_of,
    public_url,
)
from support.facts import any_text

URL = "wss://voice.example.com/ws"
AWKWARD = {"agent": "shop", "say": "\"5 < 6\" & 'so'\n on \x00\ud800 é"}


def _stream(body: str) -> ElementTree.Element:
    found = ElementTree.fromstring(body).find(".//Stream")
    assert found is not None
    return found


# twilio.com/docs/voice/twiml/stream: <Connect><Stream> is two-way; a URL has no query.
def test_twiml_connects_a_two_way_stream_with_parameters() -> None:
    said = answer(Provider.TWILIO, URL, AWKWARD)
    assert said.media_type == "application/xml"
    root = ElementTree.fromstring(said.body)
    assert [child.tag for child in root] == ["Connect"]
    stream = _stream(said.body)
    assert stream.attrib == {"url": URL}
    assert {one.attrib["name"]: one.attrib["value"] for one in stream} == {
        "agent": "shop",
        "say": "\"5 < 6\" & 'so'\n on  é",
    }


# developers.telnyx.com/docs/voice/programmable-voice/texml-verbs/stream
def test_texml_asks_for_mu_law_both_ways() -> None:
    stream = _stream(answer(Provider.TELNYX, URL, {"agent": "shop"}).body)
    assert stream.attrib == {
        "url": URL,
        "track": "inbound_track",
        "codec": "PCMU",
        "bidirectionalMode": "rtp",
        "bidirectionalCodec": "PCMU",
    }
    assert stream[0].attrib == {"name": "agent", "value": "shop"}


# plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-guide
def test_plivo_gets_the_parameters_in_the_url() -> None:
    stream = _stream(answer(Provider.PLIVO, URL, {"agent": "shop", "x": "a&b=<c>"}).body)
    assert stream.attrib == {
        "bidirectional": "true",
        "keepCallAlive": "true",
        "contentType": "audio/x-mulaw;rate=8000",
    }
    assert stream.text is not None
    assert stream.text.startswith(URL + "?")
    assert dict(parse_qsl(urlsplit(stream.text).query)) == {"agent": "shop", "x": "a&b=<c>"}


# developer.exotel.com/docs/agentstream/stream-voicebot-applet: at most 3 pairs, 256 characters.
def test_exotel_gets_an_object_with_the_url() -> None:
    said = answer(Provider.EXOTEL, URL, {"agent": "shop"})
    assert said.media_type == "application/json"
    assert json.loads(said.body) == {"url": URL + "?agent=shop"}


@pytest.mark.parametrize("given_", [dict.fromkeys("abcd", "1"), {"a": "x" * 255}])
def test_exotel_is_not_given_what_it_would_not_take(given_: dict[str, str]) -> None:
    with pytest.raises(ClientError) as refused:
        answer(Provider.EXOTEL, URL, given_)
    assert refused.value.error_code == "too_many_parameters"
    answer(Provider.PLIVO, URL, given_)


@given(
    provider=st.sampled_from([Provider.TWILIO, Provider.TELNYX, Provider.PLIVO]),
    parameters=st.dictionaries(
        any_text.map(lambda t: t.encode("utf-8", "replace").decode()), any_text
    ).map(lambda d: {k: v.encode("utf-8", "replace").decode() for k, v in d.items()}),
)
def test_any_parameters_make_well_formed_xml(
    provider: Provider, parameters: dict[str, str]
) -> None:
    ElementTree.fromstring(answer(provider, URL, parameters).body)


@given(text=any_text)
def test_twiml_keeps_all_that_xml_can_hold(text: str) -> None:
    stream = _stream(answer(Provider.TWILIO, URL, {"x": f"<{text}>"}).body)
    held = "".join(c for c in text if c in "\t\n\r" or c.isprintable())
    assert all(c in stream[0].attrib["value"] for c in held)


def test_empty_parameters_are_left_out() -> None:
    assert len(_stream(answer(Provider.TWILIO, URL, {"agent": "", "": "x"}).body)) == 0
    assert _stream(answer(Provider.PLIVO, URL, {"agent": ""}).body).text == URL


@pytest.mark.parametrize(
    ("scheme", "host", "configured", "expected"),
    [
        ("wss", "voice.example.com", "", "wss://voice.example.com/ws"),
        ("ws", "127.0.0.1:8765", "", "ws://127.0.0.1:8765/ws"),
        ("wss", "public.example, inner", "", "wss://public.example/ws"),
        ("ws", "inner:8765", "https://voice.example.com", "wss://voice.example.com/ws"),
        ("ws", "inner", "https://example.com/voice/", "wss://example.com/voice/ws"),
        ("wss", "inner", "http://10.0.0.1:8080", "ws://10.0.0.1:8080/ws"),
        ("http", "inner", "https://voice.example.com", "https://voice.example.com/ws"),
    ],
)
def test_the_public_url_is_the_proxys_or_the_configured_one(
    scheme: str, host: str, configured: str, expected: str
) -> None:
    assert public_url(scheme=scheme, host=host, path="/ws", configured=configured) == expected


def test_a_requests_query_is_kept_as_it_was_sent() -> None:
    url = public_url(scheme="https", host="h", path="/a", query="b=%20&c=+", configured="https://p")
    assert url == "https://p/a?b=%20&c=+"


@pytest.mark.parametrize(
    ("headers", "form", "expected"),
    [
        ({"x-twilio-signature": "x"}, {}, Provider.TWILIO),
        ({"telnyx-signature-ed25519": "x"}, {"CallSid": "v3:x"}, Provider.TELNYX),
        ({"x-plivo-signature-v3": "x"}, {}, Provider.PLIVO),
        ({}, {"CallSid": "CA123", "AccountSid": "AC1"}, Provider.TWILIO),
        ({}, {"CallSid": "v3:2EC-70CTEjlU"}, Provider.TELNYX),
        ({}, {"CallUUID": "97ceeb52-58b6-11e1-86da-77300b68f8bb"}, Provider.PLIVO),
        ({}, {"CallSid": "CA123", "CallFrom": "0912", "CallTo": "080"}, Provider.EXOTEL),
        ({}, {"From": "+1"}, None),
        ({}, {}, None),
    ],
)
def test_a_webhooks_provider_is_told_by_its_header_or_its_fields(
    headers: dict[str, str], form: dict[str, str], expected: Provider | None
) -> None:
    assert provider_of(headers, form) is expected


def test_the_numbers_are_named_as_each_provider_names_them() -> None:
    assert caller_of({"From": "+1", "To": "+2"}) == Caller("+1", "+2")
    assert caller_of({"CallFrom": "09", "CallTo": "08", "To": ""}) == Caller("09", "08")
    assert caller_of({}) == Caller()
