"""How Twilio, Telnyx and Plivo sign the requests they send, checked without I/O.

Every check raises `Forbidden` with the reason, and needs the URL *as the provider requested it*:
behind a proxy that is the public one. Exotel signs nothing; its requests are let in by an API key.

Sources (read November 2026):

- Twilio: twilio.com/docs/usage/security; the same header comes with a stream's WebSocket handshake
  (twilio.com/docs/global-infrastructure/firewall-configurations/media-streams-configuration).
- Plivo: docs.plivo.com/docs/voice/xml/request/validation, and plivo-python's `signature_v3`.
- Telnyx: developers.telnyx.com (`telnyx-signature-ed25519`, `telnyx-timestamp`), and the Telnyx
  SDKs for the tolerance.
"""

import base64
import binascii
import hmac
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from antiphon.errors import Forbidden

Pairs = Iterable[tuple[str, str]]

TELNYX_TOLERANCE_SECS = 300
"""How old, or how far ahead of our clock, a Telnyx timestamp may be; what its SDKs allow."""

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def check_twilio(*, url: str, form: Pairs, signature: str, auth_token: str) -> None:
    """Check `X-Twilio-Signature`: base64 of HMAC-SHA1 of the URL and the sorted form fields.

    A replay is not told apart from the original: what is signed holds no time.

    Args:
        url: As requested, with its query; `wss://…` for a stream's handshake.
        form: Fields of the body, repeated names included; empty for GET.
        signature: The header's value, or an empty string.
        auth_token: The account's token.

    Raises:
        Forbidden: the header is missing or does not match.
    """
    fields = "".join(name + value for name, value in sorted(set(form)))
    if signature:
        for candidate in _with_and_without_port(url):
            mac = hmac.digest(auth_token.encode(), (candidate + fields).encode(), "sha1")
            if _same(base64.b64encode(mac).decode(), signature):
                return
    raise _refused("X-Twilio-Signature", signature, url)


def _with_and_without_port(url: str) -> Iterable[str]:
    """Twilio signs the URL with or without its port, as its own libraries allow for.

    It has also been seen to sign a stream's URL with a slash at its end.
    """
    parts = _split(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    port = _port(parts)
    for netloc in dict.fromkeys((parts.netloc, host, f"{host}:{port}")):
        candidate = parts._replace(netloc=netloc).geturl()
        yield candidate
        if parts.scheme in ("ws", "wss") and not parts.query and not candidate.endswith("/"):
            yield candidate + "/"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # a Host header can be anything; no provider signed such a URL
        return SplitResult("", "", "", "", "")


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or _DEFAULT_PORTS.get(parts.scheme, 443)
    except ValueError:  # no port at all; nothing was signed with it
        return 0


def check_plivo(
    *, method: str, url: str, form: Pairs, signature: str, nonce: str, auth_token: str
) -> None:
    """Check `X-Plivo-Signature-V3`: base64 of HMAC-SHA256 of URL, fields and nonce.

    The query is sorted by name, and a POST's fields follow it sorted, names and values joined.
    The header may hold several signatures, parted by commas, while a token is being changed.

    Args:
        method: `GET` or `POST`.
        url: As requested, with its query.
        form: Fields of the body; empty for GET.
        signature: The header's value, or an empty string.
        nonce: `X-Plivo-Signature-V3-Nonce`.
        auth_token: The account's or subaccount's token.

    Raises:
        Forbidden: a header is missing or does not match.
    """
    parts = _split(url)
    fields = list(form)
    query = _sorted_pairs(parse_qsl(parts.query, keep_blank_values=True), "=", "&")
    message = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if method.upper() == "POST" and fields:
        message += f"?{query}" + ("." if query else "") + _sorted_pairs(fields, "", "")
    elif query:
        message += f"?{query}"
    mac = hmac.digest(auth_token.encode(), f"{message}.{nonce}".encode(), "sha256")
    expected = base64.b64encode(mac).decode()
    given = [one.strip() for one in signature.split(",") if one.strip()]
    if not nonce or not any(_same(expected, one) for one in given):
        raise _refused("X-Plivo-Signature-V3", signature if nonce else "", url)


def _sorted_pairs(pairs: Pairs, between: str, after: str) -> str:
    values: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        values[name].append(value)
    return after.join(
        f"{name}{between}{value}" for name in sorted(values) for value in sorted(values[name])
    )


def check_telnyx(
    *, body: bytes, signature: str, timestamp: str, public_key: str, now: float
) -> None:
    """Check `telnyx-signature-ed25519`: a signature of `timestamp|body`.

    Args:
        body: The body's bytes as received; empty for GET.
        signature: The header's value, base64, or an empty string.
        timestamp: `telnyx-timestamp`, seconds since the epoch.
        public_key: The account's key, base64.
        now: Seconds since the epoch.

    Raises:
        Forbidden: a header is missing, too old, or does not match.
    """
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise _refused("telnyx-timestamp", "", "")
    if abs(now - int(timestamp)) > TELNYX_TOLERANCE_SECS:
        raise Forbidden(
            f"telnyx-timestamp is more than {TELNYX_TOLERANCE_SECS} s away from this server's "
            "clock: a replayed request, or a wrong clock",
            field="telnyx-timestamp",
            code="bad_signature",
        )
    try:
        key = Ed25519PublicKey.from_public_bytes(_base64(public_key))
    except ValueError:
        raise Forbidden(
            "ANTIPHON_TELNYX_PUBLIC_KEY is no Ed25519 key: set the base64 text of 44 characters "
            "from Mission Control",
            field="telnyx_public_key",
            code="bad_signature",
        ) from None
    try:
        key.verify(_base64(signature), timestamp.encode() + b"|" + body)
    except InvalidSignature:
        raise _refused("telnyx-signature-ed25519", signature, "") from None


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(), b.encode(errors="replace"))


def _refused(header: str, value: str, url: str) -> Forbidden:
    if not value:
        return Forbidden(
            f"the request has no valid {header}; only the provider may send it",
            field=header,
            code="bad_signature",
        )
    # The usual cause is a proxy, so the URL that was checked is worth saying.
    shown = _split(url)._replace(query="").geturl() if url else ""
    hint = f" for {shown}; if the public URL is another, set ANTIPHON_PUBLIC_URL" if shown else ""
    return Forbidden(f"{header} does not match{hint}", field=header, code="bad_signature")
