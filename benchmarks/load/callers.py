"""Many light callers in one process: raw frames in real time, arrival times of what comes back."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect

from antiphon.cli.caller.sound import read_audio, shipped_audio

FRAME_BYTES = 640
FRAME_SECS = 0.02
PERIOD_FRAMES = 250
"""An utterance every five seconds."""


@dataclass
class Heard:
    """What one call heard."""

    connect_s: float = 0.0
    lateness_ms: list[float] = field(default_factory=list)
    """Of each frame or message: how much later than its turn in the play-out it came."""
    answers: int = 0
    position_error_ms: list[float] = field(default_factory=list)
    """How far the server's belief of what was heard was from the truth, where that is known."""


class Speech:
    """What a caller says: one sentence in each period, noise in between.

    Args:
        offset: Frame of the period to begin with.
    """

    def __init__(self, offset: int):
        said = read_audio(shipped_audio("what-is-in-my-cart"), 16_000)
        self._frames = [said[at : at + FRAME_BYTES] for at in range(0, len(said), FRAME_BYTES)]
        self._frames[-1] = self._frames[-1].ljust(FRAME_BYTES, b"\0")
        self._noise = _noise()
        self._number = offset

    def next_frame(self) -> bytes:
        """20 ms of PCM16 at 16 kHz."""
        place = self._number % PERIOD_FRAMES
        self._number += 1
        return self._frames[place] if place < len(self._frames) else self._noise


@dataclass
class Caller:
    """One call: where to, what is said, what was heard."""

    url: str
    name: str
    speech: Speech
    heard: Heard = field(default_factory=Heard)


Call = Callable[[Caller, asyncio.Event], Awaitable[None]]
"""Holds a call until the event is set."""


def _noise() -> bytes:
    rng = random.Random(1)
    return b"".join(rng.randint(-20, 20).to_bytes(2, "little", signed=True) for _ in range(320))


async def _listen(socket: ClientConnection, heard: Heard) -> None:
    anchor, got = 0.0, 0.0
    last = 0.0
    async for message in socket:
        if not isinstance(message, bytes):
            continue
        now = time.monotonic()
        if now - last > 0.5:
            anchor, got = now, 0.0
            heard.answers += 1
        # The play-out began with the first frame; this one is late if it comes after its turn.
        heard.lateness_ms.append(max(0.0, (now - anchor - got) * 1000))
        got += len(message) / 32_000
        last = now


async def call_frames(caller: Caller, stop: asyncio.Event) -> None:
    """A call of binary messages both ways, PCM16 at 16 kHz; texts are ignored."""
    heard = caller.heard
    began = time.monotonic()
    async with connect(caller.url, compression=None, proxy=None, max_queue=None) as socket:
        heard.connect_s = time.monotonic() - began
        listener = asyncio.ensure_future(_listen(socket, heard))
        start, number = time.monotonic(), 0
        while not stop.is_set():
            await socket.send(caller.speech.next_frame())
            number += 1
            await asyncio.sleep(max(0.0, start + number * FRAME_SECS - time.monotonic()))
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


async def place(callers: list[Caller], call: Call, stop: asyncio.Event) -> None:
    """Hold the calls until `stop`; they begin one after the other."""
    tasks = []
    for caller in callers:
        tasks.append(asyncio.ensure_future(call(caller, stop)))
        await asyncio.sleep(0.1)
    await asyncio.gather(*tasks)


def make_callers(url: str, calls: int) -> list[Caller]:
    """Callers whose sentences are spread over one period."""
    return [
        Caller(
            url.format(name=f"bench-{number}"),
            f"bench-{number}",
            Speech(number * PERIOD_FRAMES // max(1, calls)),
        )
        for number in range(calls)
    ]
