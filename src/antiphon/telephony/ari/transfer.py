"""A transfer as a table: states by signals → next state and what to do. No I/O.

Rules of the house:
- a caller is never left in silence: every way out ends in the caller hearing the target, hearing
  the agent, being back in the dialplan, or having hung up;
- a blind transfer succeeds only when the target has answered;
- a signal with no entry for the present state came too late to matter and changes nothing.

    BLIND ──► RINGING ──answered──► CONNECTING ──joined──► CONNECTED
    ATTENDED ► CALLING ──answered──► ANNOUNCING ──accepted──► CONNECTING
    failed, refused, cancelled ──► RETURNED          caller hung up ──► ABANDONED
    the agent's leg is lost while they ring ──► ALONE ──failed──► STRANDED (back to the dialplan)
"""

from dataclasses import dataclass
from enum import StrEnum

from antiphon.domain.calls import (
    AGENT_LEFT,
    CALLER_LEFT,
    CANCELLED,
    DialFailure,
    TransferMode,
)


class State(StrEnum):
    """Where a transfer is."""

    IDLE = "idle"
    RINGING = "ringing"
    """Blind: the target is dialled; the caller hears music."""
    CALLING = "calling"
    """Attended: the same."""
    ANNOUNCING = "announcing"
    """The target has answered; the agent tells it what it is about."""
    CONNECTING = "connecting"
    ALONE = "alone"
    """The target is dialled, and there is no agent to come back to."""
    CONNECTING_ALONE = "connecting_alone"
    CONNECTED = "connected"
    RETURNED = "returned"
    """The caller is back with the agent."""
    ABANDONED = "abandoned"
    """The caller hung up."""
    STRANDED = "stranded"
    """Neither target nor agent: the caller was given back to the dialplan."""


class Signal(StrEnum):
    """What can happen to a transfer."""

    BLIND = "blind"
    ATTENDED = "attended"
    ANSWERED = "answered"
    FAILED = "failed"
    """The target did not answer, or hung up before it was connected."""
    ACCEPTED = "accepted"
    """The announcement was heard, or a key pressed."""
    REFUSED = "refused"
    JOINED = "joined"
    """The caller and the target are in one bridge."""
    CALLER_LEFT = "caller_left"
    AGENT_LEFT = "agent_left"
    CANCELLED = "cancelled"
    """An operator, or the last time limit."""


class Action(StrEnum):
    """What the executor is to do; in the order given."""

    HOLD_CALLER = "hold_caller"
    DIAL_TARGET = "dial_target"
    ANNOUNCE = "announce"
    """Put the agent and the target together and have the announcement spoken."""
    CONNECT = "connect"
    """Put the caller and the target together."""
    RELEASE_AGENT = "release_agent"
    HANG_UP_TARGET = "hang_up_target"
    RETURN_CALLER = "return_caller"
    """Put the caller and the agent together again."""
    CONTINUE_CALLER = "continue_caller"
    """Give the caller back to the dialplan."""


_Step = tuple[State, tuple[Action, ...]]

_HOLD = (Action.HOLD_CALLER, Action.DIAL_TARGET)
_BACK = (Action.RETURN_CALLER,)
_DROP_AND_BACK = (Action.HANG_UP_TARGET, Action.RETURN_CALLER)
_DROP_ALL = (Action.HANG_UP_TARGET, Action.RELEASE_AGENT)


def _while_dialling(state: State, answered: _Step) -> dict[tuple[State, Signal], _Step]:
    """What is the same in both modes while the target rings."""
    return {
        (state, Signal.ANSWERED): answered,
        (state, Signal.FAILED): (State.RETURNED, _BACK),
        (state, Signal.CANCELLED): (State.RETURNED, _DROP_AND_BACK),
        (state, Signal.CALLER_LEFT): (State.ABANDONED, _DROP_ALL),
        (state, Signal.AGENT_LEFT): (State.ALONE, ()),
    }


TABLE: dict[tuple[State, Signal], _Step] = {
    (State.IDLE, Signal.BLIND): (State.RINGING, _HOLD),
    (State.IDLE, Signal.ATTENDED): (State.CALLING, _HOLD),
    (State.IDLE, Signal.CALLER_LEFT): (State.ABANDONED, (Action.RELEASE_AGENT,)),
    (State.IDLE, Signal.AGENT_LEFT): (State.STRANDED, (Action.CONTINUE_CALLER,)),
    **_while_dialling(State.RINGING, (State.CONNECTING, (Action.CONNECT,))),
    **_while_dialling(State.CALLING, (State.ANNOUNCING, (Action.ANNOUNCE,))),
    (State.ANNOUNCING, Signal.ACCEPTED): (State.CONNECTING, (Action.CONNECT,)),
    (State.ANNOUNCING, Signal.REFUSED): (State.RETURNED, _DROP_AND_BACK),
    (State.ANNOUNCING, Signal.FAILED): (State.RETURNED, _BACK),
    (State.ANNOUNCING, Signal.CANCELLED): (State.RETURNED, _DROP_AND_BACK),
    (State.ANNOUNCING, Signal.CALLER_LEFT): (State.ABANDONED, _DROP_ALL),
    # The target is there and the agent is not: better than nobody.
    (State.ANNOUNCING, Signal.AGENT_LEFT): (State.CONNECTING_ALONE, (Action.CONNECT,)),
    (State.CONNECTING, Signal.JOINED): (State.CONNECTED, (Action.RELEASE_AGENT,)),
    (State.CONNECTING, Signal.FAILED): (State.RETURNED, _DROP_AND_BACK),
    (State.CONNECTING, Signal.CALLER_LEFT): (State.ABANDONED, _DROP_ALL),
    (State.CONNECTING, Signal.AGENT_LEFT): (State.CONNECTING_ALONE, ()),
    (State.ALONE, Signal.ANSWERED): (State.CONNECTING_ALONE, (Action.CONNECT,)),
    (State.ALONE, Signal.FAILED): (State.STRANDED, (Action.CONTINUE_CALLER,)),
    (State.ALONE, Signal.CANCELLED): (
        State.STRANDED,
        (Action.HANG_UP_TARGET, Action.CONTINUE_CALLER),
    ),
    (State.ALONE, Signal.CALLER_LEFT): (State.ABANDONED, (Action.HANG_UP_TARGET,)),
    (State.CONNECTING_ALONE, Signal.JOINED): (State.CONNECTED, ()),
    (State.CONNECTING_ALONE, Signal.FAILED): (
        State.STRANDED,
        (Action.HANG_UP_TARGET, Action.CONTINUE_CALLER),
    ),
    (State.CONNECTING_ALONE, Signal.CALLER_LEFT): (State.ABANDONED, (Action.HANG_UP_TARGET,)),
}

FINAL = frozenset({State.CONNECTED, State.RETURNED, State.ABANDONED, State.STRANDED})

_REASONS = {
    Signal.REFUSED: DialFailure.REJECTED.value,
    Signal.CANCELLED: CANCELLED,
    Signal.CALLER_LEFT: CALLER_LEFT,
}


@dataclass
class TransferMachine:
    """One transfer."""

    state: State = State.IDLE
    reason: str = ""
    """Why it did not succeed; empty until then."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more can happen."""
        return self.state in FINAL

    @staticmethod
    def first_signal(mode: TransferMode) -> Signal:
        """The signal that begins a transfer."""
        return Signal.BLIND if mode is TransferMode.BLIND else Signal.ATTENDED

    def feed(self, signal: Signal, reason: str = "") -> tuple[Action, ...]:
        """Take a signal.

        Args:
            signal: What happened.
            reason: For `FAILED`: a `DialFailure`; for `CANCELLED`: why, if known.

        Returns:
            What to do now, in order; nothing for a signal that comes too late.
        """
        step = TABLE.get((self.state, signal))
        if step is None:
            return ()
        self.state, actions = step
        if self.state in FINAL and self.state is not State.CONNECTED:
            self.reason = reason or _REASONS.get(signal, DialFailure.FAILED.value)
            if self.state is State.STRANDED:
                self.reason = AGENT_LEFT
        return actions
