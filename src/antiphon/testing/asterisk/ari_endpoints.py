"""What the endpoints of a simulated exchange do when they are dialled."""

from dataclasses import dataclass

NORMAL, USER_BUSY, NO_ANSWER, REJECTED = 16, 17, 19, 21
NO_ROUTE, CONGESTION = 3, 34

DIAL_STATUS = {
    USER_BUSY: "BUSY",
    NO_ANSWER: "NOANSWER",
    CONGESTION: "CONGESTION",
}
"""`dialstatus` by Q.850 cause; others are CHANUNAVAIL."""


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """What a dialled endpoint does."""

    cause: int = 0
    """Q.850 cause with which it fails; 0: it answers."""
    after_ms: float = 0
    rings: bool = True
    tells_cause: bool = True
    """False: as a Local channel, whose end is told with cause 16 whatever it was."""
    exists: bool = True
    """False: Asterisk cannot even make a channel (an endpoint it does not know)."""


def answers(after_ms: float = 5) -> DialOutcome:
    """It rings, then answers."""
    return DialOutcome(0, after_ms)


def busy(after_ms: float = 5) -> DialOutcome:
    """SIP 486."""
    return DialOutcome(USER_BUSY, after_ms, rings=False)


def no_answer(after_ms: float = 5) -> DialOutcome:
    """It rings until somebody gives up: SIP 480, or the ring time-out of the request."""
    return DialOutcome(NO_ANSWER, after_ms)


def rejects(after_ms: float = 5) -> DialOutcome:
    """It rings and is declined: SIP 603."""
    return DialOutcome(REJECTED, after_ms)


def congested(after_ms: float = 5) -> DialOutcome:
    """SIP 503."""
    return DialOutcome(CONGESTION, after_ms, rings=False)


def no_route(after_ms: float = 0) -> DialOutcome:
    """A connection that cannot be made: what an agent's leg gets when the server is not there."""
    return DialOutcome(NO_ROUTE, after_ms, rings=False)


def unreachable() -> DialOutcome:
    """An endpoint that does not exist: the request itself fails with 500."""
    return DialOutcome(exists=False)
