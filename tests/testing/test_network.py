"""The simulated network, without any."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.testing.asterisk.network import Link, Network, Stall


def test_without_impairment_a_message_arrives_when_it_is_sent() -> None:
    link = Link(Network(), began=10.0)
    assert link.wait(link.due(12.5), 12.5) == 0.0


def test_latency_and_jitter_are_within_their_bounds_and_repeat_with_the_seed() -> None:
    network = Network(latency_ms=20, jitter_ms=30, seed=7)
    one, two = Link(network, began=0.0), Link(network, began=0.0)
    late = [one.due(float(n)) - n for n in range(100)]
    assert 0.020 <= min(late) < 0.025
    assert 0.045 < max(late) <= 0.050
    assert late == [two.due(float(n)) - n for n in range(100)]


@given(st.lists(st.floats(0, 1), max_size=50))
def test_order_is_kept(gaps: list[float]) -> None:
    link = Link(Network(jitter_ms=500), began=0.0)
    now, due = 0.0, []
    for gap in gaps:
        now += gap
        due.append(link.due(now))
    assert due == sorted(due)


@pytest.mark.parametrize(
    ("now", "wait"), [(10.9, 0.0), (11.0, 0.5), (11.2, 0.3), (11.5, 0.0), (12.0, 0.0)]
)
def test_a_stall_holds_what_is_due_in_it_until_its_end(now: float, wait: float) -> None:
    link = Link(Network(stalls=[Stall(at_s=1.0, seconds=0.5)]), began=10.0)
    assert link.wait(link.due(now), now) == pytest.approx(wait)


def test_a_stall_that_begins_later_holds_what_was_not_yet_due() -> None:
    link = Link(Network(latency_ms=100), began=0.0)
    due = link.due(1.0)
    link.stall(1.05, 1.0)
    assert link.wait(due, 1.05) == pytest.approx(1.0)
