"""Speech recognition for all calls of an agent, and the threads it runs on.

A call borrows a pair of decoders for one utterance, so there are as many pairs as callers speaking
at once, not as calls. Decoding runs on a few threads shared by all calls; the C library lets the
event loop run meanwhile.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from antiphon.errors import AntiphonError, Unavailable
from antiphon.services.embedded.conditioning import Conditioner
from antiphon.services.embedded.decoder import SAMPLE_RATE
from antiphon.services.embedded.recognizer_model import Channel, DecoderPair, RecognizerModel
from antiphon.services.embedded.rejector import Hypothesis
from antiphon.services.embedded.sentences import SentenceSet

logger = logging.getLogger(__name__)

KEPT_DECODERS = 4
"""Pairs of decoders kept for the next utterance; about 35 MB each."""

T = TypeVar("T")


class Recognizer:
    """An agent's speech recognition: builds its model once and lends decoders on it. Thread-safe.

    Args:
        sentences: The agent's templates, lists filled in.
        kept: Pairs of decoders kept when utterances return them; more are closed.
        threads: Where decoding runs; by default one thread per core, owned by the recognizer.
    """

    def __init__(
        self,
        sentences: SentenceSet,
        *,
        kept: int = KEPT_DECODERS,
        threads: ThreadPoolExecutor | None = None,
    ):
        self._sentences = sentences
        self._kept = kept
        self._owns_threads = threads is None
        self._threads = threads or ThreadPoolExecutor(
            os.cpu_count() or 1, thread_name_prefix="recognizer"
        )
        self._lock = threading.Lock()
        self._building = threading.Lock()
        self._idle: list[DecoderPair] = []
        self._refilling = False
        self._model: RecognizerModel | None = None
        self._closed = False

    def prepare(self, decoders: int = 1) -> None:
        """Build the model (0.5 to 1 s) and open decoders (0.1 s each) ahead of the first call.

        Blocks: call it at server start, in a thread if the event loop runs. Without it the first
        utterance waits for the model.

        Raises:
            ConfigurationError: The templates cannot be heard.
            ServiceError: PocketSphinx cannot use them.
        """
        self._kept = max(self._kept, decoders)
        for pair in [self.take() for _ in range(decoders)]:
            self.give_back(pair)

    def close(self) -> None:
        """Close every decoder, now or when it comes back, and end the recognizer's own threads."""
        with self._building, self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            model, self._model = self._model, None
        for pair in idle:
            pair.close()
        if model is not None:
            model.close()
        if self._owns_threads:
            self._threads.shutdown(wait=False)

    @property
    def idle(self) -> int:
        """Pairs of decoders waiting for an utterance."""
        return len(self._idle)

    def utterance(self, channel: Channel) -> "Utterance":
        """An utterance of a call; nothing happens before it is given audio."""
        return Utterance(self, channel)

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work on the recognizer's threads.

        Raises:
            Unavailable: The recognizer is closed.
        """
        if self._closed:
            raise Unavailable("the speech recognizer is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def submit(self, work: Callable[[], object]) -> None:
        """Run blocking work on the recognizer's threads, or here if they have ended already."""
        try:
            self._threads.submit(work)
        except RuntimeError:
            work()

    def transcribe(self, pcm: bytes, sample_rate: int = SAMPLE_RATE) -> Hypothesis:
        """Recognize one whole utterance, as the first of a call. Blocks.

        Args:
            pcm: PCM16 mono, speech with a little silence around it.
            sample_rate: Hz of `pcm`; 8 kHz is taken for telephone audio.

        Raises:
            Unavailable: The recognizer is closed.
            ConfigurationError: The templates cannot be heard.
            ServiceError: PocketSphinx failed.
        """
        pair = self.take()
        try:
            hypothesis = pair.transcribe(pcm, Channel(Conditioner(sample_rate)))
        except BaseException:
            pair.close()
            raise
        self.give_back(pair)
        return hypothesis

    def take(self) -> DecoderPair:
        """Borrow a pair of decoders, opening one if none is idle. Blocks.

        Taking the last idle pair has another one opened behind it, so that the next caller who
        begins to speak need not wait for one.

        Raises:
            Unavailable: The recognizer is closed.
            ConfigurationError: The templates cannot be heard.
            ServiceError: PocketSphinx failed.
        """
        with self._lock:
            pair = self._idle.pop() if self._idle else None
            refill = pair is not None and not (self._idle or self._refilling)
            self._refilling |= refill
        if refill:
            self.submit(self._refill)
        return pair or self._built().open()

    def give_back(self, pair: DecoderPair) -> None:
        """Return a borrowed pair, no utterance under way."""
        with self._lock:
            if not self._closed and len(self._idle) < self._kept:
                self._idle.append(pair)
                return
        pair.close()

    def _refill(self) -> None:
        """Open a pair ahead of need; whoever needs one reports what is wrong, if this fails."""
        try:
            if not self._idle:
                self.give_back(self._built().open())
        except AntiphonError as exc:
            logger.warning("no decoder could be opened ahead of need: %s", exc)
        finally:
            self._refilling = False

    def _built(self) -> RecognizerModel:
        with self._building:
            if self._closed:
                raise Unavailable("the speech recognizer is closed")
            if self._model is None:
                self._model = RecognizerModel(self._sentences.intents)
            return self._model


class Utterance:
    """One utterance of a call on borrowed decoders. Its calls run one after the other."""

    def __init__(self, recognizer: Recognizer, channel: Channel):
        self._owner = recognizer
        self._channel = channel
        self._lock = threading.Lock()
        self._pair: DecoderPair | None = None
        self._over = False

    async def decode(self, pcm: bytes) -> str:
        """Take audio; returns the words so far.

        Raises:
            Unavailable: The recognizer is closed.
            ServiceError: PocketSphinx failed.
        """
        return await self._owner.run(lambda: self._decode(pcm))

    async def finish(self, pcm: bytes) -> Hypothesis | None:
        """Take the last audio and end the utterance; None if it was abandoned meanwhile.

        Raises:
            Unavailable: The recognizer is closed.
            ServiceError: PocketSphinx failed.
        """
        return await self._owner.run(lambda: self._finish(pcm))

    def abandon(self) -> None:
        """Give up: the decoders go back once what they are doing is done. Returns at once."""
        self._owner.submit(self._abandon)

    def _decode(self, pcm: bytes) -> str:
        with self._lock, self._closing_on_error():
            pair = self._borrowed()
            if pair is None:
                return ""
            pair.feed(pcm)
            return pair.partial()

    def _finish(self, pcm: bytes) -> Hypothesis | None:
        with self._lock, self._closing_on_error():
            pair = self._borrowed()
            if pair is None:
                return None
            pair.feed(pcm)
            hypothesis = pair.finish()
            self._return()
            return hypothesis

    def _abandon(self) -> None:
        with self._lock, self._closing_on_error():
            if self._pair is not None:
                self._pair.abandon()
            self._return()

    def _borrowed(self) -> DecoderPair | None:
        if self._over:
            return None
        if self._pair is None:
            self._pair = self._owner.take()
            self._pair.begin(self._channel)
        return self._pair

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        """Decoders that failed are not lent again."""
        try:
            yield
        except BaseException:
            self._over = True
            pair, self._pair = self._pair, None
            if pair is not None:
                pair.close()
            raise

    def _return(self) -> None:
        self._over = True
        pair, self._pair = self._pair, None
        if pair is not None:
            self._owner.give_back(pair)
