"""Who may use the server: API keys, and short-lived tickets for browsers.

A key comes by `Authorization: Bearer`, `X-API-Key` or `?token=` (telephony peers can only use the
URL). On loopback without any key the server is open. WebSocket requests with an `Origin` of another
site are refused, so that no web page can use a visitor's loopback server.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from antiphon.api.models import FORBIDDEN, UNAUTHORIZED
from antiphon.clock import Clock
from antiphon.errors import Forbidden, Unauthorized
from antiphon.records.store import RecordStore
from antiphon.sessions.manager import Caller
from antiphon.settings import Settings

TICKET_PREFIX = "ticket."


class Authenticator:
    """Checks keys and tickets.

    Args:
        settings: Configured keys, allowed origins, whether anonymous use is allowed.
        store: Where made keys are kept, hashed.
        clock: Source of time, for tickets.
    """

    def __init__(self, settings: Settings, store: RecordStore, clock: Clock):
        self._settings = settings
        self._store = store
        self._clock = clock
        self._keys = [key.get_secret_value() for key in settings.api_keys]
        self._secret = secrets.token_bytes(32)

    async def authenticate(self, token: str | None) -> str:
        """The id of the key or ticket; empty when anonymous use is allowed.

        Raises:
            Unauthorized: no valid key, and anonymous use is not allowed.
        """
        if token:
            if token.startswith(TICKET_PREFIX):
                return self._redeem(token)
            for number, key in enumerate(self._keys, 1):
                if hmac.compare_digest(key.encode(), token.encode()):
                    return f"configured-{number}"
            found = await self._store.find_key(token)
            if found is not None:
                return str(found.id)
        if await self._open():
            return ""
        raise Unauthorized(
            "no valid API key: send it as Authorization: Bearer, X-API-Key or ?token="
            if not token
            else "the API key is not valid",
            field="token",
        )

    async def _open(self) -> bool:
        if self._settings.allow_anonymous:
            return True
        if not self._settings.is_loopback or self._keys:
            return False
        return not any(key.revoked_at is None for key in await self._store.list_keys())

    def issue_ticket(self, key_id: str) -> tuple[str, float]:
        """A signed ticket for a browser, and its life in seconds."""
        ttl = self._settings.ticket_ttl_secs
        claims = {"k": key_id, "e": self._clock.utc_now().timestamp() + ttl}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"{TICKET_PREFIX}{payload}.{self._sign(payload)}", ttl

    def _redeem(self, ticket: str) -> str:
        payload, _, signature = ticket.removeprefix(TICKET_PREFIX).partition(".")
        if not hmac.compare_digest(self._sign(payload).encode(), signature.encode()):
            raise Unauthorized("the ticket is not valid; ask for a new one", field="token")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if self._clock.utc_now().timestamp() > claims["e"]:
            raise Unauthorized("the ticket has expired; ask for a new one", field="token")
        return str(claims["k"])

    def _sign(self, payload: str) -> str:
        return hmac.new(self._secret, payload.encode(), hashlib.sha256).hexdigest()

    def sign(self, text: str) -> str:
        """A signature only this process can make, for resume tokens."""
        return self._sign(text)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Refuse a browser page of another site.

        Raises:
            Forbidden: the Origin is neither the server's own nor an allowed one.
        """
        origin = headers.get("origin")
        if origin is None or "*" in self._settings.allowed_origins:
            return
        if origin in self._settings.allowed_origins:
            return
        if urlsplit(origin).netloc == headers.get("host"):
            return
        raise Forbidden(
            f"Origin {origin[:200]} may not connect; add it to ANTIPHON_ALLOWED_ORIGINS",
            field="origin",
            code="origin_not_allowed",
        )


def _token(connection: HTTPConnection) -> str | None:
    authorization = connection.headers.get("authorization", "")
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer" and value:
        return value.strip()
    if scheme.lower() == "basic":
        return _password(value)
    return connection.headers.get("x-api-key") or connection.query_params.get("token")


def _password(credentials: str) -> str | None:
    """The key as the password of HTTP Basic, which is all that some exchanges can send."""
    try:
        _, _, password = base64.b64decode(credentials).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return password or None


def _authenticator(connection: HTTPConnection) -> Authenticator:
    found = connection.app.state.antiphon.authenticator
    assert isinstance(found, Authenticator)
    return found


async def _caller(connection: HTTPConnection) -> Caller:
    address = connection.client.host if connection.client else ""
    key_id = await _authenticator(connection).authenticate(_token(connection))
    return Caller(address=address, key_id=key_id)


async def require_key(request: Request) -> Caller:
    """FastAPI dependency: the caller of a REST request.

    Raises:
        Unauthorized: no valid key, and anonymous use is not allowed.
        Forbidden: a page of another site sent the request.
    """
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        _authenticator(request).check_origin(request.headers)
    return await _caller(request)


async def websocket_caller(websocket: WebSocket) -> Caller:
    """The caller of a WebSocket, its Origin checked.

    Raises:
        Unauthorized: no valid key, and anonymous use is not allowed.
        Forbidden: a page of another site opened it.
    """
    _authenticator(websocket).check_origin(websocket.headers)
    return await _caller(websocket)


class Ticket(BaseModel):
    """A browser's way in."""

    ticket: str = Field(description="Use as `?token=` of a WebSocket URL.")
    expires_in: float = Field(description="Seconds until it is no longer accepted.")


router = APIRouter(prefix="/api/v1", tags=["tickets"])


@router.post(
    "/tickets",
    summary="Make a short-lived ticket for a browser",
    responses={**UNAUTHORIZED, **FORBIDDEN},
)
async def make_ticket(request: Request, caller: Caller = Depends(require_key)) -> Ticket:
    """A signed ticket in place of a key, for pages that must not hold one."""
    ticket, ttl = _authenticator(request).issue_ticket(caller.key_id)
    return Ticket(ticket=ticket, expires_in=ttl)
