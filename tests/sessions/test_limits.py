"""Start limits in a sliding minute; time is an argument."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import LimitExceeded
from antiphon.sessions.limits import StartRate


def test_the_minute_slides() -> None:
    rate = StartRate(2, what="address")
    rate.admit("a", 0)
    rate.admit("a", 30)
    rate.admit("b", 30)
    with pytest.raises(LimitExceeded) as refused:
        rate.admit("a", 59)
    assert refused.value.retry_after_s == 2
    rate.admit("a", 60)
    with pytest.raises(LimitExceeded):
        rate.admit("a", 61)


@given(gaps=st.lists(st.floats(min_value=0, max_value=30), max_size=60))
def test_no_window_of_a_minute_holds_more_than_allowed(gaps: list[float]) -> None:
    rate, now, admitted = StartRate(5, what="key"), 0.0, []
    for gap in gaps:
        now += gap
        try:
            rate.admit("k", now)
            admitted.append(now)
        except LimitExceeded:
            pass
    for at in admitted:
        assert sum(1 for other in admitted if at <= other < at + 60) <= 5
