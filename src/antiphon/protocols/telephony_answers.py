"""What a provider is told when a call comes in: stream it to this URL. No I/O.

Each provider asks a webhook what to do with a call and reads an answer of its own: TwiML, TeXML and
Plivo's XML, or a JSON object with the URL for Exotel. Custom parameters travel where the provider
lets them through: Twilio strips a stream URL's query and Telnyx has elements for them too; Plivo
allows letters and digits only in `extraHeaders`, so its URL carries them, and Exotel knows nothing
but the URL (three pairs and 256 characters).

Sources (read November 2026): twilio.com/docs/voice/twiml/stream;
developers.telnyx.com/docs/voice/programmable-voice/texml-verbs/stream;
plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-guide;
developer.exotel.com/docs/agentstream/stream-voicebot-applet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit
from xml.sax.saxutils import escape, quoteattr

from antiphon.errors import ClientError
from antiphon.protocols.framing import encode
from antiphon.protocols.telephony import Provider

XML = "application/xml"
JSON = "application/json"

EXOTEL_MAX_PAIRS = 3
EXOTEL_MAX_CHARS = 256

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


@dataclass(frozen=True, slots=True)
class Answer:
    """A webhook's reply."""

    body: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls whom, as a webhook's fields say it; empty where they do not."""

    from_number: str = ""
    to_number: str = ""


def answer(provider: Provider, stream_url: str, parameters: Mapping[str, str]) -> Answer:
    """The reply that has the provider stream its call to `stream_url`.

    Args:
        provider: Who asks.
        stream_url: `wss://host/ws`, without a query.
        parameters: Custom parameters of the stream; empty ones are left out.

    Raises:
        ClientError: more parameters than Exotel takes.
    """
    given = {name: value for name, value in parameters.items() if name and value}
    match provider:
        case Provider.TWILIO:
            return Answer(twiml(stream_url, given), XML)
        case Provider.TELNYX:
            return Answer(texml(stream_url, given), XML)
        case Provider.PLIVO:
            return Answer(plivo_xml(with_query(stream_url, given)), XML)
        case Provider.EXOTEL:
            return Answer(exotel_json(stream_url, given), JSON)


def twiml(stream_url: str, parameters: Mapping[str, str]) -> str:
    """TwiML with a two-way stream."""
    return _connected(f"<Stream url={_attribute(stream_url)}>", parameters)


def texml(stream_url: str, parameters: Mapping[str, str]) -> str:
    """TeXML with a two-way stream of G.711 μ-law, which needs no transcoding here."""
    return _connected(
        f'<Stream url={_attribute(stream_url)} track="inbound_track" codec="PCMU" '
        'bidirectionalMode="rtp" bidirectionalCodec="PCMU">',
        parameters,
    )


def _connected(stream: str, parameters: Mapping[str, str]) -> str:
    inner = "".join(
        f"<Parameter name={_attribute(name)} value={_attribute(value)}/>"
        for name, value in parameters.items()
    )
    return f"{_HEAD}<Response><Connect>{stream}{inner}</Stream></Connect></Response>"


def plivo_xml(stream_url: str) -> str:
    """Plivo XML with a two-way stream of G.711 μ-law; nothing follows until it ends."""
    return (
        f'{_HEAD}<Response><Stream bidirectional="true" keepCallAlive="true" '
        f'contentType="audio/x-mulaw;rate=8000">{escape(_legal(stream_url))}</Stream></Response>'
    )


def exotel_json(stream_url: str, parameters: Mapping[str, str]) -> str:
    """The object that Exotel's Voicebot applet reads from an https URL.

    Raises:
        ClientError: more parameters than Exotel takes.
    """
    query = urlencode(parameters)
    if len(parameters) > EXOTEL_MAX_PAIRS or len(query) > EXOTEL_MAX_CHARS:
        raise ClientError(
            f"Exotel takes {EXOTEL_MAX_PAIRS} parameters of {EXOTEL_MAX_CHARS} characters in all, "
            f"and these are {len(parameters)} with {len(query)}; give the webhook fewer",
            code="too_many_parameters",
            details={"parameters": sorted(parameters)},
        )
    return encode({"url": with_query(stream_url, parameters)})


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """`url` with the parameters as its query, none as it is."""
    return f"{url}?{urlencode(parameters)}" if parameters else url


def public_url(
    *,
    scheme: str,
    host: str,
    path: str,
    query: str = "",
    configured: str = "",
) -> str:
    """The URL by which the outside reaches this server.

    Args:
        scheme: Of the request as the proxy forwarded it; `ws` and `wss` for a WebSocket.
        host: `X-Forwarded-Host` or `Host`.
        path: Path of the request or of the endpoint.
        query: Query as received, not decoded.
        configured: The `public_url` setting, e.g. `https://voice.example.com`: its scheme, host and
            path prefix win.
    """
    netloc, prefix = host.split(",")[0].strip(), ""
    if configured:
        parts = urlsplit(configured)
        is_safe, netloc, prefix = parts.scheme in ("https", "wss"), parts.netloc, parts.path
        web_socket = scheme in ("ws", "wss")
        scheme = ("ws" if web_socket else "http") + ("s" if is_safe else "")
    return urlunsplit((scheme, netloc, prefix.rstrip("/") + path, query, ""))


def provider_of(headers: Mapping[str, str], form: Mapping[str, str]) -> Provider | None:
    """The provider that sent a webhook, by its signature's header or its form's fields.

    Args:
        headers: Of the request, names in lower case.
        form: Fields of the body or the query.
    """
    by_header = {
        "x-twilio-signature": Provider.TWILIO,
        "telnyx-signature-ed25519": Provider.TELNYX,
        "x-plivo-signature-v3": Provider.PLIVO,
        "x-plivo-signature-v3-nonce": Provider.PLIVO,
    }
    for name, provider in by_header.items():
        if name in headers:
            return provider
    if "CallUUID" in form:
        return Provider.PLIVO
    if "CallSid" not in form:
        return None
    if "CallFrom" in form or "CallTo" in form:
        return Provider.EXOTEL
    # TeXML is made after TwiML; its call ids start with the version of Telnyx's call control.
    return Provider.TWILIO if form["CallSid"].startswith("CA") else Provider.TELNYX


def caller_of(form: Mapping[str, str]) -> Caller:
    """Who calls whom: `From` and `To`, with Exotel `CallFrom` and `CallTo`."""
    return Caller(
        from_number=form.get("From") or form.get("CallFrom") or "",
        to_number=form.get("To") or form.get("CallTo") or "",
    )


def _attribute(value: str) -> str:
    return quoteattr(_legal(value))


def _legal(text: str) -> str:
    """`text` without the characters that XML 1.0 cannot hold in any form (section 2.2)."""
    return "".join(c for c in text if c in "\t\n\r" or (c >= " " and not _is_illegal(ord(c))))


def _is_illegal(code: int) -> bool:
    return 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF)
