"""Headerless PCM16 over a WebSocket, as restsend/rustpbx (`voip_bridge`) and active-call dial it.

Audio is binary, 20 ms a message; text is JSON, of which the peers know `{"type":"dtmf"}`.
"""

import json

from antiphon.cli.caller.messages import AgentAudio, Dropped, Heard, Notice

SAMPLE_RATE = 8_000
"""Hz, unless the URL says another."""


class PcmCaller:
    """A raw-PCM peer. Implements `CallerCodec`.

    Args:
        sample_rate: Hz, both ways; must be what the URL's `rate` says.
    """

    name = "pcm"
    waits_for_server = False
    keepalive_secs = 0.0

    def __init__(self, sample_rate: int = SAMPLE_RATE):
        self.sample_rate = sample_rate

    def opening(self, now_ms: int) -> list[str | bytes]:
        """Nothing: everything is in the URL."""
        return []

    def keepalive(self, now_ms: int) -> str:
        """Not used."""
        return ""

    def audio(self, pcm: bytes, now_ms: int) -> bytes:
        """The bare bytes."""
        return pcm

    def read(self, message: str | bytes) -> list[Heard]:
        """Read one message."""
        if isinstance(message, bytes):
            if len(message) % 2:
                return [Dropped(f"audio of {len(message)} bytes is not whole samples")]
            return [AgentAudio(message, self.sample_rate)]
        try:
            data = json.loads(message)
        except ValueError as exc:
            return [Dropped(f"not JSON: {exc}")]
        if not isinstance(data, dict) or not isinstance(data.get("type"), str):
            return [Dropped("not an object with a type")]
        return [Notice(data["type"], {k: v for k, v in data.items() if k != "type"})]
