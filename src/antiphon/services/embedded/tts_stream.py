"""From an engine in a worker thread to the event loop: one small executor for all calls."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from antiphon.services.embedded.tts_engine import SpeechChunk, SpeechEngine, SpeechOptions
from antiphon.services.embedded.tts_silence import SilenceTrimmer

WORKERS = 2
"""Each engine runs one synthesis at a time under its own lock; there are two engines."""


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="antiphon-tts")


class _Delivery:
    """Carries chunks from the worker thread to the loop's queue, silence trimmed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sample_rate: int):
        self._loop = loop
        self._trimmer = SilenceTrimmer(sample_rate)
        self._stop = threading.Event()
        self.queue: asyncio.Queue[SpeechChunk | None] = asyncio.Queue()

    def stop(self) -> None:
        """Make the engine stop at its next chunk."""
        self._stop.set()

    def run(self, engine: SpeechEngine, text: str, options: SpeechOptions) -> None:
        """In the worker thread: synthesise everything, then mark the end."""
        try:
            if not self._stop.is_set():
                engine.synthesize(text, options, self._take)
                self._put(SpeechChunk(self._trimmer.finish()))
        finally:
            self._put(None)

    def _take(self, chunk: SpeechChunk) -> bool:
        if self._stop.is_set():
            return False
        audio = self._trimmer.push(chunk.audio)
        if audio or chunk.words:
            return self._put(SpeechChunk(audio, chunk.words))
        return True

    def _put(self, chunk: SpeechChunk | None) -> bool:
        try:
            self._loop.call_soon_threadsafe(self.queue.put_nowait, chunk)
        except RuntimeError:  # the loop is closed: the process is ending
            return False
        return True

    def shifted_ms(self, at_ms: float) -> float:
        """An engine's time on the trimmed audio's scale."""
        return max(at_ms - self._trimmer.trimmed_head_ms, 0.0)


async def speak(
    engine: SpeechEngine, text: str, options: SpeechOptions
) -> AsyncGenerator[SpeechChunk, None]:
    """Synthesise `text` in a worker thread, yielding audio as it is made.

    Leading silence is taken off, so the first byte is audible; word times count from there. Closing
    or cancelling the generator stops the engine at its next chunk (30 to 60 ms of speech).

    Raises:
        ConfigurationError: no such voice.
        ServiceError: the engine failed.
    """
    loop = asyncio.get_running_loop()
    delivery = _Delivery(loop, engine.sample_rate)
    job = loop.run_in_executor(_executor(), delivery.run, engine, text, options)
    # A failure after the consumer has left is nobody's business; keep asyncio from reporting it.
    job.add_done_callback(lambda done: done.cancelled() or done.exception())
    early: list[SpeechChunk] = []
    try:
        while (chunk := await delivery.queue.get()) is not None:
            if not chunk.audio:
                # Words of the silent head: their shift is known once there is sound.
                early.append(chunk)
                continue
            words = [word for held in early for word in held.words]
            early.clear()
            yield _shift(delivery, SpeechChunk(chunk.audio, (*words, *chunk.words)))
        await job
        for held in early:
            yield _shift(delivery, held)
    finally:
        delivery.stop()
        job.cancel()


def _shift(delivery: _Delivery, chunk: SpeechChunk) -> SpeechChunk:
    words = tuple(type(w)(w.text, delivery.shifted_ms(w.at_ms)) for w in chunk.words)
    return SpeechChunk(chunk.audio, words)
