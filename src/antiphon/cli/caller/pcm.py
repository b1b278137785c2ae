"""Headerless PCM16 over a WebSocket, as restsend/rustpbx (`voip_bridge`) and active-call dial it.

Audio is binary, 20 ms a message; text is JSON, of which the peers know `{"type":"dtmf"}`.
"""

from typing import Any

from antiphon.cli.caller.messages import Heard, Notice
from antiphon.cli.caller.raw import RawAudioCaller

SAMPLE_RATE = 8_000
"""Hz, unless the URL says another."""


class PcmCaller(RawAudioCaller):
    """A raw-PCM peer.

    Args:
        sample_rate: Hz, both ways; must be what the URL's `rate` says.
    """

    name = "pcm"

    def __init__(self, sample_rate: int = SAMPLE_RATE):
        super().__init__(sample_rate)

    def meaning(self, kind: str, data: dict[str, Any]) -> Heard:
        """Nothing that a caller could hear."""
        return Notice(kind, {name: value for name, value in data.items() if name != "type"})
