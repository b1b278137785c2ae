"""The doctor's look at the telephone exchange."""

import asyncio
from collections.abc import Iterator

from antiphon.cli.findings import Finding
from antiphon.clock import SystemClock
from antiphon.settings import Settings
from antiphon.telephony.ari import AriHealth, ari_client


def check_exchange(settings: Settings) -> Iterator[Finding]:
    """Whether Asterisk's REST interface answers with the credentials that are set."""
    if not settings.ari_url:
        return
    health = asyncio.run(_ask(settings))
    if health.reachable:
        yield Finding(
            "exchange", "ok", f"Asterisk {health.version} answers in {health.round_trip_ms} ms"
        )
    else:
        yield Finding(
            "exchange",
            "error",
            health.error or f"{health.url} does not answer",
            "check ari_url, ari.conf (enabled, the user, its password) and http.conf; "
            "`asterisk -rx 'ari show status'`",
        )


async def _ask(settings: Settings) -> AriHealth:
    client = ari_client(settings, SystemClock())
    try:
        return await client.health()
    finally:
        await client.close()
