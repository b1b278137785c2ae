"""Signatures of the telephony providers, against the vectors of their own libraries."""

import base64
import hmac
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import Forbidden
from antiphon.protocols.telephony_signatures import (
    TELNYX_TOLERANCE_SECS,
    check_plivo,
    check_telnyx,
    check_twilio,
)

# Vectors of twilio-python, tests/unit/test_request_validator.py; the first is also in Twilio's
# documentation (twilio.com/docs/usage/security).
TWILIO_TOKEN = "12345"
TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_FORM = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
]
TWILIO_SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def _twilio(
    url: str = TWILIO_URL,
    signature: str = TWILIO_SIGNATURE,
    form: list[tuple[str, str]] | None = None,
    token: str = TWILIO_TOKEN,
) -> None:
    given_form = TWILIO_FORM if form is None else form
    check_twilio(url=url, form=given_form, signature=signature, auth_token=token)


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (TWILIO_URL, TWILIO_SIGNATURE),
        ("https://mycompany.com:1234/myapp.php?foo=1&bar=2", TWILIO_SIGNATURE),
        ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (TWILIO_URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),  # made of the URL with :443
        ("http://mycompany.com/myapp.php?foo=1&bar=2", "0ZXoZLH/DfblKGATFgpif+LLRf4="),  # with :80
    ],
)
def test_twilios_own_signatures_verify_with_and_without_the_port(url: str, signature: str) -> None:
    _twilio(url, signature)


def test_twilio_signs_repeated_fields_sorted() -> None:
    form = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234")]
    _twilio(form=form, signature="IK+Dwps556ElfBT0I3Rgjkr1wJU=")


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "https://mycompany.com/myapp.php?foo=1&bar=3"},
        {"url": "http://mycompany.com/myapp.php?foo=1&bar=2"},
        {"url": "https://evil.example/myapp.php?foo=1&bar=2"},
        {"form": TWILIO_FORM[:-1]},
        {"form": [*TWILIO_FORM, ("Extra", "1")]},
        {"signature": ""},
        {"signature": "RSOYDt4T1cUTdK1PDd93/VVr8B9="},
        {"signature": "é" * 28},
        {"token": "54321"},
    ],
)
def test_anything_changed_is_refused_by_twilios(changed: dict[str, str]) -> None:
    with pytest.raises(Forbidden) as refused:
        _twilio(**changed)  # type: ignore[arg-type]
    assert refused.value.field == "X-Twilio-Signature"
    assert refused.value.error_code == "bad_signature"


def test_a_refusal_names_the_url_but_not_its_query() -> None:
    with pytest.raises(Forbidden, match=r"https://mycompany\.com/myapp\.php;") as refused:
        _twilio(token="other")
    assert "foo" not in refused.value.message
    assert "ANTIPHON_PUBLIC_URL" in refused.value.message


@pytest.mark.parametrize("signed", ["wss://example.com/ws", "wss://example.com/ws/"])
def test_a_streams_handshake_is_signed_with_or_without_a_slash(signed: str) -> None:
    signature = _twilio_sign(signed)
    _twilio("wss://example.com/ws", signature, form=[])


def _twilio_sign(url: str) -> str:
    return base64.b64encode(hmac.digest(TWILIO_TOKEN.encode(), url.encode(), "sha1")).decode()


@pytest.mark.parametrize(
    "url",
    ["https://host:99999/x", "https://host:port/x", "x", "https://[::1]", "https://[", "//[x"],
)
def test_an_odd_url_is_refused_not_a_failure(url: str) -> None:
    with pytest.raises(Forbidden):
        _twilio(url)
    with pytest.raises(Forbidden):
        _plivo(url)


# Vectors of plivo-go, utils_test.go: TestValidateSignatureV3Pass1 to 4.
PLIVO_TOKEN = "Y2Q2ZDgxZmY5YWRiOTI5YmQ1Njg0MTAxZWIyOTc4"
PLIVO_NONCE = "31627761595286130198"
PLIVO_BASE = "https://plivobin.non-prod.plivops.com/api/v1/validate_signature03.xml"
_UUID = "3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36"
PLIVO_FORM = [
    ("Direction", "outbound"),
    ("From", "19792014278"),
    ("ALegUUID", _UUID),
    ("CallStatus", "in-progress"),
    ("BillRate", "0.002"),
    ("ParentAuthID", "MANWVLYTK4ZWU1YTY4QA"),
    ("To", "sip:PlivoSignature382029104058171078704104@phone-qa.voice.plivodev.com"),
    ("ALegRequestUUID", _UUID),
    ("CallUUID", _UUID),
    ("RequestUUID", _UUID),
    ("SIP-H-To", "<sip:PlivoSignature382029104058171078704104@52.9.11.55;transport=udp>;tag=1"),
    ("SessionStart", "2020-04-08 11:34:33.238707"),
    ("Event", "StartApp"),
]
PLIVO_SIGNATURE = "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="


def _plivo(
    url: str = PLIVO_BASE,
    signature: str = PLIVO_SIGNATURE,
    method: str = "POST",
    form: list[tuple[str, str]] | None = None,
    nonce: str = PLIVO_NONCE,
    token: str = PLIVO_TOKEN,
) -> None:
    check_plivo(
        method=method,
        url=url,
        form=PLIVO_FORM if form is None else form,
        signature=signature,
        nonce=nonce,
        auth_token=token,
    )


def _in_query(base: str) -> str:
    return f"{base}{'&' if '?' in base else '?'}{urlencode(PLIVO_FORM)}"


@pytest.mark.parametrize(
    ("method", "url", "signature"),
    [
        ("POST", PLIVO_BASE + "/?a=b&c=d", "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c="),
        (
            "GET",
            _in_query(PLIVO_BASE + "/?a=b&c=d"),
            "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ=",
        ),
        ("POST", PLIVO_BASE, PLIVO_SIGNATURE),
        ("GET", _in_query(PLIVO_BASE), "i/MQsaQSAd6fiKhOh2qeeeLHZ9faldADSb3/7+Akfbc="),
    ],
)
def test_plivos_own_signatures_verify(method: str, url: str, signature: str) -> None:
    _plivo(url, signature, method, form=PLIVO_FORM if method == "POST" else [])


def test_one_of_several_plivo_signatures_is_enough() -> None:
    _plivo(signature=f"b3RoZXI=, {PLIVO_SIGNATURE}")


@pytest.mark.parametrize(
    "changed",
    [
        {"url": PLIVO_BASE + "?a=b"},
        {"method": "GET", "form": []},
        {"form": PLIVO_FORM[1:]},
        {"nonce": "31627761595286130199"},
        {"nonce": ""},
        {"signature": ""},
        {"signature": ",,"},
        {"token": "other"},
    ],
)
def test_anything_changed_is_refused_by_plivos(changed: dict[str, str]) -> None:
    with pytest.raises(Forbidden) as refused:
        _plivo(**changed)  # type: ignore[arg-type]
    assert refused.value.field == "X-Plivo-Signature-V3"


# Made with `openssl pkeyutl -sign -rawin` over `timestamp|body`: Telnyx publishes no vector.
TELNYX_KEY = "njmc3/L8gdPPPHM19zeIIK1/PAtqywXWA8O1TaC+Vck="
TELNYX_BODY = b"CallSid=v3%3A2EC-70CTEjlUq3tDM0&From=%2B13122010094&To=%2B13122123456"
TELNYX_TIME = "1763726400"
TELNYX_SIGNATURE = (
    "BMEQ/Xqtn4ZHcXt8GBOkys8wXncF3AUP0GMA79Fm7psYpLdffX3usWaVB2h45f7jFr0YgOPLqTDybmGSQcnkCA=="
)


def _telnyx(
    body: bytes = TELNYX_BODY,
    signature: str = TELNYX_SIGNATURE,
    timestamp: str = TELNYX_TIME,
    public_key: str = TELNYX_KEY,
    now: float = int(TELNYX_TIME),
) -> None:
    check_telnyx(
        body=body, signature=signature, timestamp=timestamp, public_key=public_key, now=now
    )


@pytest.mark.parametrize("away", [0, -TELNYX_TOLERANCE_SECS, TELNYX_TOLERANCE_SECS])
def test_a_signature_made_elsewhere_verifies_within_the_tolerance(away: int) -> None:
    _telnyx(now=int(TELNYX_TIME) + away)


@pytest.mark.parametrize("away", [-TELNYX_TOLERANCE_SECS - 1, TELNYX_TOLERANCE_SECS + 1])
def test_a_replayed_request_is_refused(away: int) -> None:
    with pytest.raises(Forbidden, match="replayed"):
        _telnyx(now=int(TELNYX_TIME) + away)


@pytest.mark.parametrize(
    "changed",
    [
        {"body": TELNYX_BODY + b"&"},
        {"body": b""},
        {"signature": ""},
        {"signature": "not base64"},
        {"signature": TELNYX_SIGNATURE[:-4]},
        {"timestamp": ""},
        {"timestamp": "1763726401"},
        {"timestamp": "-1763726400"},
        {"timestamp": "١٧٦٣٧٢٦٤٠٠"},
        {"timestamp": "9" * 400},
    ],
)
def test_anything_changed_is_refused_by_telnyxs(changed: dict[str, str | bytes]) -> None:
    with pytest.raises(Forbidden) as refused:
        _telnyx(**changed)  # type: ignore[arg-type]
    assert refused.value.error_code == "bad_signature"


def test_a_key_that_is_none_is_the_operators_mistake_and_says_so() -> None:
    with pytest.raises(Forbidden, match="ANTIPHON_TELNYX_PUBLIC_KEY"):
        _telnyx(public_key="KEY0123")


@given(body=st.binary(max_size=200), timestamp=st.integers(0, 2**33))
def test_any_body_signed_by_the_account_verifies_and_no_other_does(
    body: bytes, timestamp: int
) -> None:
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    signature = base64.b64encode(key.sign(f"{timestamp}|".encode() + body)).decode()
    _telnyx(body, signature, str(timestamp), public, float(timestamp))
    with pytest.raises(Forbidden):
        _telnyx(body + b"x", signature, str(timestamp), public, float(timestamp))
