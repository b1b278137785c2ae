"""Media of a simulated exchange: agents' legs, joined to those in their bridge."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

import numpy as np

from antiphon.testing.asterisk.ari_channel import RATE
from antiphon.testing.asterisk.model import ChannelModel
from antiphon.testing.asterisk.outbound import SimulatedChannel
from antiphon.testing.asterisk.record import AudioFrame

_OPTION = re.compile(r"([a-z])\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class DialString:
    """`WebSocket/<connection>/<options>`, as far as agents' legs need it."""

    connection: str
    codec: str = "slin"
    control: Literal["json", "plain-text"] = "plain-text"
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, endpoint: str) -> "DialString":
        """A dial string with the options `c(…)`, `f(…)`, `v(…)`.

        Raises:
            ValueError: another option, or a codec whose rate is not `RATE`.
        """
        _, connection, *rest = endpoint.split("/", 2)
        options = rest[0] if rest else ""
        given = dict(_OPTION.findall(options))
        if _OPTION.sub("", options) or given.keys() - set("cfv"):
            raise ValueError(f"{endpoint}: only c(…), f(…) and v(…) are simulated")
        if given.get("c") != "slin16":
            raise ValueError(f"{endpoint}: only c(slin16) is simulated")
        pairs = (one.partition("=") for one in given.get("v", "").split(",") if one)
        return cls(
            connection,
            codec=given["c"],
            control="json" if given.get("f") == "json" else "plain-text",
            parameters={name: unquote(value) for name, _, value in pairs},
        )


class AgentLeg(SimulatedChannel):
    """A WebSocket channel in a bridge of the simulated exchange.

    Args:
        url: The application's address, `ws://host:port/path`.
        channel_id: The channel's id, told in MEDIA_START.
        dial_string: What was dialled.
        take: Gives at most so many bytes of what the others in the bridge say now.
        give: Takes what they hear, without silence. Both PCM16 mono at `RATE`.
    """

    def __init__(
        self,
        url: str,
        channel_id: str,
        dial_string: DialString,
        *,
        take: Callable[[int], bytes],
        give: Callable[[bytes], None],
    ):
        super().__init__(
            url,
            parameters=dial_string.parameters,
            codec=dial_string.codec,
            control=dial_string.control,
            connection_id=dial_string.connection,
        )
        assert self.codec.sample_rate == RATE
        self.channel_id = channel_id
        self._take = take
        self._give = give

    async def until_closed(self) -> None:
        """Wait until the call is over, however long it is."""
        while not self.closed:
            await self._changed.wait()

    def _speak(self, model: ChannelModel, at: float) -> None:
        said = self._take(2 * RATE * self._ptime_ms // 1000)
        self._speech += self.codec.encode(np.frombuffer(said, dtype=np.int16))
        super()._speak(model, at)

    def _hear(self, frame: AudioFrame) -> None:
        super()._hear(frame)
        if self._is_sound(frame.data):
            self._give(self.codec.decode(frame.data).tobytes())
