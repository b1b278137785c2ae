"""The outbox: order, bound, orderly end."""

import pytest

from antiphon.transports.outbox import Outbox, OutboxFull


async def test_messages_leave_in_order_and_then_the_end_is_told() -> None:
    outbox = Outbox(100)
    outbox.put("a")
    outbox.put(b"bc")
    outbox.close()
    outbox.put("too late")
    assert [await outbox.next(), await outbox.next(), await outbox.next()] == ["a", b"bc", None]


async def test_a_reader_that_falls_behind_is_found_out() -> None:
    outbox = Outbox(10)
    outbox.put(bytes(6))
    with pytest.raises(OutboxFull):
        outbox.put(bytes(5))
    assert await outbox.next() == bytes(6)
    outbox.put(bytes(10))
