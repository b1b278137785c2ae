"""Where calls come in: one WebSocket endpoint a protocol."""

from fastapi import APIRouter

from antiphon.api.calls import asterisk, browser, pcm, rustpbx

router = APIRouter()
for endpoint in (rustpbx, asterisk, pcm, browser):
    router.include_router(endpoint.router)
