"""The session's states: every pair of state and signal, and what must hold of them all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.session import (
    TRANSITIONS,
    EndReason,
    IllegalTransition,
    SessionState,
    Signal,
    transition,
)

PAIRS = [(state, signal) for state in SessionState for signal in Signal]


@pytest.mark.parametrize(("state", "signal"), PAIRS)
def test_each_signal_moves_as_the_table_says_or_is_refused(
    state: SessionState, signal: Signal
) -> None:
    if (state, signal) in TRANSITIONS:
        assert transition(state, signal) is TRANSITIONS[state, signal]
        return
    with pytest.raises(IllegalTransition) as caught:
        transition(state, signal)
    assert (caught.value.state, caught.value.signal) == (state, signal)
    assert state.value in str(caught.value)
    assert signal.value in str(caught.value)


def test_nothing_leads_out_of_the_end() -> None:
    assert not [state for state, _ in TRANSITIONS if state is SessionState.ENDED]


def test_every_other_state_can_end_and_is_reached() -> None:
    living = set(SessionState) - {SessionState.ENDED}
    assert {state for state, signal in TRANSITIONS if signal is Signal.END} == living
    assert set(TRANSITIONS.values()) == set(SessionState) - {SessionState.CONNECTING}


def test_a_call_can_drop_and_come_back() -> None:
    state = SessionState.CONNECTING
    seen = []
    for signal in (Signal.READY, Signal.LOST, Signal.REJOINED, Signal.LOST, Signal.END):
        state = transition(state, signal)
        seen.append(state.value)
    assert seen == ["active", "parked", "active", "parked", "ended"]


@given(signals=st.lists(st.sampled_from(Signal), max_size=20))
def test_a_refused_signal_leaves_the_state_and_the_end_is_for_good(signals: list[Signal]) -> None:
    state, ended = SessionState.CONNECTING, False
    for signal in signals:
        try:
            state = transition(state, signal)
        except IllegalTransition:
            assert (state, signal) not in TRANSITIONS
        assert not (ended and state is not SessionState.ENDED)
        ended = state is SessionState.ENDED


def test_end_reasons_are_what_records_already_hold() -> None:
    assert {reason.value for reason in EndReason} >= {
        "caller_hangup",
        "agent_hangup",
        "abandoned",
        "connection_lost",
        "idle",
        "max_duration",
        "operator",
        "replaced",
        "shutdown",
        "setup_failed",
        "error",
        "crashed",
    }
