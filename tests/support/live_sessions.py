"""Sessions of a running server, and what is said of them."""

import asyncio
from typing import Any

from antiphon.domain.events import EventBody
from antiphon.sessions.session import Session


async def fact(session: Session, kind: type[EventBody], count: int = 1, **like: Any) -> Any:
    """The `count`th fact of a kind with these values."""
    async with asyncio.timeout(30):
        with session.log.read(from_start=True) as reader:
            async for event in reader:
                body = event.body
                if isinstance(body, kind) and all(getattr(body, k) == v for k, v in like.items()):
                    count -= 1
                    if not count:
                        return body
    raise AssertionError(f"the session ended without {kind.__name__}")
