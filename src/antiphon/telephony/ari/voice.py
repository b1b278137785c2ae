"""What call control needs of the conversation on a call."""

from typing import Protocol


class AgentVoice(Protocol):
    """What call control asks of the session that talks on a call."""

    async def settle(self, session_id: str) -> None:
        """Return once the caller has heard what the agent is saying now; never raises."""

    async def announce(self, session_id: str, text: str) -> None:
        """Speak `text` on the agent's leg and return once it has been heard."""

    async def away(self, session_id: str, *, away: bool) -> None:
        """Whether the caller hears music now, so that what is heard is not for the agent."""

    async def transferred(self, session_id: str, target: str) -> None:
        """The caller talks to `target` now: the session ends, and this is why."""
