"""The calls of this process: what is known of each, and how one is found."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from antiphon.domain.calls import CallDirection, CallState
from antiphon.errors import NotFound
from antiphon.telephony.ari.legs import Leg, LegChange


class LegObserver(Protocol):
    """A transfer under way: it hears of the call's legs first."""

    def notice(self, leg: Leg, change: LegChange, key: str) -> None:
        """Something happened to a leg of the call."""


@dataclass(eq=False)
class Call:
    """One caller at the exchange and the agent's leg to us."""

    id: str
    direction: CallDirection
    caller: Leg
    bridge: str
    """Id of the bridge in which the caller and the agent meet."""
    started_at: datetime
    number: str = ""
    """The other side's number: who called, or whom we call."""
    agent: str = ""
    state: CallState = CallState.CONNECTING
    agent_leg: Leg | None = None
    target: Leg | None = None
    """Whom the caller was transferred to, or is about to be."""
    session_id: str = ""
    reason: str = ""
    """Why it ended, or why it never began."""
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    transfer: LegObserver | None = None
    in_stasis: bool = True
    """False: the dialplan's `Dial()` holds the caller, which ARI may only hang up."""
    variables: dict[str, str] = field(default_factory=dict)
    """Given to the agent's leg as URI parameters."""

    @property
    def side_bridge(self) -> str:
        """Id of the bridge in which the target meets the agent, then the caller."""
        return f"{self.bridge}-side"

    @property
    def legs(self) -> tuple[Leg, ...]:
        """All legs it has."""
        return tuple(leg for leg in (self.caller, self.agent_leg, self.target) if leg is not None)

    def describe(self) -> dict[str, Any]:
        """The call as the API shows it."""
        return {
            "id": self.id,
            "direction": self.direction.value,
            "number": self.number,
            "agent": self.agent,
            "state": self.state.value,
            "reason": self.reason,
            "session_id": self.session_id,
            "started_at": self.started_at.isoformat(),
            "answered_at": self.answered_at.isoformat() if self.answered_at else None,
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        }


class CallBook:
    """Calls by id, by agent's channel, by session; those that have ended are kept for a while.

    Args:
        keep: Calls remembered in all, the oldest ended ones forgotten first.
    """

    def __init__(self, keep: int = 1000):
        self._keep = keep
        self._calls: dict[str, Call] = {}
        self._by_session: dict[str, Call] = {}

    @property
    def live(self) -> list[Call]:
        """Calls that have not ended."""
        return [call for call in self._calls.values() if call.state is not CallState.ENDED]

    def add(self, call: Call) -> None:
        """Remember a call."""
        self._calls[call.id] = call
        if len(self._calls) > self._keep:
            over = len(self._calls) - self._keep
            ended = [one for one in self._calls.values() if one.state is CallState.ENDED]
            for old in ended[:over]:
                del self._calls[old.id]

    def bind(self, call: Call, session_id: str) -> None:
        """This session is the conversation of that call."""
        call.session_id = session_id
        self._by_session[session_id] = call

    def unbind(self, session_id: str) -> None:
        """The session has ended."""
        self._by_session.pop(session_id, None)

    def get(self, call_id: str) -> Call:
        """A call by its id.

        Raises:
            NotFound: there is none, or it ended long ago.
        """
        call = self._calls.get(call_id)
        if call is None:
            raise NotFound(f"no call {call_id}", code="no_call")
        return call

    def by_session(self, session_id: str) -> Call | None:
        """The call whose conversation a session is."""
        return self._by_session.get(session_id)

    def by_agent_channel(self, channel_id: str) -> Call | None:
        """The call whose agent's leg is that channel."""
        for call in self._calls.values():
            if call.agent_leg is not None and call.agent_leg.id == channel_id:
                return call
        return None
