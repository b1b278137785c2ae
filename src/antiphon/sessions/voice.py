"""The sessions' side of call control at a telephone exchange: an `AgentVoice`."""

import logging
from collections.abc import Callable

from antiphon.domain.session import EndReason
from antiphon.errors import Conflict
from antiphon.sessions.session import Session

log = logging.getLogger(__name__)

FindSession = Callable[[str], Session | None]


class SessionVoice:
    """Speaks and ends on behalf of the exchange; sessions that have ended are passed over.

    Args:
        find: A live session by its id.
    """

    def __init__(self, find: FindSession):
        self._find = find

    async def settle(self, session_id: str) -> None:
        """Return once the caller has heard what the agent is saying now."""
        if session := self._find(session_id):
            await session.settle()

    async def announce(self, session_id: str, text: str) -> None:
        """Speak `text` and return once it has been heard."""
        if session := self._find(session_id):
            await session.announce(text)

    async def away(self, session_id: str, *, away: bool) -> None:
        """Whether the caller hears music now."""
        if session := self._find(session_id):
            try:
                await session.caller_away(away=away)
            except Conflict:
                log.debug("session %s has ended meanwhile", session_id)

    async def transferred(self, session_id: str, target: str) -> None:
        """The caller talks to `target` now: end the session."""
        if session := self._find(session_id):
            await session.end(EndReason.TRANSFERRED, detail=target)
