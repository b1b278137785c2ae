"""A channel of a simulated exchange."""

from dataclasses import dataclass, field
from typing import Any

from antiphon.testing.asterisk.audio import Speech, load_speech

TIMESTAMP = "2026-01-01T00:00:00.000+0000"
RATE = 16_000
"""Hz of the audio of people at a simulated exchange."""


@dataclass(eq=False)
class ExchangeChannel:
    """One channel of the simulated exchange."""

    id: str
    endpoint: str
    state: str = "Down"
    in_stasis: bool = False
    number: str = ""
    exten: str = "s"
    bridge: str = ""
    music: bool = False
    gone: bool = False
    cause: int = 0
    continued: bool = False
    """It was given back to the dialplan."""
    variables: dict[str, str] = field(default_factory=dict)
    caller_id: str = ""
    tones: str = ""
    """DTMF that was sent to its far end."""
    heard: list[str] = field(default_factory=list)
    """What its far end heard, in order (see `SimulatedAri.hears`)."""
    heard_audio: bytearray = field(default_factory=bytearray)
    """With media: what agents played to it, PCM16 mono at `RATE`, silence left out."""
    speech: bytearray = field(default_factory=bytearray)
    """With media: what its far end has yet to say, PCM16 mono at `RATE`."""
    misses_hang_ups: int = 0
    """So many hang-ups are only noted; anything asked of the channel then carries them out. So does
    Asterisk 22.8.2 with one that comes as a bridged channel is answered."""
    hang_up_noted: bool = False

    @property
    def is_agent(self) -> bool:
        """Whether it is a WebSocket channel: an agent's leg."""
        return self.endpoint.startswith("WebSocket/")

    @property
    def heard_in_turn(self) -> list[str]:
        """What its far end heard, without the instants of silence between two of them."""
        steps = [one for one in self.heard if one != "silence"]
        return [one for i, one in enumerate(steps) if i == 0 or steps[i - 1] != one]

    def say(self, speech: Speech, *, rate: int = RATE) -> None:
        """With media: its far end goes on to say this, as soon as an agent is in its bridge.

        Args:
            speech: PCM16 mono or samples, or a WAV file, which says its own rate.
            rate: Hz of bytes or samples.
        """
        self.speech += load_speech(speech, rate, RATE).tobytes()

    def as_json(self) -> dict[str, Any]:
        """As ARI shows it."""
        return {
            "id": self.id,
            "protocol_id": "",
            "name": f"{self.endpoint.split('/v(')[0]}-00000001",
            "state": self.state,
            "caller": {"name": "", "number": self.number},
            "connected": {"name": "", "number": ""},
            "accountcode": "",
            "dialplan": {
                "context": "default",
                "exten": self.exten,
                "priority": 1,
                "app_name": "Stasis" if self.in_stasis else "AppDial2",
                "app_data": "",
            },
            "creationtime": TIMESTAMP,
            "language": "en",
        }
