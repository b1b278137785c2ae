"""What can be seen of a call, and waited for."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from antiphon.testing.asterisk.audio import MediaCodec, Samples
from antiphon.testing.asterisk.model import ChannelModel
from antiphon.testing.asterisk.record import (
    AudioFrame,
    By,
    CallOver,
    Closed,
    Message,
    read_message,
)

SOUND_PEAK = 100
"""A frame whose loudest sample is beyond this (of 32,767) counts as sound, not as silence."""
_T = TypeVar("_T")


class Observed:
    """The record of a call and the conditions to wait for; times are seconds since MEDIA_START.

    Attributes:
        codec: the channel's wire format.
        model: the channel's queue and its counters; None before MEDIA_START.
        heard: frames played to the caller, with their times; ticks of silence are left out.
        sent: frames of the caller's audio sent to the application.
        messages: all texts, both ways, in order.
        closed: how the call ended; None while it is up.
    """

    def __init__(self, codec: MediaCodec, *, as_json: bool):
        self.codec = codec
        self.model: ChannelModel | None = None
        self.heard: list[AudioFrame] = []
        self.sent: list[AudioFrame] = []
        self.messages: list[Message] = []
        self.closed: Closed | None = None
        self._json = as_json
        self._began = 0.0
        self._speech = bytearray()
        self._last_sound_at: float | None = None
        self._changed = asyncio.Event()

    @property
    def heard_bytes(self) -> bytes:
        """All that was played, in the wire format, without the silence in between."""
        return b"".join(frame.data for frame in self.heard)

    @property
    def heard_samples(self) -> Samples:
        """All that was played, as samples at the codec's rate."""
        return self.codec.decode(self.heard_bytes)

    def commands(self, name: str) -> list[Message]:
        """Commands of that name from the application."""
        return [one for one in self.messages if one.by == "application" and one.name == name]

    def events(self, name: str) -> list[Message]:
        """Events of that name sent to the application."""
        return [one for one in self.messages if one.by == "asterisk" and one.name == name]

    async def wait_for(
        self, condition: Callable[[], _T], *, within_s: float = 5.0, what: str = "the condition"
    ) -> _T:
        """Wait until `condition()` is true; it is asked after each message and each frame.

        Returns:
            What the condition returned.

        Raises:
            TimeoutError: not within that time.
            CallOver: the call ended before.
        """
        try:
            async with asyncio.timeout(within_s):
                while not (result := condition()):
                    if self.closed:
                        raise CallOver(f"{what}: the call ended before, {self.closed}")
                    changed = self._changed
                    await changed.wait()
        except TimeoutError:
            last = "; ".join(message.text for message in self.messages[-3:])
            raise TimeoutError(f"{what}: not within {within_s} s; last texts: {last}") from None
        return result

    async def wait_for_event(self, name: str, *, count: int = 1, within_s: float = 5.0) -> Message:
        """Wait until the application was sent `count` events of that name; the last of them."""
        what = f"event {name} number {count}"
        await self.wait_for(lambda: len(self.events(name)) >= count, within_s=within_s, what=what)
        return self.events(name)[count - 1]

    async def wait_for_command(
        self, name: str, *, count: int = 1, within_s: float = 5.0
    ) -> Message:
        """Wait until the application has sent `count` commands of that name; the last of them."""
        what = f"command {name} number {count}"
        await self.wait_for(lambda: len(self.commands(name)) >= count, within_s=within_s, what=what)
        return self.commands(name)[count - 1]

    async def wait_until_said(self, *, within_s: float = 30.0) -> None:
        """Wait until all that the caller has to say was sent."""
        await self.wait_for(lambda: not self._speech, within_s=within_s, what="end of the speech")

    async def wait_until_speaking(self, *, within_s: float = 5.0) -> float:
        """Wait until the application is heard from now on (not silence); when, in seconds."""
        since = len(self.heard)
        await self.wait_for(
            lambda: any(self._is_sound(frame.data) for frame in self.heard[since:]),
            within_s=within_s,
            what="sound from the application",
        )
        return next(frame.at for frame in self.heard[since:] if self._is_sound(frame.data))

    async def wait_until_quiet(self, *, quiet_s: float = 0.5, within_s: float = 30.0) -> None:
        """Wait until nothing is queued and there was no sound from the application for a while."""

        def quiet() -> bool:
            model = self._player()
            last = self._last_sound_at or 0.0
            return model.queue_length == 0 and self._elapsed() - last >= quiet_s

        await self.wait_for(quiet, within_s=within_s, what=f"{quiet_s} s of quiet")

    async def wait_closed(self, *, within_s: float = 5.0) -> Closed:
        """Wait until the call is over."""
        await self.wait_for(lambda: self.closed, within_s=within_s, what="end of the call")
        assert self.closed is not None
        return self.closed

    def _note(self, by: By, text: str) -> None:
        self.messages.append(read_message(self._elapsed(), by, text, as_json=self._json))

    def _hear(self, frame: AudioFrame) -> None:
        self.heard.append(frame)
        if self._is_sound(frame.data):
            self._last_sound_at = frame.at

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _is_sound(self, frame: bytes) -> bool:
        samples = self.codec.decode(frame)
        return bool(samples.size) and int(np.abs(samples.astype(np.int32)).max()) > SOUND_PEAK

    def _player(self) -> ChannelModel:
        if self.model is None:
            raise CallOver("the call has not begun: no WebSocket is connected yet")
        return self.model

    def _elapsed(self) -> float:
        return self._now() - self._began

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
