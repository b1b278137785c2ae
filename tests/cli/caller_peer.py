"""A small WebSocket server that answers a caller: scripted, recording what it gets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

TONE = np.tile(np.array([8_000, -8_000], "<i2"), 160).tobytes()
"""20 ms of sound at 16 kHz."""

END_OF_SPEECH_FRAMES = 3
"""Silent frames after speech that end the caller's turn."""


def is_loud(pcm: bytes) -> bool:
    return bool(len(pcm)) and int(np.abs(np.frombuffer(pcm, "<i2").astype(int)).max()) > 1_000


@dataclass
class Peer:
    """What to do, and what was received."""

    greeting_frames: int = 5
    answer_frames: int = 5
    interruptible: bool = True
    close_after_greeting: bool = False
    on_end_of_speech: Callable[["Peer", ServerConnection], Awaitable[None]] | None = None
    encode: Callable[[bytes], str | bytes] = bytes
    decode: Callable[[str | bytes], bytes | None] = lambda m: m if isinstance(m, bytes) else None
    texts: list[dict[str, object]] = field(default_factory=list)
    audio_frames: int = 0
    frame_sizes: set[int] = field(default_factory=set)
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""
    _speaking: asyncio.Task[None] | None = None

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.path = socket.request.path
        self.headers = dict(socket.request.headers)
        await socket.send(
            json.dumps({"type": "connected", "server": "t", "version": "1", "timestamp": 1})
        )
        self.speak(socket, self.greeting_frames)
        if self.close_after_greeting and self._speaking is not None:
            await self._speaking
            await socket.close(1000, "that was all")
            return
        try:
            await self._listen(socket)
        except ConnectionClosed:
            pass
        finally:
            if self._speaking is not None:
                self._speaking.cancel()

    def speak(self, socket: ServerConnection, frames: int) -> None:
        async def play() -> None:
            loop = asyncio.get_running_loop()
            due = loop.time()
            for _ in range(frames):
                await socket.send(self.encode(TONE))
                due += 0.02
                await asyncio.sleep(max(due - loop.time(), 0))

        if frames:
            self._speaking = asyncio.get_running_loop().create_task(play())

    async def _listen(self, socket: ServerConnection) -> None:
        heard, quiet = False, 0
        async for message in socket:
            pcm = self.decode(message)
            if pcm is None:
                assert isinstance(message, str)
                self.texts.append(json.loads(message))
                continue
            self.audio_frames += 1
            self.frame_sizes.add(len(pcm))
            if is_loud(pcm):
                if self.interruptible and self._speaking is not None:
                    self._speaking.cancel()
                heard, quiet = True, 0
            elif heard:
                quiet += 1
                if quiet == END_OF_SPEECH_FRAMES:
                    heard = False
                    if self.on_end_of_speech is not None:
                        await self.on_end_of_speech(self, socket)
                    self.speak(socket, self.answer_frames)


@asynccontextmanager
async def running(peer: Peer, path: str = "/ws/rustpbx") -> AsyncIterator[Peer]:
    async with serve(peer.handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        peer.url = f"ws://127.0.0.1:{port}{path}"
        yield peer
