"""Many light callers in one process: raw frames in real time, arrival times of what comes back."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from websockets.asyncio.client import connect

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
    answers: int = 0


def _noise() -> bytes:
    rng = random.Random(1)
    return b"".join(rng.randint(-20, 20).to_bytes(2, "little", signed=True) for _ in range(320))


async def _listen(socket, heard: Heard) -> None:
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


async def _one(url: str, stop: asyncio.Event, offset: int) -> Heard:
    heard = Heard()
    speech = read_audio(shipped_audio("what-is-in-my-cart"), 16_000)
    frames = [speech[at : at + FRAME_BYTES] for at in range(0, len(speech), FRAME_BYTES)]
    frames[-1] = frames[-1].ljust(FRAME_BYTES, b"\0")
    silence = _noise()
    began = time.monotonic()
    async with connect(url, compression=None, proxy=None, max_queue=None) as socket:
        heard.connect_s = time.monotonic() - began
        listener = asyncio.ensure_future(_listen(socket, heard))
        start, number = time.monotonic(), 0
        while not stop.is_set():
            place = (number + offset) % PERIOD_FRAMES
            await socket.send(frames[place] if place < len(frames) else silence)
            number += 1
            await asyncio.sleep(max(0.0, start + number * FRAME_SECS - time.monotonic()))
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    return heard


async def place(url: str, calls: int, stop: asyncio.Event) -> list[Heard]:
    """Hold `calls` calls until `stop`; they begin spread over one period."""
    tasks = []
    for number in range(calls):
        tasks.append(
            asyncio.ensure_future(_one(url, stop, number * PERIOD_FRAMES // max(1, calls)))
        )
        await asyncio.sleep(0.1)
    return list(await asyncio.gather(*tasks))
