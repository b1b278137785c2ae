"""A telephone call as the exchange sees it: states, failures, transfers. No I/O.

A *call* is one caller at the telephone exchange (Asterisk) and the agent's leg to us; a *session*
is the conversation that runs over that leg. A call may begin before its session (ringing) and go
on after it (a person took over).
"""

from dataclasses import dataclass
from enum import StrEnum


class CallDirection(StrEnum):
    """Who dialled."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CallState(StrEnum):
    """Where a call is in its life."""

    DIALLING = "dialling"
    """Outbound: the far end has not rung yet."""
    RINGING = "ringing"
    """The far end of an outbound call rings, or an inbound caller hears ringing."""
    CONNECTING = "connecting"
    """The far end is there; the agent's leg is being set up."""
    TALKING = "talking"
    """The caller and the agent hear each other."""
    HELD = "held"
    """The caller hears music on hold."""
    TRANSFERRING = "transferring"
    """The caller hears music while the target is dialled or spoken to."""
    TRANSFERRED = "transferred"
    """The caller talks to the target; the agent has left."""
    ENDED = "ended"


class DialFailure(StrEnum):
    """Why a dialled party did not come to the telephone."""

    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    """The far end declined, by its telephone or after the announcement."""
    UNREACHABLE = "unreachable"
    """No such number, not registered, or no way there now (congestion)."""
    FAILED = "failed"
    """Anything else: the exchange's or the network's fault."""


class TransferMode(StrEnum):
    """How a caller is handed to somebody else."""

    BLIND = "blind"
    """The target is connected as soon as it answers."""
    ATTENDED = "attended"
    """The agent first tells the target what it is about; the target may decline."""


@dataclass(frozen=True, slots=True)
class TransferResult:
    """How a transfer went. When it failed, the caller is back with the agent."""

    connected: bool
    """The caller and the target hear each other."""
    target: str
    mode: TransferMode
    reason: str = ""
    """Empty when connected; else a `DialFailure`, `cancelled`, or `caller_left`."""

    @property
    def caller_is_with_agent(self) -> bool:
        """Whether the agent can go on talking to the caller."""
        return not self.connected and self.reason not in (CALLER_LEFT, AGENT_LEFT)


CALLER_LEFT = "caller_left"
AGENT_LEFT = "agent_left"
CANCELLED = "cancelled"

# ITU-T Q.850, as Asterisk numbers them in include/asterisk/causes.h; SIP answers reach them by the
# table in res_pjsip.c (480 → 19, 486 and 600 → 17, 403 and 603 → 21, 404 → 1, 503 → 34).
_BY_CAUSE = {
    1: DialFailure.UNREACHABLE,  # unallocated number
    2: DialFailure.UNREACHABLE,  # no route to network
    3: DialFailure.UNREACHABLE,  # no route to destination
    17: DialFailure.BUSY,
    18: DialFailure.NO_ANSWER,  # no user response
    19: DialFailure.NO_ANSWER,  # alerted, no answer
    20: DialFailure.UNREACHABLE,  # subscriber absent: not registered
    21: DialFailure.REJECTED,
    22: DialFailure.UNREACHABLE,  # number changed
    27: DialFailure.UNREACHABLE,  # destination out of order
    28: DialFailure.UNREACHABLE,  # number incomplete
    34: DialFailure.UNREACHABLE,  # congestion
    41: DialFailure.UNREACHABLE,  # temporary failure
    42: DialFailure.UNREACHABLE,  # switch congestion
    44: DialFailure.UNREACHABLE,  # channel not available
}

# Not known, normal clearing, normal unspecified: with these a Local channel may be destroyed
# whatever its end was, and the `dialstatus` of ARI's `Dial` event is all there is.
_SAYS_NOTHING = (0, 16, 31)
_BY_STATUS = {
    "BUSY": DialFailure.BUSY,
    "NOANSWER": DialFailure.NO_ANSWER,
    "CONGESTION": DialFailure.UNREACHABLE,
    "CHANUNAVAIL": DialFailure.UNREACHABLE,
}


def dial_failure(cause: int, status: str = "") -> DialFailure:
    """The reason that stands for a hang-up before answer.

    Args:
        cause: Q.850 cause of `ChannelDestroyed`; 0 where it is not known.
        status: The last `dialstatus` of a `Dial` event about the channel.
    """
    if cause in _SAYS_NOTHING:
        return _BY_STATUS.get(status, DialFailure.FAILED)
    return _BY_CAUSE.get(cause, DialFailure.FAILED)
