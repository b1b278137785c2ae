"""Callers whose audio is headerless PCM16 in binary messages, and whose text is typed JSON."""

import json
from typing import Any

from antiphon.cli.caller.messages import AgentAudio, Dropped, Heard


class RawAudioCaller:
    """Base of such callers; a subclass says what the text messages mean. Implements `CallerCodec`.

    Args:
        sample_rate: Hz, both ways; must be what the URL says, if it says one.
    """

    name = ""
    waits_for_server = False
    keepalive_secs = 0.0

    def __init__(self, sample_rate: int):
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
                # The browser's page views the buffer as an Int16Array, which throws on this.
                return [Dropped(f"audio of {len(message)} bytes is not whole samples")]
            return [AgentAudio(message, self.sample_rate)]
        try:
            data = json.loads(message)
        except ValueError as exc:
            return [Dropped(f"not JSON: {exc}")]
        if not isinstance(data, dict) or not isinstance(data.get("type"), str):
            return [Dropped("not an object with a type")]
        return [self.meaning(data["type"], data)]

    def meaning(self, kind: str, data: dict[str, Any]) -> Heard:
        """What a text message of type `kind` says."""
        raise NotImplementedError
