"""Who holds the floor: user and agent turns, numbered together.

A turn is what one side says until it is done or the other side speaks. Signals in, facts out; any
order of signals gives well-formed turns: numbered 1, 2, 3… , each started once and ended once, at
most one open at a time.
"""

from antiphon.domain.events import EventBody, Role, TurnEnded, TurnStarted


class Floor:
    """The turns of one session."""

    def __init__(self) -> None:
        self._number = 0
        self._open: Role | None = None
        self._interrupted = 0

    @property
    def turn(self) -> int:
        """Number of the open turn; with none open, of the next one."""
        return self._number if self._open else self._number + 1

    @property
    def agent_speaks(self) -> bool:
        """Whether an agent turn is open."""
        return self._open == "agent"

    def user_started(self) -> list[EventBody]:
        """The caller's turn begins; an open agent turn must have been stopped first."""
        return self._start("user")

    def user_stopped(self, text: str) -> list[EventBody]:
        """The caller's turn is over; `text` is what they said."""
        return self._stop("user", text, interrupted=False)

    def agent_started(self) -> list[EventBody]:
        """The agent begins to answer (thinking counts, so that tool calls belong to its turn)."""
        return self._start("agent")

    def agent_stopped(self, text: str, interrupted: bool) -> list[EventBody]:
        """The agent's turn is over; `text` is what the caller heard of it."""
        if interrupted and self._open == "agent":
            self._interrupted = self._number
        return self._stop("agent", text, interrupted=interrupted)

    def take_interrupted(self) -> int:
        """Number of the turn that was interrupted since the last call, or 0."""
        number, self._interrupted = self._interrupted, 0
        return number

    def _start(self, role: Role) -> list[EventBody]:
        if self._open == role:
            return []
        facts: list[EventBody] = []
        if self._open is not None:
            facts += self._stop(self._open, "", interrupted=self._open == "agent")
        self._number += 1
        self._open = role
        return [*facts, TurnStarted(turn=self._number, role=role)]

    def _stop(self, role: Role, text: str, *, interrupted: bool) -> list[EventBody]:
        if self._open != role:
            return []
        self._open = None
        return [TurnEnded(turn=self._number, role=role, text=text, interrupted=interrupted)]
