"""The session's life-cycle as a table.

Rules of the house: everything that affects a transition is in `TRANSITIONS`; a signal with no entry
for the present state is refused and the state does not move. `ENDED` is final.
"""

from enum import StrEnum


class SessionState(StrEnum):
    """Where a session is in its life."""

    CONNECTING = "connecting"
    """Admitted; the pipeline is being set up."""
    ACTIVE = "active"
    """At least one participant is connected."""
    PARKED = "parked"
    """The last participant was lost; the session waits for a rejoin."""
    ENDED = "ended"


class Signal(StrEnum):
    """What can happen to a session."""

    READY = "ready"
    """The pipeline runs and a participant is connected."""
    LOST = "lost"
    """The last participant's connection dropped without a goodbye."""
    REJOINED = "rejoined"
    END = "end"


class EndReason(StrEnum):
    """Why a session ended; kept for ever, never renamed."""

    CALLER_HANGUP = "caller_hangup"
    """The peer said goodbye (`disconnect`) or closed in an orderly way where that means hang-up."""
    AGENT_HANGUP = "agent_hangup"
    """The agent ended the call."""
    ABANDONED = "abandoned"
    """Nobody rejoined the parked session in time."""
    CONNECTION_LOST = "connection_lost"
    """The connection dropped on a transport that cannot rejoin."""
    IDLE = "idle"
    """No speech for too long."""
    MAX_DURATION = "max_duration"
    TRANSFERRED = "transferred"
    """The caller was handed to a person."""
    OPERATOR = "operator"
    """Ended by the API."""
    REPLACED = "replaced"
    SHUTDOWN = "shutdown"
    SETUP_FAILED = "setup_failed"
    ERROR = "error"
    CRASHED = "crashed"
    """The process died; found and closed at the next start."""


TRANSITIONS: dict[tuple[SessionState, Signal], SessionState] = {
    (SessionState.CONNECTING, Signal.READY): SessionState.ACTIVE,
    (SessionState.CONNECTING, Signal.LOST): SessionState.PARKED,
    (SessionState.CONNECTING, Signal.END): SessionState.ENDED,
    (SessionState.ACTIVE, Signal.LOST): SessionState.PARKED,
    (SessionState.ACTIVE, Signal.END): SessionState.ENDED,
    (SessionState.PARKED, Signal.REJOINED): SessionState.ACTIVE,
    (SessionState.PARKED, Signal.READY): SessionState.PARKED,
    (SessionState.PARKED, Signal.END): SessionState.ENDED,
}


class IllegalTransition(Exception):
    """The signal does not apply in this state."""

    def __init__(self, state: SessionState, signal: Signal):
        super().__init__(
            f"signal {signal.value!r} does not apply to a session that is {state.value}"
        )
        self.state = state
        self.signal = signal


def transition(state: SessionState, signal: Signal) -> SessionState:
    """The state after `signal`.

    Raises:
        IllegalTransition: the table has no entry; the state stays as it was.
    """
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise IllegalTransition(state, signal) from None
