"""Hang-ups that are seen through.

Asterisk 22.8.2 may only note a hang-up that is asked for in the moment in which a bridged channel
is answered: `ChannelHangupRequest` comes and no `StasisEnd`, and the channel stays in its bridge
until something else reaches it. Asking again does. An event may be lost, too, when the event
socket breaks. So whoever hangs up does not take the request for the deed.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from antiphon.errors import AntiphonError
from antiphon.telephony.ari.client import AriClient
from antiphon.telephony.ari.errors import AriRequestError
from antiphon.telephony.ari.legs import Leg, LegChange, Legs

log = logging.getLogger(__name__)

ATTEMPTS = 3


class HangUps:
    """Hangs channels up and asks again while one is still there.

    Args:
        client: The exchange.
        legs: The channels that are followed; one that went without an event is told to be gone.
        spawn: Runs the checks beside the calls.
        patience_secs: How long a channel may take to go before it is looked for, s.
    """

    def __init__(
        self,
        client: AriClient,
        legs: Legs,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        patience_secs: float,
    ):
        self._client = client
        self._legs = legs
        self._spawn = spawn
        self._patience_secs = patience_secs

    async def ask(self, channel_id: str) -> None:
        """Hang up any channel; one that is gone already is well. Returns before it is gone.

        Raises:
            Unavailable: Asterisk does not answer.
            AriRequestError: it refused.
        """
        leg = self._legs.find(channel_id)
        await self._client.hang_up(channel_id)
        self._spawn(self._see_through(channel_id, leg))

    async def _see_through(self, channel_id: str, leg: Leg | None) -> None:
        for _ in range(ATTEMPTS):
            if await self._went(leg):
                return
            try:
                if not await self._is_there(channel_id):
                    break
                log.warning("ARI: %s is still there after a hang-up; asking again", channel_id)
                await self._client.hang_up(channel_id)
            except AntiphonError as error:
                log.warning("ARI: whether %s has gone: %s", channel_id, error.message)
        else:
            if await self._went(leg):
                return
            log.error("ARI: %s does not go; its call is taken for ended", channel_id)
        if leg is not None:
            self._legs.lost(leg)

    async def _went(self, leg: Leg | None) -> bool:
        """Wait as long as patience lasts; whether the leg was told to be gone."""
        if leg is None:
            await asyncio.sleep(self._patience_secs)
            return False
        try:
            await leg.until(LegChange.GONE, self._patience_secs)
        except TimeoutError:
            return False
        return True

    async def _is_there(self, channel_id: str) -> bool:
        try:
            await self._client.channel(channel_id)
        except AriRequestError as error:
            if error.status == 404:
                return False
            raise
        return True
