"""What the telephony routes are configured with."""

from dataclasses import dataclass, field
from typing import cast

from starlette.requests import HTTPConnection

from antiphon.protocols.telephony import Provider
from antiphon.protocols.telephony_answers import public_url
from antiphon.transports.telephony import TelephonyCredentials


@dataclass(frozen=True, slots=True)
class TelephonyOptions:
    """Credentials, and by which URL the providers reach this server."""

    credentials: TelephonyCredentials = field(default_factory=TelephonyCredentials)
    telnyx_public_key: str = ""
    """Base64, of the account; verifies webhooks."""
    public_url: str = ""
    """`https://host[/prefix]`; empty: by each request's own headers."""

    def signing_secret(self, provider: Provider) -> str:
        """What verifies the provider's requests; empty when they are not verified."""
        return {
            Provider.TWILIO: self.credentials.twilio_auth_token,
            Provider.TELNYX: self.telnyx_public_key,
            Provider.PLIVO: self.credentials.plivo_auth_token,
            Provider.EXOTEL: "",  # signs nothing
        }[provider]


def telephony_options(connection: HTTPConnection) -> TelephonyOptions:
    """The options of the running application: its `state.telephony`."""
    return cast("TelephonyOptions", connection.app.state.telephony)


def requested_url(connection: HTTPConnection, options: TelephonyOptions) -> str:
    """The URL as the outside requested it, which is what providers sign."""
    return public_url(
        scheme=connection.url.scheme,
        host=_host(connection),
        path=connection.url.path,
        query=connection.url.query,
        configured=options.public_url,
    )


def stream_url(connection: HTTPConnection, options: TelephonyOptions) -> str:
    """Where a provider is told to stream to."""
    scheme = "wss" if connection.url.scheme in ("https", "wss") else "ws"
    return public_url(
        scheme=scheme, host=_host(connection), path="/ws", configured=options.public_url
    )


def _host(connection: HTTPConnection) -> str:
    headers = connection.headers
    return headers.get("x-forwarded-host") or headers.get("host") or connection.url.netloc
