"""The page at `/`: where what answers."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Antiphon</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;
color-scheme:light dark}}code{{font-size:.95em}}td{{padding:.2rem 1rem .2rem 0}}</style></head>
<body><h1>Antiphon</h1><p>A voice-agent media server. It is running and takes calls.</p>
<table>
<tr><td>RustPBX</td><td><code>{ws}/ws/rustpbx</code></td></tr>
<tr><td>Asterisk</td><td><code>{ws}/ws/asterisk</code></td></tr>
<tr><td>Twilio, Telnyx, Plivo, Exotel</td><td><code>{ws}/ws</code></td></tr>
<tr><td>Raw PCM</td><td><code>{ws}/ws/pcm?rate=8000</code></td></tr>
<tr><td>Browser</td><td><code>{ws}/api/realtime/pipecat/ws/{{conversation_id}}</code></td></tr>
<tr><td>REST</td><td><a href="/docs">/docs</a>, <a href="/api/v1/sessions">/api/v1/sessions</a>,
<a href="/health">/health</a></td></tr>
</table><p>A first call: <code>antiphon call what-is-in-my-cart --url {ws}/ws/rustpbx</code></p>
</body></html>"""


@router.get("/", response_class=HTMLResponse)
async def index(request: Request) -> str:
    """What answers where, with this server's own address."""
    scheme = "wss" if request.url.scheme == "https" else "ws"
    return _PAGE.format(ws=f"{scheme}://{request.url.netloc}")
