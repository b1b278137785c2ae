"""The recognizer in a Pipecat pipeline: real decoders, real speech, voice activity by hand."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    STTMuteFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transcriptions.language import Language
from pipecat.workers.runner import WorkerRunner

import antiphon
from antiphon.services.embedded.dialogue import UNCLEAR
from antiphon.services.embedded.recognizer import Recognizer
from antiphon.services.embedded.sentences import SentenceSet
from antiphon.services.embedded.stt import MAX_UTTERANCE_MS, PRE_ROLL_MS, EmbeddedSTTService

FRAME_MS = 20
RECORDINGS = Path(str(antiphon.__file__)).parent / "cli" / "caller" / "audio"

SENTENCES = SentenceSet.from_dict(
    {
        "language": "en",
        "lists": {
            "product": {"values": ["blue mug", "blue mugs", "desk lamp", "wool blanket"]},
            "quantity": {"range": {"from": 1, "to": 12}},
        },
        "intents": {
            "View": {"data": [{"sentences": ["what (is|was) in my (cart|basket)"]}]},
            "Add": {
                "data": [{"sentences": ["(add|put) [{quantity}] {product} [(to|in) my cart]"]}]
            },
            "Order": {"data": [{"sentences": ["[please] place the order [now]"]}]},
            "Affirm": {"data": [{"sentences": ["(yes|yes please|sure)"]}]},
            "Goodbye": {"data": [{"sentences": ["(goodbye|good bye|bye)"]}]},
        },
    }
)


@cache
def recording(name: str, rate: int = 16_000) -> bytes:
    samples, native = soundfile.read(RECORDINGS / f"{name}.wav", dtype="int16")
    return np.asarray(soxr.resample(samples, native, rate), "<i2").tobytes()


async def settled(recognizer: Recognizer) -> None:
    """Wait until every thread of the recognizer has done what it had to do."""
    everyone = threading.Barrier(os.cpu_count() or 1, timeout=5)
    await asyncio.gather(*(recognizer.run(everyone.wait) for _ in range(everyone.parties)))


class Tap(FrameProcessor):
    """What leaves the service."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self.final: asyncio.Queue[TranscriptionFrame] = asyncio.Queue()
        self.interim: asyncio.Queue[InterimTranscriptionFrame] = asyncio.Queue()
        self.ended = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        if isinstance(frame, TranscriptionFrame):
            self.final.put_nowait(frame)
        elif isinstance(frame, InterimTranscriptionFrame):
            self.interim.put_nowait(frame)
        elif isinstance(frame, EndFrame):
            self.ended.set()
        await self.push_frame(frame, direction)

    def of(self, kind: type[Frame]) -> list[Frame]:
        return [frame for frame in self.frames if isinstance(frame, kind)]


class Caller:
    """Speaks to the service in 20 ms frames, as fast as it takes them."""

    def __init__(self, worker: PipelineWorker, service: EmbeddedSTTService, tap: Tap, rate: int):
        self.worker = worker
        self.service = service
        self.tap = tap
        self.rate = rate

    async def hear(self, pcm: bytes) -> None:
        step = self.rate * FRAME_MS // 1000 * 2
        frames = [
            InputAudioRawFrame(audio=pcm[at : at + step], sample_rate=self.rate, num_channels=1)
            for at in range(0, len(pcm), step)
        ]
        await self.worker.queue_frames(frames)

    async def speak(self, name: str, *, noticed_after_ms: int = 200) -> None:
        """Silence, the named recording, silence; voice activity is noticed late, as it is."""
        silence = bytes(self.rate * 400 // 1000 * 2)
        speech = recording(name, self.rate)
        late = self.rate * noticed_after_ms // 1000 * 2
        await self.hear(silence + speech[:late])
        await self.worker.queue_frame(VADUserStartedSpeakingFrame())
        await self.hear(speech[late:] + silence[: len(silence) // 2])
        await self.worker.queue_frame(VADUserStoppedSpeakingFrame())

    async def transcript(self) -> TranscriptionFrame:
        async with asyncio.timeout(10):
            return await self.tap.final.get()


@asynccontextmanager
async def call(
    recognizer: Recognizer, rate: int = 16_000, source_sample_rate: int | None = None
) -> AsyncIterator[Caller]:
    service = EmbeddedSTTService(recognizer, source_sample_rate=source_sample_rate)
    tap = Tap()
    worker = PipelineWorker(
        Pipeline([service, tap]),
        params=PipelineParams(audio_in_sample_rate=rate),
        enable_turn_tracking=False,
        enable_rtvi=False,
        idle_timeout_secs=None,
    )
    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    await runner.add_workers(worker)
    running = asyncio.get_running_loop().create_task(runner.run())
    try:
        yield Caller(worker, service, tap, rate)
    finally:
        await worker.cancel()
        await running


@pytest.fixture(scope="module")
def recognizer() -> Iterator[Recognizer]:
    shared = Recognizer(SENTENCES)
    shared.prepare(2)
    yield shared
    shared.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("what-is-in-my-cart", "what is in my cart"),
        ("add-two-blue-mugs", "add two blue mugs to my cart"),
        ("place-the-order", "place the order"),
        ("yes", "yes"),
    ],
)
async def test_a_sentence_of_the_templates_is_heard(
    recognizer: Recognizer, name: str, text: str
) -> None:
    async with call(recognizer) as caller:
        await caller.speak(name)
        frame = await caller.transcript()
    assert frame.text == text
    assert frame.finalized
    assert frame.language == Language.EN
    assert frame.result["rejected"] is False
    assert frame.result["agreement"] > 0.8


async def test_other_speech_is_never_a_sentence_of_the_templates(recognizer: Recognizer) -> None:
    async with call(recognizer) as caller:
        await caller.speak("out-of-domain")
        frame = await caller.transcript()
    assert frame.text.startswith(f"{UNCLEAR} ")
    assert frame.result["rejected"] is True
    assert SENTENCES.match(frame.text) is None


async def test_what_was_said_so_far_comes_while_the_caller_speaks(recognizer: Recognizer) -> None:
    async with call(recognizer) as caller:
        await caller.worker.queue_frame(VADUserStartedSpeakingFrame())
        await caller.hear(recording("add-two-blue-mugs"))
        async with asyncio.timeout(5):
            interim = await caller.tap.interim.get()
        await caller.worker.queue_frame(VADUserStoppedSpeakingFrame())
        final = await caller.transcript()
    assert interim.text.startswith("add two")
    assert final.text == "add two blue mugs to my cart"


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
async def test_any_input_rate_is_resampled(recognizer: Recognizer, rate: int) -> None:
    async with call(recognizer, rate) as caller:
        await caller.speak("what-is-in-my-cart")
        frame = await caller.transcript()
    assert frame.text == "what is in my cart"


async def test_a_call_holds_no_decoder_between_utterances(recognizer: Recognizer) -> None:
    await settled(recognizer)
    before = recognizer.idle
    async with call(recognizer) as caller:
        for name in ("yes", "place-the-order"):
            await caller.speak(name)
            await caller.transcript()
            await caller.service._follower  # type: ignore[misc]
            assert recognizer.idle == before


async def test_calls_speak_at_the_same_time(recognizer: Recognizer) -> None:
    async with call(recognizer) as one, call(recognizer) as two, call(recognizer) as three:
        callers = {one: "yes", two: "place-the-order", three: "what-is-in-my-cart"}
        await asyncio.gather(*(caller.speak(name) for caller, name in callers.items()))
        texts = [(await caller.transcript()).text for caller in callers]
    assert texts == ["yes", "place the order", "what is in my cart"]


async def test_two_utterances_of_a_call_come_in_order(recognizer: Recognizer) -> None:
    async with call(recognizer) as caller:
        await caller.speak("place-the-order")
        await caller.speak("yes")
        texts = [(await caller.transcript()).text for _ in range(2)]
    assert texts == ["place the order", "yes"]


async def test_the_end_waits_for_the_last_words(recognizer: Recognizer) -> None:
    async with call(recognizer) as caller:
        await caller.speak("place-the-order")
        await caller.worker.queue_frame(EndFrame())
        await caller.transcript()
        async with asyncio.timeout(5):
            await caller.tap.ended.wait()
    kinds = [type(frame) for frame in caller.tap.frames]
    assert kinds.index(TranscriptionFrame) < kinds.index(EndFrame)


async def test_a_cancelled_call_gives_its_decoders_back(recognizer: Recognizer) -> None:
    await settled(recognizer)
    before = recognizer.idle
    async with call(recognizer) as caller:
        await caller.hear(bytes(3_200))
        await caller.worker.queue_frame(VADUserStartedSpeakingFrame())
        await caller.hear(recording("place-the-order"))
        await caller.worker.queue_frame(CancelFrame())
    await settled(recognizer)
    assert recognizer.idle == before
    assert not caller.tap.of(TranscriptionFrame)


async def test_a_muted_caller_is_not_transcribed(recognizer: Recognizer) -> None:
    async with call(recognizer) as caller:
        await caller.worker.queue_frame(STTMuteFrame(mute=True))
        await caller.speak("place-the-order")
        await caller.worker.queue_frame(STTMuteFrame(mute=False))
        await caller.speak("yes")
        frame = await caller.transcript()
    assert frame.text == "yes"


async def test_audio_waiting_for_speech_is_bounded(recognizer: Recognizer) -> None:
    async with call(recognizer) as caller:
        await caller.speak("yes")
        await caller.transcript()
        await caller.hear(bytes(16_000 * 2 * 5))
        await caller.speak("yes")
        await caller.transcript()
        assert len(caller.service._pre_roll) <= 16 * 2 * PRE_ROLL_MS


async def test_speech_without_end_is_bounded(recognizer: Recognizer) -> None:
    async with call(recognizer) as caller:
        await caller.worker.queue_frame(VADUserStartedSpeakingFrame())
        await caller.hear(bytes(16 * 2 * (MAX_UTTERANCE_MS + 10_000)))
        await caller.worker.queue_frame(VADUserStoppedSpeakingFrame())
        frame = await caller.transcript()
    assert frame.text.startswith(UNCLEAR)


async def test_a_closed_recognizer_is_an_error_and_not_a_hang() -> None:
    closed = Recognizer(SENTENCES)
    closed.close()
    errors: asyncio.Queue[ErrorFrame] = asyncio.Queue()
    async with call(closed) as caller:

        @caller.worker.event_handler("on_pipeline_error")
        async def on_error(_: object, frame: ErrorFrame) -> None:
            errors.put_nowait(frame)

        await caller.speak("yes")
        async with asyncio.timeout(5):
            error = await errors.get()
    assert "closed" in error.error


def test_a_whole_utterance_is_transcribed_without_a_pipeline(recognizer: Recognizer) -> None:
    heard = recognizer.transcribe(recording("place-the-order", 8_000), 8_000)
    assert heard.text == "place the order"
    assert not heard.rejected
    assert recognizer.transcribe(recording("out-of-domain")).rejected


async def test_taking_the_last_decoders_opens_others_behind_it() -> None:
    own = Recognizer(SENTENCES)
    own.prepare(1)
    taken = own.take()
    await settled(own)
    assert own.idle == 1
    own.give_back(taken)
    assert own.idle == 2
    own.close()


def test_closing_ends_the_threads_and_deletes_the_files() -> None:
    own = Recognizer(SENTENCES)
    own.prepare()
    model = own._built()
    directory = model.directory
    assert directory.is_dir()
    own.close()
    assert not directory.exists()
    assert not [t for t in threading.enumerate() if t in own._threads._threads]
