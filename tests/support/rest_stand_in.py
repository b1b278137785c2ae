"""A loopback stand-in for the providers' REST interfaces: the hang-up request of each.

Documented at:

- twilio.com/docs/voice/api/call-resource: POST with Status=completed, 200; 404 and code 20404 when
  the call is over.
- developers.telnyx.com/api-reference/call-commands/hangup-call: POST with the key as bearer, 200;
  422 and code 90018 when it is over.
- plivo.com/docs/voice/api/call/hangup-a-call: DELETE, 204; 404 when it is over.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.live_server import serving

SECRETS = {"twilio": "twilio-token", "telnyx": "telnyx-key", "plivo": "plivo-token"}


@dataclass
class RestStandIn:
    """What was asked of it."""

    port: int = 0
    hung_up: list[str] = field(default_factory=list)
    """`provider call-id`, of well-formed requests with the right credentials."""
    refused: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    stalls: bool = False
    """Do not answer at all."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _twilio(self, request: Request) -> Response:
        body = (await request.body()).decode()
        allowed = body == "Status=completed" and self._basic(request, "AC1", SECRETS["twilio"])
        known = await self._note("twilio", request, allowed)
        if not known:
            return JSONResponse({"code": 20404}, 404)
        return JSONResponse({"sid": request.path_params["call"], "status": "completed"})

    async def _telnyx(self, request: Request) -> Response:
        bearer = request.headers.get("authorization") == f"Bearer {SECRETS['telnyx']}"
        known = await self._note("telnyx", request, bearer)
        if not known:
            return JSONResponse({"errors": [{"code": "90018"}]}, 422)
        return JSONResponse({"data": {"result": "ok"}})

    async def _plivo(self, request: Request) -> Response:
        allowed = self._basic(request, "MA1", SECRETS["plivo"])
        return Response(status_code=204 if await self._note("plivo", request, allowed) else 404)

    def _basic(self, request: Request, user: str, password: str) -> bool:
        expected = base64.b64encode(f"{user}:{password}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {expected}"

    async def _note(self, provider: str, request: Request, allowed: bool) -> bool:
        (self.hung_up if allowed else self.refused).append(
            f"{provider} {request.path_params['call']}"
        )
        self.asked.set()
        if self.stalls:
            await asyncio.Event().wait()
        return allowed

    def app(self) -> Starlette:
        twilio = "/2010-04-01/Accounts/AC1/Calls/{call}.json"
        return Starlette(
            routes=[
                Route(twilio, self._twilio, methods=["POST"]),
                Route("/v2/calls/{call}/actions/hangup", self._telnyx, methods=["POST"]),
                Route("/v1/Account/MA1/Call/{call}/", self._plivo, methods=["DELETE"]),
            ]
        )


@contextlib.asynccontextmanager
async def rest_stand_in(patch: pytest.MonkeyPatch) -> AsyncIterator[RestStandIn]:
    """The stand-in, with the requests to the providers' hosts sent to it.

    Pipecat's Telnyx and Plivo serializers have their host written in (Twilio's takes another), so
    aiohttp is made to ask here instead.
    """
    made = RestStandIn()
    request = aiohttp.ClientSession._request

    async def redirected(session: aiohttp.ClientSession, method: str, url: str, **kw: Any) -> Any:
        for name in ("telnyx", "plivo", "twilio"):
            url = url.replace(f"https://api.{name}.com", made.url)
        assert url.startswith(made.url), url
        return await request(session, method, url, **kw)

    patch.setattr(aiohttp.ClientSession, "_request", redirected)
    config = uvicorn.Config(
        made.app(), log_config=None, lifespan="off", timeout_graceful_shutdown=0
    )
    async with serving(config) as port:
        made.port = port
        yield made
