"""Any order of signals gives well-formed turns."""

from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.events import EventBody, TurnEnded, TurnStarted
from antiphon.domain.turn import Floor

SIGNALS = {
    "user+": lambda floor: floor.user_started(),
    "user-": lambda floor: floor.user_stopped("hello"),
    "agent+": lambda floor: floor.agent_started(),
    "agent-": lambda floor: floor.agent_stopped("welcome", False),
    "agent!": lambda floor: floor.agent_stopped("wel", True),
}


def run(*signals: str) -> tuple[Floor, list[EventBody]]:
    floor = Floor()
    return floor, [fact for signal in signals for fact in SIGNALS[signal](floor)]


def test_a_call_and_its_response_are_numbered_together() -> None:
    floor, facts = run("agent+", "agent-", "user+", "user-", "agent+")
    assert facts == [
        TurnStarted(turn=1, role="agent"),
        TurnEnded(turn=1, role="agent", text="welcome"),
        TurnStarted(turn=2, role="user"),
        TurnEnded(turn=2, role="user", text="hello"),
        TurnStarted(turn=3, role="agent"),
    ]
    assert (floor.turn, floor.agent_speaks) == (3, True)


def test_a_barge_in_ends_the_agents_turn_with_what_was_heard() -> None:
    floor, facts = run("agent+", "agent!", "user+")
    assert facts[1] == TurnEnded(turn=1, role="agent", text="wel", interrupted=True)
    assert facts[2] == TurnStarted(turn=2, role="user")
    assert (floor.take_interrupted(), floor.take_interrupted()) == (1, 0)


def test_a_user_who_starts_over_an_open_agent_turn_interrupts_it() -> None:
    _, facts = run("agent+", "user+")
    assert facts[1] == TurnEnded(turn=1, role="agent", interrupted=True)


def test_an_agent_who_starts_over_an_open_user_turn_ends_it_uninterrupted() -> None:
    _, facts = run("user+", "agent+")
    assert facts[1] == TurnEnded(turn=1, role="user", interrupted=False)


def test_signals_that_change_nothing_say_nothing() -> None:
    floor, facts = run("user-", "agent-", "agent!", "user+", "user+", "agent-", "agent!")
    assert facts == [TurnStarted(turn=1, role="user")]
    assert floor.take_interrupted() == 0


def test_between_turns_the_number_is_the_next_ones() -> None:
    floor, _ = run("user+", "user-")
    assert (floor.turn, floor.agent_speaks) == (2, False)


@given(signals=st.lists(st.sampled_from(sorted(SIGNALS)), max_size=40))
def test_turns_are_numbered_from_one_started_once_and_ended_once_one_at_a_time(
    signals: list[str],
) -> None:
    floor, facts = run(*signals)
    facts += [*floor.user_stopped(""), *floor.agent_stopped("", False)]
    started = [fact for fact in facts if isinstance(fact, TurnStarted)]
    assert [fact.turn for fact in started] == list(range(1, len(started) + 1))
    assert len(facts) == 2 * len(started)
    for start, end in zip(facts[::2], facts[1::2], strict=True):
        assert isinstance(start, TurnStarted)
        assert isinstance(end, TurnEnded)
        assert (start.turn, start.role) == (end.turn, end.role)
        assert not (end.interrupted and end.role == "user")
