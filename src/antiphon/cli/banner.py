"""What `antiphon serve` prints once it answers: what answers where, the services, a first call."""

import logging
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon import __version__

if TYPE_CHECKING:
    from fastapi import FastAPI

    from antiphon.settings import Settings

log = logging.getLogger(__name__)

ADDRESSES = (
    ("Console", "http", "/"),
    ("RustPBX", "ws", "/ws/rustpbx"),
    ("Asterisk", "ws", "/ws/asterisk"),
    ("Telephony", "ws", "/ws"),
    ("Browser", "ws", "/api/realtime/pipecat/ws/{conversation_id}"),
    ("Raw PCM", "ws", "/ws/pcm"),
    ("WebRTC", "http", "/api/offer"),
    ("Pipecat clients", "http", "/start"),
    ("REST API", "http", "/api/v1/sessions"),
    ("API docs", "http", "/docs"),
    ("Health", "http", "/health"),
    ("Metrics", "http", "/metrics"),
)
"""Title, scheme and path of what is worth telling; only paths that are really served are shown."""

WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
EMBEDDED = "embedded"


def announce(application: "FastAPI", settings: "Settings", port: int) -> None:
    """Tell the operator that the server answers: a line in the log, and a page for people."""
    authority = _authority(settings, port)
    secure = settings.tls_cert_file is not None
    services: dict[str, str] = application.state.antiphon.describe_services()
    log.info(
        "listening on %s://%s:%d, agent %s, services %s",
        "https" if secure else "http",
        settings.host,
        port,
        settings.agent,
        ", ".join(f"{kind} {name}" for kind, name in services.items()),
    )
    if settings.log_format == "text":
        console = Console()
        for part in page(served(application), services, settings, authority, secure=secure):
            console.print(part, soft_wrap=True)


def served(application: "FastAPI") -> list[tuple[str, str, str]]:
    """Those of `ADDRESSES` that the application has a route for."""
    return [entry for entry in ADDRESSES if _has_route(application, entry[1], entry[2])]


def _has_route(application: "FastAPI", scheme: str, path: str) -> bool:
    from starlette.routing import Match

    # Routes are asked, not listed: an included router does not tell the paths it has.
    scope: dict[str, Any] = {
        "type": "websocket" if scheme == "ws" else "http",
        "method": "GET",
        "path": path,
        "root_path": "",
        "headers": [],
        "path_params": {},
        "app": application,
    }
    return any(route.matches(scope)[0] is not Match.NONE for route in application.routes)


def page(
    addresses: list[tuple[str, str, str]],
    services: dict[str, str],
    settings: "Settings",
    authority: str,
    *,
    secure: bool,
) -> list[Table | Text]:
    """The banner's parts.

    Args:
        addresses: What of `ADDRESSES` the application serves.
        services: Kind to name of the default agent's services.
        settings: Effective settings.
        authority: Host and port that a client on this machine uses.
        secure: Whether TLS is on.
    """
    table = Table.grid(padding=(0, 2))
    for title, scheme, path in addresses:
        table.add_row(Text(title), Text(f"{scheme}{'s' if secure else ''}://{authority}{path}"))
    return [
        Text(f"\nAntiphon {__version__} answers calls as agent {settings.agent!r}.", style="bold"),
        table,
        Text(f"Data in {settings.data_dir.absolute()}"),
        *_service_lines(services),
        Text("\nFirst call, from another terminal:", style="bold"),
        Text("  antiphon demo                 a server of its own, a call, an order"),
        Text(f"  antiphon call what-is-in-my-cart --url {_call_url(authority, secure=secure)}"),
        Text("Ctrl-C ends the server; live calls may finish first.\n", style="dim"),
    ]


def _service_lines(services: dict[str, str]) -> list[Text]:
    lines = [Text("Services: " + ", ".join(f"{kind} {name}" for kind, name in services.items()))]
    if EMBEDDED in services.values():
        lines.append(
            Text(
                "  embedded: no key, no network, and it understands the agent's own sentences only."
                "\n  To switch: set a provider's key (e.g. OPENAI_API_KEY) in .env and name the "
                "provider\n  under `services` in the agent file; `antiphon services` lists them.",
                style="dim",
            )
        )
    return lines


def _call_url(authority: str, *, secure: bool) -> str:
    return f"{'wss' if secure else 'ws'}://{authority}/ws/rustpbx"


def _authority(settings: "Settings", port: int) -> str:
    host = WILDCARD_HOSTS.get(settings.host, settings.host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
