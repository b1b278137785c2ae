"""The channels we know, as the events tell of them."""

import asyncio
from collections.abc import Callable, Collection
from enum import StrEnum

from antiphon.telephony.ari.models import RINGING, AriEvent, Channel


class LegChange(StrEnum):
    """What happened to a leg."""

    RINGING = "ringing"
    UP = "up"
    """It was answered."""
    ENTERED = "entered"
    """It is in our application: it can be put into bridges."""
    KEY = "key"
    """Its far end pressed a key."""
    GONE = "gone"
    """It hung up, or left our application."""


class Leg:
    """One channel that belongs to a call of ours.

    Args:
        channel_id: Its id.
    """

    def __init__(self, channel_id: str):
        self.id = channel_id
        self.exists = False
        """Asterisk is known to have the channel; one that we are about to make does not exist."""
        self.is_ringing = False
        self.is_up = False
        self.has_entered = False
        self.is_gone = False
        self.cause = 0
        """Q.850 cause once it is gone; 0 where it is not known."""
        self.dial_status = ""
        """The last `dialstatus` that was told of it."""
        self._changed = asyncio.Event()
        self._watchers: list[Watcher] = []

    def watch(self, watcher: "Watcher") -> None:
        """Have every change told, in order."""
        self._watchers.append(watcher)

    def change(self, what: LegChange, key: str = "") -> None:
        """Note a change and tell it; one that is known already is not told again."""
        if what is not LegChange.KEY and (self.is_gone or getattr(self, _FLAGS[what])):
            return
        if what is not LegChange.KEY:
            setattr(self, _FLAGS[what], True)
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()
        for watcher in self._watchers:
            watcher(self, what, key)

    async def until(self, what: LegChange, timeout_secs: float) -> bool:
        """Wait for a change.

        Returns:
            Whether it came; False once the leg is gone.

        Raises:
            TimeoutError: neither happened in time.
        """
        async with asyncio.timeout(timeout_secs):
            while not getattr(self, _FLAGS[what]) and not self.is_gone:
                await self._changed.wait()
        return bool(getattr(self, _FLAGS[what])) and not self.is_gone


Watcher = Callable[[Leg, LegChange, str], None]
"""Told of a leg, a change, and the key for `KEY`; it must not block."""

_FLAGS = {
    LegChange.RINGING: "is_ringing",
    LegChange.UP: "is_up",
    LegChange.ENTERED: "has_entered",
    LegChange.GONE: "is_gone",
}


class Legs:
    """All legs, by channel id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Leg] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, channel_id: str) -> Leg | None:
        """A leg that is there."""
        return self._by_id.get(channel_id)

    def track(self, channel_id: str) -> Leg:
        """Follow a channel, before its first event where it is one that we make."""
        leg = self._by_id[channel_id] = Leg(channel_id)
        return leg

    def take(self, event: AriEvent) -> None:
        """Let an event change the leg it is about, if it is one of ours."""
        leg = self._by_id.get(event.channel.id) if event.channel else None
        if leg is None or event.channel is None:
            return
        leg.exists = True
        self._state(leg, event.channel)
        if event.type == "StasisStart":
            leg.change(LegChange.ENTERED)
        elif event.type == "Dial":
            leg.dial_status = event.dial_status or leg.dial_status
        elif event.type == "ChannelDtmfReceived":
            leg.change(LegChange.KEY, event.digit)
        elif event.type in ("ChannelDestroyed", "StasisEnd"):
            # A leg that never entered is destroyed with the cause; one that did leaves first.
            leg.cause = event.cause
            self._gone(leg)

    @staticmethod
    def _state(leg: Leg, channel: Channel) -> None:
        if channel.state == RINGING:
            leg.change(LegChange.RINGING)
        elif channel.is_up:
            leg.change(LegChange.UP)

    def lost(self, leg: Leg) -> None:
        """A leg is gone, and no event has told so."""
        self._gone(leg)

    def _gone(self, leg: Leg) -> None:
        self._by_id.pop(leg.id, None)
        leg.change(LegChange.GONE)

    def existing(self) -> list[Leg]:
        """Legs whose channels exist, as far as is known."""
        return [leg for leg in self._by_id.values() if leg.exists]

    def compare(self, legs: Collection[Leg], channels: Collection[Channel]) -> None:
        """Catch up with what happened while the event socket was not connected.

        Args:
            legs: Those that existed before `channels` was asked for.
            channels: All channels of the exchange.
        """
        there = {channel.id: channel for channel in channels}
        for leg in legs:
            if leg.id in there:
                self._state(leg, there[leg.id])
                if there[leg.id].application == "Stasis":
                    leg.change(LegChange.ENTERED)
            else:
                self._gone(leg)
