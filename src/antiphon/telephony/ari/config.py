"""How calls are placed, taken and ended."""

from dataclasses import dataclass, field

from antiphon.telephony.ari.numbers import DialPlan


@dataclass(frozen=True, slots=True)
class CallControlConfig:
    """How calls are placed and taken."""

    dial_plan: DialPlan = field(default_factory=DialPlan)
    websocket_connection: str = "antiphon"
    """Section of websocket_client.conf that leads to us."""
    websocket_options: str = "c(slin16)"
    """Dial options of the agent's leg."""
    ring_timeout_secs: int = 30
    setup_timeout_secs: float = 10.0
    """Longest set-up of the agent's leg, s."""
    caller_id: str = ""
    """Shown to those we call: `"Name" <number>`; empty: what the trunk says."""
    music_class: str = ""
    """Class of musiconhold.conf; empty: the channel's."""
    confirm_transfer: bool = False
    """Attended: the target must press 1."""
    confirm_secs: float = 15.0
    """How long after the announcement it may take to, s."""
    hang_up_patience_secs: float = 2.0
    """How long a channel that was hung up may take to go before it is asked again, s."""
